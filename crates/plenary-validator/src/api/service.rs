//! The service's own routes, in direct mode.

use super::{Api, transactions::accepted};
use crate::{
    direct::{Answer, operate},
    http::{Failure, author, from_http, set, to_http, wait},
};
use axum::{
    extract::{Request as HttpRequest, State},
    response::Response,
};
use plenary_service::RouteKind;
use serde_json::{Value, json};

pub(super) async fn serve(State(api): State<Api>, http: HttpRequest) -> Result<Response, Failure> {
    let node = &api.node;
    let (parts, request) = from_http(http).await?;
    let route = node.service.route(&request)?;
    if route.kind() == RouteKind::Read {
        return read(&api, request).await;
    }
    let commits = route.commits_session();
    let author = author(&parts, &request, node.genesis.clients, node.now())?;
    match operate(node, request, author, wait(&parts.headers)).await? {
        Answer::Pending { transaction } => Ok(accepted(transaction)),
        Answer::Refused(response) => Ok(to_http(response)),
        Answer::Final {
            mut response,
            transaction,
            landed,
            session,
        } => {
            if commits {
                let l1 = json!({ "block_height": landed.height, "tx_hash": transaction });
                response.body = with_member(&response.body, "l1", l1);
            }
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
async fn read(api: &Api, request: plenary_types::Request) -> Result<Response, Failure> {
    let node = api.node.clone();
    let height = node.store.tip().height;
    let path = request.path().to_owned();
    let response = api
        .node
        .guard
        .run(path, move || {
            let view = node.store.view(height)?;
            node.executor.read(view, &request, node.now())
        })
        .await?;
    let mut response = to_http(response);
    set(response.headers_mut(), "plenary-finality", "final");
    set(response.headers_mut(), "plenary-height", height);
    Ok(response)
}

/// A JSON object with one more member; anything else stays as it is.
fn with_member(body: &bytes::Bytes, name: &str, value: Value) -> bytes::Bytes {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut members)) => {
            members.insert(name.to_owned(), value);
            Value::Object(members).to_string().into()
        }
        _ => body.clone(),
    }
}
