//! `POST transactions`: submit one and wait for its outcome. `GET transactions/{hash}`: one that
//! is final or waiting.

use super::{Api, OCTETS, bad_path, not_found, wants_octets};
use crate::{
    direct::decided,
    error::Refusal,
    finality::{Ending, Landed},
    http::{Failure, read_body, set, wait},
    lookup::transaction_at,
    mempool::Candidate,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use plenary_types::{Operation, Transaction, TransactionHash, limits::MAX_TRANSACTION_BYTES};
use serde_json::{Value, json};

pub(super) async fn submit(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let body = read_body(body, MAX_TRANSACTION_BYTES).await?;
    let transaction: Transaction =
        plenary_types::decode(body).map_err(|error| Refusal::Encoding(error.to_string()))?;
    transaction
        .validate(&api.node.genesis)
        .map_err(Refusal::from)?;
    land(&api, &headers, Candidate::new(transaction)).await
}

/// Submits a transaction that is known to be valid, and waits for its outcome.
pub(super) async fn land(
    api: &Api,
    headers: &HeaderMap,
    candidate: Candidate,
) -> Result<Response, Failure> {
    let hash = candidate.hash;
    let waiter = api.node.finality.wait(hash);
    if let Err(refusal) = api.node.submit_validated(candidate) {
        api.node.finality.forget(&hash);
        return Err(refusal.into());
    }
    match tokio::time::timeout(wait(headers), waiter).await {
        Ok(Ok(Ending::Landed(landed))) => Ok(ended(hash, &landed)),
        Ok(Ok(Ending::Superseded)) => Err(Failure(
            plenary_types::Problem::conflict(
                "superseded",
                "an operation of it was committed in another transaction, or it grew too old",
            )
            .about(hash),
        )),
        Ok(Err(_)) => Err(Refusal::Stopping.into()),
        Err(_) => {
            api.node.finality.forget(&hash);
            Ok(accepted(hash))
        }
    }
}

/// 202: it is on its way, and where to ask for it.
pub fn accepted(hash: TransactionHash) -> Response {
    let location = format!("/plenary/v1/transactions/{hash}");
    let body = json!({ "hash": hash, "status": "pending", "location": location });
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    set(headers, "plenary-tx", hash);
    set(headers, "location", location);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn ended(hash: TransactionHash, landed: &Landed) -> Response {
    let mut response = match decided(hash, &landed.outcome) {
        Some(problem) => Failure(problem).into_response(),
        None => Json(json!({
            "hash": hash,
            "status": "final",
            "height": landed.height,
            "index": landed.index,
            "outcome": landed.outcome,
        }))
        .into_response(),
    };
    set(response.headers_mut(), "plenary-tx", hash);
    set(response.headers_mut(), "plenary-height", landed.height);
    set(response.headers_mut(), "plenary-finality", "final");
    response
}

/// As JSON for people, or, where the client accepts `application/octet-stream`, as it is encoded:
/// whoever has a receipt can check by the hash what it is a receipt of.
pub(super) async fn transaction(
    State(api): State<Api>,
    headers: HeaderMap,
    hash: Result<Path<TransactionHash>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(hash) = hash.map_err(bad_path)?;
    if wants_octets(&headers) {
        return encoded(&api, hash);
    }
    Ok(found(&api, hash)?.into_response())
}

fn encoded(api: &Api, hash: TransactionHash) -> Result<Response, Failure> {
    let location = api.node.store.transaction(&hash)?;
    let transaction = match location {
        Some(location) => Some(transaction_at(&api.node.store, location)?.0),
        None => api
            .node
            .pending_transaction(&hash)
            .map(|it| it.transaction.clone()),
    };
    let transaction = transaction.ok_or_else(|| not_found("transaction", hash))?;
    Ok((
        [(header::CONTENT_TYPE, OCTETS)],
        plenary_types::encode(&transaction),
    )
        .into_response())
}

fn found(api: &Api, hash: TransactionHash) -> Result<Json<Value>, Failure> {
    if let Some(location) = api.node.store.transaction(&hash)? {
        let (transaction, outcome) = transaction_at(&api.node.store, location)?;
        let mut value = describe(&transaction);
        value["status"] = "final".into();
        value["height"] = location.height.into();
        value["index"] = location.index.into();
        value["outcome"] = json!(outcome);
        return Ok(Json(value));
    }
    match api.node.pending_transaction(&hash) {
        Some(candidate) => {
            let mut value = describe(&candidate.transaction);
            value["status"] = "pending".into();
            Ok(Json(value))
        }
        None => Err(not_found("transaction", hash)),
    }
}

fn describe(transaction: &Transaction) -> Value {
    json!({
        "hash": transaction.hash(),
        "service": transaction.service,
        "originator": transaction.originator,
        "operations": transaction.operations.iter().map(operation).collect::<Vec<_>>(),
    })
}

fn operation(operation: &Operation) -> Value {
    json!({
        "id": operation.id(),
        "client": operation.client(),
        "time": operation.time,
        "request": {
            "method": operation.request.method,
            "target": operation.request.target,
            "body": text_or_hex(&operation.request.body),
        },
        "response": {
            "status": operation.response.status,
            "body": text_or_hex(&operation.response.body),
        },
        "reads": operation.reads.len(),
    })
}

/// JSON as JSON, text as text, anything else in hexadecimal.
pub(super) fn text_or_hex(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": hex::encode(bytes) }),
    })
}
