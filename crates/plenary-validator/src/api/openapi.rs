//! `GET openapi.json`: the framework's resources and the service's routes, OpenAPI 3.1.

use super::Api;
use axum::{Json, extract::State};
use plenary_service::Service;
use serde_json::{Map, Value, json};

/// One resource of the framework: method, path, summary, path parameters, success status.
pub type Resource = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

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
        "/plenary/v1/validators",
        "The validators",
        &[],
        "200",
    ),
    (
        "get",
        "/plenary/v1/blocks",
        "All final blocks from a height on (from), with their certificates, as a stream that does \
         not end (Accept: application/octet-stream): of each the length of the block and of its \
         certificate, 32 bits each, big-endian, then both canonically encoded; a frame of two zero \
         lengths every 5 s in which nothing happens",
        &[],
        "200",
    ),
    (
        "get",
        "/plenary/v1/blocks/{height}",
        "A final block",
        &["height"],
        "200",
    ),
    (
        "post",
        "/plenary/v1/transactions",
        "Submit a transaction and wait for its outcome (Prefer: respond-async, wait=N)",
        &[],
        "200",
    ),
    (
        "post",
        "/plenary/v1/drafts",
        "Submit a session that no session node serves, with the client's signatures and what it \
         was answered, canonically encoded, and wait for its outcome (Prefer: respond-async, \
         wait=N)",
        &[],
        "200",
    ),
    (
        "get",
        "/plenary/v1/transactions/{hash}",
        "A transaction that is final or waiting",
        &["hash"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/receipts/{hash}",
        "The receipt of a final transaction",
        &["hash"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/sessions/{id}",
        "A session that layer 1 has decided: status, operations, why",
        &["id"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/state/{table}/{key}",
        "An entry of the state, with proof",
        &["table", "key"],
        "200",
    ),
    (
        "get",
        "/plenary/v1/evidence",
        "Proof of validators' misbehaviour",
        &[],
        "200",
    ),
    (
        "get",
        "/plenary/v1/events",
        "Final blocks as server-sent events (Last-Event-ID, from)",
        &[],
        "200",
    ),
    ("get", "/metrics", "Metrics for Prometheus", &[], "200"),
    ("get", "/livez", "Whether the process lives", &[], "200"),
    (
        "get",
        "/readyz",
        "Whether the height advances when there is work",
        &[],
        "200",
    ),
];

pub(super) async fn openapi(State(api): State<Api>) -> Json<Value> {
    Json(document(api.node.executor.service(), RESOURCES))
}

/// The description of a node that serves a service's routes and the framework's `resources`.
pub fn document(service: &Service, resources: &[Resource]) -> Value {
    let mut paths = match service.openapi_paths() {
        Value::Object(paths) => paths,
        _ => Map::new(),
    };
    for (method, path, summary, parameters, success) in resources {
        let parameters = parameters.iter().map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        });
        let operation = json!({
            "summary": summary,
            "tags": ["plenary"],
            "parameters": parameters.collect::<Vec<_>>(),
            "responses": {
                *success: { "description": "success" },
                "default": { "$ref": "#/components/responses/Problem" },
            },
        });
        let item = paths.entry(*path).or_insert_with(|| json!({}));
        item[*method] = operation;
    }
    let service = service.id();
    json!({
        "openapi": "3.1.0",
        "info": { "title": service.name, "version": service.version },
        "paths": paths,
        "components": {
            "responses": {
                "Problem": {
                    "description": "What went wrong (RFC 9457)",
                    "content": {
                        "application/problem+json": {
                            "schema": { "$ref": "#/components/schemas/Problem" },
                        },
                    },
                },
            },
            "schemas": { "Problem": problem_schema() },
        },
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "stage", "retryable"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What happened, and what to do" },
            "code": { "type": "string", "description": "Stable, for programs" },
            "stage": { "enum": ["request", "service", "layer2", "layer1", "consensus"] },
            "retryable": { "type": "boolean" },
            "tx_hash": { "type": "string" },
        },
    })
}
