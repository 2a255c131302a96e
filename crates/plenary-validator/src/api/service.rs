//! The service's own routes, in direct mode.

use super::{Api, transactions::accepted};
use crate::{
    direct::{Answer, operate},
    error::Refusal,
    http::{Failure, author, from_http, set, to_http, wait},
};
use axum::{
    extract::{Request as HttpRequest, State},
    http::HeaderMap,
    response::Response,
};
use plenary_service::{Route, with_l1};
use plenary_types::{Problem, Stage};
use std::time::Duration;

/// How long a validator may be behind the one that a client comes from.
const LAG: Duration = Duration::from_secs(2);

pub(super) async fn serve(State(api): State<Api>, http: HttpRequest) -> Result<Response, Failure> {
    let node = &api.node;
    let (parts, request) = from_http(http).await?;
    reach(&api, &parts.headers).await?;
    let route = node.executor.route(&request)?;
    if !route.is_operation() {
        return read(&api, route, request).await;
    }
    let commits = route.commits_session();
    let author = author(&parts, &request, node.genesis.clients, node.now())?;
    match operate(node, route, request, author, wait(&parts.headers)).await? {
        Answer::Pending { transaction } => Ok(accepted(transaction)),
        Answer::Refused(response) => Ok(to_http(response)),
        Answer::Final {
            response,
            transaction,
            landed,
            session,
        } => {
            let response = match commits {
                true => with_l1(response, landed.height, transaction),
                false => response,
            };
            let mut response = to_http(response);
            let headers = response.headers_mut();
            set(headers, "plenary-finality", "final");
            set(headers, "plenary-tx", transaction);
            set(headers, "plenary-height", landed.height);
            set(headers, "plenary-session", session);
            Ok(response)
        }
    }
}

/// Waits until this validator is as far as the client has seen another one: a client that goes
/// from one validator to the next sends the last `Plenary-Height` it was answered, and never reads
/// less than it has written.
async fn reach(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get("plenary-height") else {
        return Ok(());
    };
    let height = value
        .to_str()
        .ok()
        .and_then(|height| height.parse::<u64>().ok());
    let height = height.ok_or_else(|| {
        Problem::bad_request("malformed-header", "Plenary-Height must be a height")
            .at(Stage::Request)
    })?;
    let mut heights = api.node.finality.heights();
    let reached = heights.wait_for(|own| *own >= height);
    match tokio::time::timeout(wait(headers).min(LAG), reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Refusal::Stopping.into()),
        Err(_) => {
            let own = api.node.store.tip().height;
            let detail = format!("this validator is at height {own}, not yet at {height}");
            let problem = Problem::new(503, "behind", detail).at(Stage::Layer1);
            Err(problem.retryable().into())
        }
    }
}

/// Answers a read from the finalized state, without consensus.
async fn read(
    api: &Api,
    route: &Route,
    request: plenary_types::Request,
) -> Result<Response, Failure> {
    let (node, now) = (api.node.clone(), api.node.now());
    let (tip, view) = node.store.state().latest();
    let read = move || Ok(node.executor.read(view, &request, now)?);
    let execution = api.node.guard.run(route, now, read).await?;
    let mut response = to_http(execution.response());
    set(response.headers_mut(), "plenary-finality", "final");
    set(response.headers_mut(), "plenary-height", tip.height);
    Ok(response)
}
