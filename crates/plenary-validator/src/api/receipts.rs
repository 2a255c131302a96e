//! `GET receipts/{hash}`: the proof of a transaction's outcome, to be checked offline.

use super::{Api, bad_path, not_found};
use crate::{http::Failure, lookup::receipt_at};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use plenary_types::{Problem, Receipt, Stage, TransactionHash};

pub(super) async fn receipt(
    State(api): State<Api>,
    hash: Result<Path<TransactionHash>, PathRejection>,
) -> Result<Json<Receipt>, Failure> {
    let Path(hash) = hash.map_err(bad_path)?;
    let located = api.node.store.transaction(&hash)?;
    let location = located.ok_or_else(|| not_found("final transaction", hash))?;
    let receipt = receipt_at(&api.node.store, location)?;
    let receipt = receipt.ok_or_else(|| {
        let detail = "the block is final, but this node has not yet got a certificate above it";
        Problem::new(503, "certificate-pending", detail)
            .at(Stage::Layer1)
            .retryable()
    })?;
    Ok(Json(receipt))
}
