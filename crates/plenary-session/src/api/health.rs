//! `/livez`, `/readyz`, `/metrics`: for supervisors and for Prometheus.

use super::Api;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use plenary_types::{Problem, Stage};
use plenary_validator::http::Failure;

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready means: it follows a validator, and could answer.
pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let not_ready = |detail: String| {
        let problem = Problem::new(503, "not-ready", detail)
            .at(Stage::Layer2)
            .retryable();
        Failure(problem)
    };
    if let Some(failure) = &*api.node.failure().borrow() {
        return Err(not_ready(failure.clone()));
    }
    if !api.follower.status().connected {
        return Err(not_ready("no validator can be followed".into()));
    }
    Ok("ready\n")
}

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let node = &api.node;
    let text = node
        .metrics
        .encode(node.store.tip().height, node.sessions.len(), node.pending());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
