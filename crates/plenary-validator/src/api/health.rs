//! `/livez`, `/readyz`, `/metrics`: for supervisors and for Prometheus.

use super::Api;
use crate::{guard::MOST_ABANDONED, http::Failure};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use plenary_types::{Problem, Stage};
use std::time::Duration;

/// How long work may wait without the height advancing before the node is not ready.
const STUCK: Duration = Duration::from_secs(10);

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready means: connected with a quorum, and the height advances when there is work.
pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let not_ready = |detail: String| {
        let problem = Problem::new(503, "not-ready", detail)
            .at(Stage::Layer1)
            .retryable();
        Failure(problem)
    };
    let node = &api.node;
    if let Some(failure) = &*node.failure().borrow() {
        return Err(not_ready(failure.clone()));
    }
    let connected = api.engine.status().connected.len() + 1;
    let quorum = node.genesis.quorum();
    if connected < quorum {
        return Err(not_ready(format!(
            "connected with {connected} validators, itself included; a quorum is {quorum}"
        )));
    }
    let waited = node.metrics.waiting_since_progress(node.pending() > 0);
    if waited > STUCK {
        return Err(not_ready(format!(
            "{} transactions wait, and no block was final for {} s",
            node.pending(),
            waited.as_secs()
        )));
    }
    if node.guard.abandoned() >= MOST_ABANDONED {
        return Err(not_ready(
            "too many handlers did not come back; find the loop and restart the node".into(),
        ));
    }
    Ok("ready\n")
}

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let node = &api.node;
    let text = node.metrics.encode(node.store.tip().height, node.pending()) + &api.engine.metrics();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
