//! What layer 1 decided of a session, as this node has verified it.

use super::{Api, bad_path, refuse};
use crate::{node::Node, session::Entry, session::Status};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use plenary_types::{
    OperationId, Outcome, Problem, Read, Receipt, SessionId, Stage, StateKey, TransactionHash,
    Version, state::range_digest,
};
use plenary_validator::{
    direct,
    finality::Landed,
    http::Failure,
    lookup::{receipt_at, transaction_at},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How many entries of a range are looked at, at each height, for what changed in it.
const MOST_ENTRIES: usize = 1_024;

/// Waits until a session is decided: its transaction and where that is. Nothing where it takes
/// longer.
///
/// # Errors
///
/// Where no block will have its transaction.
pub(super) async fn wait(
    entry: &Entry,
    limit: Duration,
) -> Result<Option<(TransactionHash, Landed)>, Failure> {
    let decided = entry.feed.bell.until(|| match &entry.live.lock().status {
        Status::Decided(transaction, landed) => Some(Ok((*transaction, landed.clone()))),
        Status::Refused(reason) => {
            let problem = reason.problem().with("session", entry.id.to_string());
            Some(Err(Failure(problem)))
        }
        _ => None,
    });
    tokio::time::timeout(limit, decided).await.ok().transpose()
}

/// A session that this node has no longer, because it is committed.
pub(super) fn in_ledger(
    node: &Node,
    id: SessionId,
) -> Result<Option<(TransactionHash, Landed)>, Failure> {
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
    Ok(Some((transaction.hash(), landed)))
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
    let winner = keys.first().and_then(|key| winner(node, landed, key));
    let detail = "others changed what the session had read; nothing was applied: rebase it, or open another one";
    let mut problem = problem;
    problem.detail = detail.to_owned();
    Some(match winner {
        Some(winner) => problem.with("winner", winner.to_string()),
        None => problem,
    })
}

/// Why a transaction that is on its way is not final yet, as far as this node can tell.
pub(super) fn why_not_yet(api: &Api) -> &'static str {
    match api.follower.status().connected {
        false => {
            "no validator answers: layer 1 cannot be reached from here; the transaction is sent again until it can"
        }
        true => {
            "layer 1 has no final block with the transaction yet: if this lasts, fewer validators than a quorum are up; it is sent again until there is one"
        }
    }
}

/// The transaction that made what a decided one had read of `key` stale; of several in one block the
/// last. Nothing where the state does not tell: it is not kept any more, or has the key no longer, which
/// any of several transactions of one block may have deleted.
fn winner(node: &Node, landed: &Landed, key: &StateKey) -> Option<TransactionHash> {
    let (transaction, _) = transaction_at(&node.store, landed.location()).ok()?;
    let reads = transaction.operations.iter().flat_map(|one| &one.reads);
    let of_key = |read: &&Read| match read {
        Read::Key { key: own, .. } | Read::Range { from: own, .. } => own == key,
    };
    let mut reads: Vec<&Read> = reads.filter(of_key).collect();
    let stale = |read: &Read, height| Some(look(node, read, height)?.0);
    // Back from the block that decided it to the one that made it stale.
    let mut height = landed.height;
    let mut before = None;
    while let Some(below) = height.checked_sub(1) {
        let mut still = reads.clone();
        still.retain(|read| stale(read, below) == Some(true));
        if still.is_empty() {
            before = reads.first().and_then(|read| stale(read, below));
            break;
        }
        (reads, height) = (still, below);
    }
    let decided = Version {
        height: landed.height,
        index: landed.index,
    };
    let (_, version) = look(node, reads.first()?, height)?;
    if let Some(version) = version.filter(|version| *version < decided) {
        let block = node.store.block(version.height).ok()??;
        return Some(block.transactions.get(version.index as usize)?.hash());
    }
    before?;
    let block = node.store.block(height).ok()??;
    let committed = (0..).zip(block.transactions.iter().zip(&block.outcomes));
    let mut committed = committed.filter(|(index, (_, outcome))| {
        let (index, outcome) = (*index, *outcome);
        *outcome == Outcome::Committed && Version { height, index } < decided
    });
    let (_, (only, _)) = committed.next()?;
    committed.next().is_none().then(|| only.hash())
}

/// Whether a read is stale after the block of a height, and which transaction changed it last, where
/// that shows. Nothing where the state is not kept.
fn look(node: &Node, read: &Read, height: u64) -> Option<(bool, Option<Version>)> {
    let view = node.store.state().view(height).ok()?;
    match read {
        Read::Key { key, version } => {
            let now = view.get(key).ok()?.map(|found| found.version);
            Some((now != *version, now))
        }
        Read::Range { from, to, digest } => {
            let found = view.range(from, to, MOST_ENTRIES).ok()?;
            let entries = found.iter().map(|(key, found)| (key, found.version));
            let stale = range_digest(entries.clone()) != *digest;
            let versions = entries.map(|(_, version)| version);
            let changed = versions.filter(|version| version.height == height);
            Some((stale, changed.max()))
        }
    }
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
