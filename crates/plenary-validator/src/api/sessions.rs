//! `GET sessions/{id}`: what became of a session, as the ledger has it.

use super::{Api, bad_path};
use crate::{
    decision::Decision,
    http::{Failure, reach},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
};
use plenary_types::{Problem, SessionId, Stage};
use serde_json::Value;

pub(super) async fn session(
    State(api): State<Api>,
    id: Result<Path<SessionId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    reach(&api.node.finality, &headers).await?;
    let store = &api.node.store;
    match Decision::of_session(store, id)? {
        Some(decision) => Ok(Json(decision.describe(store))),
        None => Err(undecided(id)),
    }
}

/// What a session is before layer 1 has decided, validators are not told.
fn undecided(id: SessionId) -> Failure {
    let detail = format!(
        "layer 1 has decided nothing of session {id}: where it is open, on its way, given up or expired, a session node knows; ask one of them, at the same path"
    );
    Problem::new(404, "unknown-decided-session", detail)
        .at(Stage::Layer1)
        .into()
}
