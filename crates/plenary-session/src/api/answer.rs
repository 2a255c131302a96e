//! How steps and endings read over HTTP.

use crate::{
    agreement::Agreement,
    error::Refusal,
    node::Node,
    session::Entry,
    step::{Stepped, token},
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use plenary_service::with_l1;
use plenary_types::{Author, Problem, Promise, SessionId, TransactionHash};
use plenary_validator::{
    finality::Landed,
    http::{Failure, set, to_http},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::{Api, decided, refuse};

/// How long a step waits for the others that it needs, and anything for this node's disk.
const PATIENCE: Duration = Duration::from_secs(2);

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
    let deadline = Instant::now() + PATIENCE;
    loop {
        let agreement = stepped.agreement();
        let settled = || (holds(agreement) || agreement.is_void()).then_some(());
        if until(node, &stepped.entry, deadline, settled)
            .await
            .is_none()
        {
            return Err(refuse(node.lacking(agreement)));
        }
        if !agreement.is_void() {
            return Ok(stepped);
        }
        stepped = node.instead_of(&stepped).map_err(refuse)?;
    }
}

/// Waits until the end of a session is on this node's disk, from where on it ends so whatever crashes:
/// gives what `look` sees of it then.
pub(super) async fn ending<T>(
    node: &Node,
    entry: &Entry,
    look: impl FnMut() -> Option<T>,
) -> Result<T, Failure> {
    let ending = until(node, entry, Instant::now() + PATIENCE, look).await;
    ending.ok_or_else(|| refuse(Refusal::NotDurable))
}

/// What `look` comes to see of a session in time, while the node can still write.
async fn until<T>(
    node: &Node,
    entry: &Entry,
    deadline: Instant,
    look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let mut failure = node.failure();
    tokio::select! {
        biased;
        seen = entry.feed.bell.until(look) => Some(seen),
        _ = failure.wait_for(Option::is_some) => None,
        () = tokio::time::sleep_until(deadline) => None,
    }
}

/// The answer to a step, with this node's promise of it.
pub(super) fn step(stepped: &Stepped, promise: Promise) -> Response {
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
    if let (0, Author::Anonymous { nonce }) = (step.promise.sequence, &step.operation.author) {
        set(headers, super::TOKEN, token(nonce, &step.operation.request));
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
