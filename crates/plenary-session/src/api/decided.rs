//! What layer 1 decided of a session, as this node has verified it.

use super::{Api, bad_path, refuse};
use crate::{
    error::Refusal,
    node::Node,
    session::{Entry, Status},
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use plenary_types::{
    OperationId, Outcome, Problem, Receipt, SessionId, Stage, StateKey, Transaction,
    TransactionHash,
};
use plenary_validator::{
    direct,
    finality::Landed,
    http::Failure,
    lookup::{receipt_at, transaction_at},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long the end of a session may take to be on this node's disk.
pub(super) const WRITTEN: Duration = Duration::from_secs(10);

/// A session's transaction, and where that is, once it is decided.
type Sent = (TransactionHash, Option<Landed>);

/// Waits until a session that is to be committed is decided: its transaction and where that is; the
/// transaction alone where it takes longer.
///
/// # Errors
///
/// Where no block will have its transaction, or it ended without one.
pub(super) async fn wait(entry: &Entry, limit: Duration) -> Result<Sent, Failure> {
    let bell = &entry.feed.bell;
    // Nobody hears of a transaction before a crash would find it again.
    let written = tokio::time::timeout(WRITTEN, bell.until(|| sent(entry))).await;
    let written = written.map_err(|_| refuse(plenary_validator::error::Refusal::Stopping))??;
    let decided = || sent(entry).filter(|sent| !matches!(sent, Ok((_, None))));
    let decided = tokio::time::timeout(limit, bell.until(decided)).await;
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

/// The transaction that committed a session, whether this node still has that or not.
pub(super) fn in_ledger(
    node: &Node,
    id: SessionId,
) -> Result<Option<(Transaction, Landed)>, Failure> {
    let located = node.store.operation(&OperationId(id.0)).map_err(refuse)?;
    let Some(location) = located else {
        return Ok(None);
    };
    let (transaction, outcome) = transaction_at(&node.store, location).map_err(refuse)?;
    let landed = Landed {
        height: location.height,
        index: location.index,
        outcome,
    };
    Ok(Some((transaction, landed)))
}

/// What layer 1 decided against a session; nothing where it is committed.
pub(super) fn problem(
    node: &Node,
    transaction: TransactionHash,
    landed: &Landed,
) -> Option<Problem> {
    let problem = direct::decided(transaction, &landed.outcome)?;
    let Outcome::Conflict { keys, .. } = &landed.outcome else {
        return Some(problem);
    };
    let detail = "others changed what the session had read; nothing was applied: rebase it, or open another one";
    let mut problem = problem;
    problem.detail = detail.to_owned();
    Some(match winner(node, keys) {
        Some(winner) => problem.with("winner", winner.to_string()),
        None => problem,
    })
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

/// The transaction that changed one of the keys last.
fn winner(node: &Node, keys: &[StateKey]) -> Option<TransactionHash> {
    let (_, view) = node.store.state().latest();
    let written = keys.iter().filter_map(|key| view.get(key).ok().flatten());
    let version = written.map(|entry| entry.version).max()?;
    let block = node.store.block(version.height).ok()??;
    let winner = block.transactions.get(version.index as usize)?;
    Some(winner.hash())
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
