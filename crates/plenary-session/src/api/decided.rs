//! What layer 1 decided of a session, as this node has verified it.

use super::{Api, answer, bad_path, refuse};
use crate::{
    error::Refusal,
    node::Node,
    session::{Entry, Status},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use plenary_types::{Problem, Receipt, Stage, TransactionHash};
use plenary_validator::{
    finality::Landed,
    http::Failure,
    lookup::{receipt_at, transaction_at},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A session's transaction, and where that is, once it is decided.
type Sent = (TransactionHash, Option<Landed>);

/// Waits until a session that is to be committed is decided: its transaction and where that is; the
/// transaction alone where it takes longer.
///
/// # Errors
///
/// Where no block will have its transaction, it ended without one, or this node's disk does not take it.
pub(super) async fn wait(node: &Node, entry: &Entry, limit: Duration) -> Result<Sent, Failure> {
    // Nobody hears of a transaction before a crash would find it again.
    let written = answer::ending(node, entry, || sent(entry)).await??;
    let decided = || sent(entry).filter(|sent| !matches!(sent, Ok((_, None))));
    let decided = tokio::time::timeout(limit, entry.feed.bell.until(decided)).await;
    decided.unwrap_or(Ok(written))
}

/// How far a session's commit is; nothing while that is being written.
fn sent(entry: &Entry) -> Option<Result<Sent, Failure>> {
    match &entry.live.lock().status {
        Status::Open => None,
        Status::Committing(transaction) => Some(Ok((*transaction, None))),
        Status::Decided(transaction, landed) => Some(Ok((*transaction, Some(landed.clone())))),
        Status::Refused(reason) => {
            let problem = reason.problem().with("session", entry.id.to_string());
            Some(Err(Failure(problem)))
        }
        Status::Over(given) => Some(Err(refuse(Refusal::Over {
            session: entry.id,
            given: *given,
        }))),
    }
}

/// Why a transaction that is on its way is not final yet, as far as this node can tell.
pub(super) fn why_not_yet(api: &Api, transaction: TransactionHash) -> Problem {
    let problem = match api.follower.status().connected {
        false => Problem::new(
            503,
            "layer1-unreachable",
            "no validator answers: layer 1 cannot be reached from here; the transaction is sent again until it can",
        )
        .at(Stage::Layer2),
        true => Problem::new(
            503,
            "not-final-yet",
            "layer 1 has no final block with the transaction yet: if this lasts, fewer validators than a quorum are up; it is sent again until there is one",
        )
        .at(Stage::Layer1),
    };
    problem.retryable().about(transaction)
}

pub(super) async fn receipt(
    State(api): State<Api>,
    hash: Result<Path<TransactionHash>, PathRejection>,
) -> Result<Json<Receipt>, Failure> {
    let Path(hash) = hash.map_err(bad_path)?;
    let receipt = find(&api, &hash)?;
    receipt.map(Json).ok_or_else(|| unknown(hash))
}

fn find(api: &Api, hash: &TransactionHash) -> Result<Option<Receipt>, Failure> {
    let store = &api.node.store;
    match store.transaction(hash).map_err(refuse)? {
        Some(location) => receipt_at(store, location).map_err(refuse),
        None => Ok(None),
    }
}

fn unknown(hash: TransactionHash) -> Failure {
    Problem::not_found("transaction", hash)
        .at(Stage::Layer1)
        .into()
}

pub(super) async fn transaction(
    State(api): State<Api>,
    hash: Result<Path<TransactionHash>, PathRejection>,
) -> Result<Json<Value>, Failure> {
    let Path(hash) = hash.map_err(bad_path)?;
    let store = &api.node.store;
    if let Some(location) = store.transaction(&hash).map_err(refuse)? {
        let (transaction, outcome) = transaction_at(store, location).map_err(refuse)?;
        return Ok(Json(json!({
            "hash": hash,
            "status": "final",
            "height": location.height,
            "index": location.index,
            "outcome": outcome,
            "service": transaction.service,
            "originator": transaction.originator,
            "session": transaction.session(),
            "operations": transaction.operations.len(),
            "endorsements": transaction.endorsements.iter().map(|one| one.key).collect::<Vec<_>>(),
        })));
    }
    match api.node.is_submitted(&hash) {
        true => Ok(Json(json!({ "hash": hash, "status": "pending" }))),
        false => Err(unknown(hash)),
    }
}
