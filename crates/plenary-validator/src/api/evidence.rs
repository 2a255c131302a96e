//! `GET evidence`: proof of validators' misbehaviour, each two signed votes that contradict.

use super::Api;
use axum::{Json, extract::State};
use serde_json::{Value, json};

pub(super) async fn evidence(State(api): State<Api>) -> Json<Value> {
    let genesis = &api.node.genesis;
    let evidence = api.node.evidence.all().into_iter().map(|evidence| {
        let validator = genesis.validators.get(evidence.validator as usize);
        json!({
            "name": validator.map(|validator| &validator.name),
            "key": validator.map(|validator| validator.key),
            "evidence": evidence,
        })
    });
    Json(json!({ "evidence": evidence.collect::<Vec<_>>() }))
}
