//! How steps and endings read over HTTP.

use crate::{agreement::Agreement, feed::Feed, node::Node, step::Stepped};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use plenary_service::with_l1;
use plenary_types::{Problem, Promise, SessionId, TransactionHash};
use plenary_validator::{
    finality::Landed,
    http::{Failure, set, to_http},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::{Api, decided, refuse};

/// How long a step waits for the others that it needs.
const PARTICIPATION: Duration = Duration::from_secs(2);

/// Waits until a step may be answered: it is durable, and those agree that must. Gives
/// the step that it is then: another one may have taken its place.
pub(super) async fn agreed(node: &Node, stepped: Stepped) -> Result<Stepped, Failure> {
    settled(node, stepped, Agreement::holds).await
}

/// Waits until those agree on a step that must, wherever it is on this node's disk. Gives the step
/// that it is then.
pub(super) async fn endorsed(node: &Node, stepped: Stepped) -> Result<Stepped, Failure> {
    settled(node, stepped, Agreement::is_endorsed).await
}

async fn settled(
    node: &Node,
    mut stepped: Stepped,
    holds: impl Fn(&Agreement) -> bool,
) -> Result<Stepped, Failure> {
    let deadline = Instant::now() + PARTICIPATION;
    loop {
        let agreement = stepped.agreement();
        let settled = || holds(agreement) || agreement.is_void();
        if !until(&stepped.entry.feed, deadline, settled).await {
            return Err(refuse(node.lacks_participation(agreement)));
        }
        if !agreement.is_void() {
            return Ok(stepped);
        }
        stepped = node.instead_of(&stepped).map_err(refuse)?;
    }
}

/// Whether something comes to hold in time.
async fn until(feed: &Feed, deadline: Instant, mut holds: impl FnMut() -> bool) -> bool {
    let held = feed.bell.until(|| holds().then_some(()));
    tokio::time::timeout_at(deadline, held).await.is_ok()
}

/// The answer to a step, with this node's promise of it.
pub(super) fn step(node: &Node, stepped: &Stepped, promise: Promise) -> Response {
    let (step, session) = (&stepped.step, stepped.entry.id);
    let mut response = to_http(stepped.response().clone());
    let headers = response.headers_mut();
    let finality = match stepped.agreement().is_replicated() {
        true => "replicated",
        false => "simulated",
    };
    set(headers, "plenary-finality", finality);
    set(headers, "plenary-session", session);
    set(headers, "plenary-sequence", step.promise.sequence);
    set(headers, "plenary-promise", promise);
    set(headers, "plenary-height", step.promise.height);
    let own = step.promise.node == node.key.public_key();
    if own && step.promise.sequence == 0 && step.operation.client().is_none() {
        set(headers, super::TOKEN, node.token(session));
    }
    response
}

/// The final answer to an operation: alone, or the last of a session.
pub(super) fn last(
    response: plenary_types::Response,
    commits: bool,
    session: SessionId,
    transaction: TransactionHash,
    landed: &Landed,
) -> Response {
    let response = match commits {
        true => with_l1(response, landed.height, transaction),
        false => response,
    };
    let mut response = to_http(response);
    mark_final(&mut response, session, transaction, landed.height);
    response
}

/// Adds where a final answer is final.
pub(super) fn mark_final(
    response: &mut Response,
    session: SessionId,
    transaction: TransactionHash,
    height: u64,
) {
    let headers = response.headers_mut();
    set(headers, "plenary-finality", "final");
    set(headers, "plenary-tx", transaction);
    set(headers, "plenary-height", height);
    set(headers, "plenary-session", session);
}

/// 202: the commit is on its way, and where to ask for it.
pub(super) fn on_its_way(api: &Api, session: SessionId, transaction: TransactionHash) -> Response {
    let location = format!("/plenary/v1/sessions/{session}");
    let body = json!({
        "session": session,
        "status": "committing",
        "transaction": transaction,
        "location": location,
        "why": decided::why_not_yet(api, transaction),
    });
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    set(headers, "plenary-tx", transaction);
    set(headers, "plenary-session", session);
    set(headers, "location", location);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A decision against a session, as a problem that names its place.
pub(super) fn against(problem: Problem, session: SessionId, landed: &Landed) -> Response {
    let transaction = problem.tx_hash;
    let mut response = Failure(problem.with("session", session.to_string())).into_response();
    if let Some(transaction) = transaction {
        mark_final(&mut response, session, transaction, landed.height);
    }
    response
}
