//! `GET blocks/{height}`: a final block, with the certificate of its own where it has one.

use super::{Api, bad_path, not_found};
use crate::http::Failure;
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use plenary_types::{Block, Certificate};
use serde_json::{Value, json};

pub(super) async fn block(
    State(api): State<Api>,
    height: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, Failure> {
    let Path(height) = height.map_err(bad_path)?;
    let entry = api
        .node
        .store
        .entry(height)?
        .ok_or_else(|| not_found("block", height))?;
    Ok(Json(describe(&entry.block, entry.certificate.as_ref())))
}

/// A block for people: hashes and outcomes; transactions have a resource of their own.
pub(super) fn describe(block: &Block, certificate: Option<&Certificate>) -> Value {
    let transactions = block.transactions.iter().zip(&block.outcomes);
    let transactions = transactions
        .map(|(transaction, outcome)| json!({ "hash": transaction.hash(), "outcome": outcome }));
    json!({
        "hash": block.hash(),
        "header": block.header,
        "transactions": transactions.collect::<Vec<_>>(),
        "certificate": certificate,
    })
}
