//! `GET sessions/{id}`: what became of a session, as the ledger has it.

use super::{Api, bad_path, not_found};
use crate::{
    http::{Failure, reach},
    lookup::transaction_at,
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
};
use plenary_types::{OperationId, SessionId};
use serde_json::{Value, json};

/// Only a committed session is known here: what ended otherwise is no part of the state.
pub(super) async fn session(
    State(api): State<Api>,
    id: Result<Path<SessionId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    reach(&api.node.finality, &headers).await?;
    let store = &api.node.store;
    // A session is named by its first operation.
    let located = store.operation(&OperationId(id.0))?;
    let location = located.ok_or_else(|| not_found("committed session", id))?;
    let (transaction, _) = transaction_at(store, location)?;
    Ok(Json(json!({
        "session": id,
        "status": "committed",
        "transaction": transaction.hash(),
        "height": location.height,
    })))
}
