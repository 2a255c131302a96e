//! `GET sessions/{id}/events`: what happens in a session, as server-sent events.
//!
//! An event's id is the time at which this node opened the session, and a number: a client that
//! comes back to the node goes on after what it has seen; to a node that knows the session from
//! another time (another one, or the same after a restart) it begins anew.

use super::{Api, bad_path};
use crate::session::Entry;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use plenary_types::SessionId;
use plenary_validator::http::Failure;
use std::{convert::Infallible, sync::Arc};

pub(super) async fn events(
    State(api): State<Api>,
    id: Result<Path<SessionId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    let entry = api.entry(id)?;
    let begun = entry.begun.0;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let seen = last.and_then(|id| {
        let (from, number) = id.split_once('-')?;
        let number: usize = number.parse().ok()?;
        (from.parse() == Ok(begun)).then_some(number)
    });
    let next = seen.map_or(0, |seen| seen.saturating_add(1));
    let first = Some((api.streams.open()?, entry, next));
    let stream = stream::unfold(first, |at| async move {
        let (place, entry, index) = at?;
        let event = entry.feed.bell.until(|| entry.feed.at(index)).await;
        let sent = describe(&entry, index, &event);
        let next = (!event.is_last()).then_some((place, entry, index + 1));
        Some((Ok(sent), next))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn describe(entry: &Arc<Entry>, index: usize, event: &crate::feed::Event) -> Event {
    let sent = Event::default()
        .id(format!("{}-{index}", entry.begun.0))
        .event(event.name());
    // An event is plain data and has JSON.
    sent.json_data(event).unwrap_or_default()
}
