//! `GET openapi.json`: the session node's resources and the service's routes, OpenAPI 3.1.

use super::Api;
use axum::{Json, extract::State};
use plenary_validator::api::openapi::{Resource, document};
use serde_json::Value;

const RESOURCES: &[Resource] = &[
    (
        "get",
        "/plenary/v1/status",
        "The network, and this node's place in it",
        &[],
        "200",
    ),
    ("get", "/plenary/v1/genesis", "The genesis file", &[], "200"),
    (
        "get",
        "/plenary/v1/evidence",
        "Lies of session nodes, with their signatures",
        &[],
        "200",
    ),
    (
        "post",
        "/plenary/v1/sessions",
        "Open a session of any service",
        &[],
        "201",
    ),
    (
        "get",
        "/plenary/v1/sessions",
        "The sessions that this node has and the ledger has not (status, after, limit)",
        &[],
        "200",
    ),
    (
        "get",
        "/plenary/v1/sessions/{id}",
        "A session: status, operations, why",
        &["id"],
        "200",
    ),
    (
        "delete",
        "/plenary/v1/sessions/{id}",
        "Give a session up",
        &["id"],
        "200",
    ),
    (
        "post",
        "/plenary/v1/sessions/{id}/commit",
        "Commit a session (Plenary-Commitment), and wait for its outcome (Prefer: respond-async, wait=N)",
        &["id"],
        "200",
    ),
    (
        "post",
        "/plenary/v1/sessions/{id}/rebase",
        "Run a session in conflict again on the current state",
        &["id"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/sessions/{id}/events",
        "What happens in a session, as server-sent events (Last-Event-ID)",
        &["id"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/transactions/{hash}",
        "A transaction",
        &["hash"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/receipts/{hash}",
        "The proof of a transaction's outcome",
        &["hash"],
        "200",
    ),
];

pub(super) async fn openapi(State(api): State<Api>) -> Json<Value> {
    Json(document(api.node.executor.service(), RESOURCES))
}
