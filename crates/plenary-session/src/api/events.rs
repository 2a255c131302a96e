//! `GET sessions/{id}/events`: what happens in a session, as server-sent events.
//!
//! An event's id is the time at which this node opened the session, and a number: a client that
//! comes back to the node goes on after what it has seen; to a node that knows the session from
//! another time (another one, or the same after a restart) it begins anew. What ends the session is
//! told once more to whoever has seen it already. Of a session that is committed the ledger tells
//! this, for ever.

use super::{Api, bad_path, refuse};
use crate::{
    error::Refusal,
    feed::{Event as Happened, Feed},
};
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue},
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use plenary_types::{Outcome, SessionId};
use plenary_validator::{decision::Decision, http::Failure};
use std::{convert::Infallible, sync::Arc};

pub(super) async fn events(
    State(api): State<Api>,
    id: Result<Path<SessionId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    let seen = headers.get("last-event-id").and_then(seen);
    let (begun, feed) = match api.node.sessions.get(&id) {
        Some(entry) => (entry.begun.0, entry.feed.clone()),
        // As if it were told from the time that the client knows.
        None => (seen.map_or(0, |(from, _)| from), ended(&api, id)?),
    };
    let seen = seen.filter(|(from, _)| *from == begun);
    let next = seen.map_or(0, |(_, number)| number.saturating_add(1));
    let first = Some((api.streams.open()?, feed, next));
    let stream = stream::unfold(first, move |at| async move {
        let (place, feed, index) = at?;
        let event = feed.bell.until(|| feed.after(index)).await;
        let sent = describe(begun, index, &event);
        let next = (!event.is_last()).then_some((place, feed, index + 1));
        Some((Ok(sent), next))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// The time and the number that an event's id has.
fn seen(id: &HeaderValue) -> Option<(u64, usize)> {
    let (from, number) = id.to_str().ok()?.split_once('-')?;
    Some((from.parse().ok()?, number.parse().ok()?))
}

/// What is left to tell of a session that this node has no longer.
fn ended(api: &Api, id: SessionId) -> Result<Arc<Feed>, Failure> {
    let decision = Decision::of_session(&api.node.store, id).map_err(refuse)?;
    let committed = decision.filter(|decision| decision.landed.outcome == Outcome::Committed);
    let committed = committed.ok_or_else(|| refuse(Refusal::UnknownSession(id)))?;
    let feed = Feed::default();
    feed.push(Happened::Final {
        transaction: committed.transaction.hash(),
        height: committed.landed.height,
    });
    Ok(Arc::new(feed))
}

fn describe(begun: u64, index: usize, event: &Happened) -> Event {
    let sent = Event::default()
        .id(format!("{begun}-{index}"))
        .event(event.name());
    // An event is plain data and has JSON.
    sent.json_data(event).unwrap_or_default()
}
