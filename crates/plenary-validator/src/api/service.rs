//! The service's own routes, in direct mode.

use super::{Api, transactions::accepted};
use crate::{
    direct::{Answer, operate},
    http::{Failure, author, from_http, reach, set, to_http, wait},
};
use axum::{
    extract::{Request as HttpRequest, State},
    response::Response,
};
use plenary_service::{Route, with_l1};

pub(super) async fn serve(State(api): State<Api>, http: HttpRequest) -> Result<Response, Failure> {
    let node = &api.node;
    let (parts, request) = from_http(http).await?;
    reach(&node.finality, &parts.headers).await?;
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
