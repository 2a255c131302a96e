//! `GET sessions`: the sessions that this node has and the ledger has not, a page at a time.

use super::Api;
use crate::{node::Node, session::Entry};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use plenary_types::{Problem, SessionId, Stage};
use plenary_validator::http::Failure;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Sessions on a page where nothing else is asked for, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
/// The statuses that sessions are listed by. What is committed is in the ledger, and forgotten here.
const STATUSES: [&str; 6] = [
    "open",
    "committing",
    "conflict",
    "rejected",
    "aborted",
    "expired",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    status: Option<String>,
    after: Option<SessionId>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let malformed = |detail: String| {
        Failure(Problem::bad_request("malformed-query", detail).at(Stage::Request))
    };
    let Query(filter) = query.map_err(|rejection| malformed(rejection.body_text()))?;
    let wanted = filter.status.as_deref();
    if let Some(wanted) = wanted.filter(|wanted| !STATUSES.contains(wanted)) {
        return Err(malformed(format!(
            "sessions are not listed by the status `{wanted}`, but by {}; GET sessions/{{id}} tells of one that is committed",
            STATUSES.join(", ")
        )));
    }
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut sessions = following(&api.node, filter.after).filter_map(|entry| {
        // One whose handler is running is listed the next time.
        let live = entry.live.try_lock()?;
        let status = live.status.name();
        let listed = match wanted {
            Some(wanted) => wanted == status,
            None => !live.is_committed(),
        };
        let described = || {
            json!({
                "session": entry.id,
                "status": status,
                "operations": live.steps.len(),
            })
        };
        listed.then(|| (entry.id, described()))
    });
    let page: Vec<_> = sessions.by_ref().take(limit).collect();
    let last = page.last().map(|(id, _)| *id);
    let next = last.filter(|_| sessions.next().is_some());
    let page: Vec<_> = page.into_iter().map(|(_, described)| described).collect();
    Ok(Json(json!({ "sessions": page, "next": next })))
}

/// The sessions whose names come after `after`, in order, without holding up who opens one.
fn following(node: &Node, mut after: Option<SessionId>) -> impl Iterator<Item = Arc<Entry>> {
    let pages = std::iter::from_fn(move || {
        let page = node.sessions.page(after, PAGE);
        after = Some(page.last()?.id);
        Some(page)
    });
    pages.flatten()
}
