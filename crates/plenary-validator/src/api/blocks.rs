//! `GET blocks/{height}`: a final block, with the certificate of its own where it has one.
//! `GET blocks?from=`: all from a height on, as a stream of [`frames`] that does not end.
//!
//! The stream is for nodes that follow the chain. Blocks are read from the store when the client
//! takes them, so nothing is buffered for a slow one, and it can resume at any height.

use super::{Api, OCTETS, bad_path, not_found, wants_octets};
use crate::{frames, http::Failure};
use axum::{
    Json,
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use plenary_store::{Store, StoreError};
use plenary_types::{Block, Certificate, Problem, Stage};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio::sync::watch;

/// How often a stream on which nothing happens shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// A piece of a stream that has as many bytes is sent before more blocks are read.
const PIECE: usize = 256 * 1024;

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

/// Where a stream begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    from: u64,
}

pub(super) async fn blocks(
    State(api): State<Api>,
    query: Result<Query<Start>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(start) = query.map_err(|rejection| {
        Problem::bad_request("malformed-cursor", rejection.body_text()).at(Stage::Request)
    })?;
    if !wants_octets(&headers) {
        let detail = format!("blocks are streamed to clients that send Accept: {OCTETS}");
        return Err(Problem::new(406, "not-acceptable", detail)
            .at(Stage::Request)
            .into());
    }
    let heights = api.node.finality.heights();
    let pieces = stream::unfold(
        (api.followers.open()?, api, heights, start.from.max(1)),
        |(place, api, mut heights, next)| async move {
            let (piece, next) = piece(&api, &mut heights, next).await?;
            Some((Ok::<_, Infallible>(piece), (place, api, heights, next)))
        },
    );
    let body = Body::from_stream(pieces);
    Ok(([(header::CONTENT_TYPE, OCTETS)], body).into_response())
}

/// The stream's next bytes, and the height after them. The stream ends where the node stops or
/// cannot read.
async fn piece(api: &Api, heights: &mut watch::Receiver<u64>, next: u64) -> Option<(Bytes, u64)> {
    let tip = tokio::select! {
        biased;
        () = api.stopped() => return None,
        tip = heights.wait_for(|tip| *tip >= next) => *tip.ok()?,
        () = tokio::time::sleep(ALIVE_EVERY) => {
            return Some((Bytes::from_static(&frames::ALIVE), next));
        }
    };
    let read = match tip == next {
        // It became final just now, and is in memory.
        true => read(&api.node.store, next, tip),
        false => {
            let store = api.node.store.clone();
            let read = tokio::task::spawn_blocking(move || read(&store, next, tip));
            read.await.ok()?
        }
    };
    read.inspect_err(|error| tracing::error!(%error, "a stream of blocks ends"))
        .ok()
}

/// Reads blocks from `next` up to `tip`, as many as make a piece.
fn read(store: &Store, mut next: u64, tip: u64) -> Result<(Bytes, u64), StoreError> {
    let mut piece = BytesMut::new();
    while next <= tip && piece.len() < PIECE {
        let entry = store.entry(next)?.ok_or_else(|| {
            StoreError::Database(format!("block {next} is missing below the tip {tip}"))
        })?;
        frames::write(&mut piece, &entry);
        next += 1;
    }
    Ok((piece.freeze(), next))
}
