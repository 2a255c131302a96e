//! `GET events`: final blocks as server-sent events, resumable.
//!
//! An event's id is its block's height, so that `Last-Event-ID` resumes exactly after what a
//! client has seen, on any validator and after any pause: events are read from the ledger, and
//! nothing is buffered for a slow client.

use super::{Api, blocks};
use crate::http::Failure;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use plenary_types::{Problem, Stage};
use serde::Deserialize;
use std::convert::Infallible;
use tokio::sync::watch;

/// Where to begin; at the next block where nothing is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    from: Option<u64>,
}

pub(super) async fn events(
    State(api): State<Api>,
    query: Result<Query<Start>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let malformed =
        |detail: String| Problem::bad_request("malformed-cursor", detail).at(Stage::Request);
    let Query(start) = query.map_err(|rejection| malformed(rejection.body_text()))?;
    let heights = api.node.finality.heights();
    let next = match (headers.get("last-event-id"), start.from) {
        (Some(id), _) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
            let id = id.ok_or_else(|| malformed("Last-Event-ID must be a height".into()))?;
            id.saturating_add(1)
        }
        (None, Some(from)) => from.max(1),
        (None, None) => *heights.borrow() + 1,
    };
    let stream = stream::unfold(
        (api.streams.open()?, api, heights, next),
        |(place, api, mut heights, height)| async move {
            let event = event_at(&api, &mut heights, height).await?;
            Some((Ok(event), (place, api, heights, height + 1)))
        },
    );
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Waits for the block at `height`. The stream ends where the node stops or cannot read.
async fn event_at(api: &Api, heights: &mut watch::Receiver<u64>, height: u64) -> Option<Event> {
    tokio::select! {
        biased;
        () = api.stopped() => return None,
        tip = heights.wait_for(|tip| *tip >= height) => tip.ok()?,
    };
    let entry = api.node.store.entry(height).ok()??;
    let data = blocks::describe(&entry.block, entry.certificate.as_ref());
    Event::default()
        .id(height.to_string())
        .event("block")
        .json_data(data)
        .ok()
}
