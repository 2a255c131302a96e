//! `GET sessions`: the sessions that this node has, a page at a time.

use super::Api;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use plenary_types::{Problem, SessionId, Stage};
use plenary_validator::http::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

/// Sessions on a page where nothing else is asked for, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

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
    let malformed = |rejection: QueryRejection| {
        Problem::bad_request("malformed-query", rejection.body_text()).at(Stage::Request)
    };
    let Query(filter) = query.map_err(malformed)?;
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let (mut found, mut after) = (Vec::new(), filter.after);
    loop {
        let page = api.node.sessions.page(after, limit);
        let Some(last) = page.last() else {
            after = None;
            break;
        };
        after = Some(last.id);
        for entry in &page {
            // One whose handler is running is listed the next time.
            let Some(live) = entry.live.try_lock() else {
                continue;
            };
            let status = live.status.name();
            if filter
                .status
                .as_deref()
                .is_none_or(|wanted| wanted == status)
            {
                let operations = live.steps.len();
                found.push(json!({
                    "session": entry.id,
                    "status": status,
                    "operations": operations,
                }));
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(Json(json!({ "sessions": found, "next": after })))
}
