//! `GET status`, `GET genesis`, `GET evidence`: the network, and this node's place in it.

use super::Api;
use crate::evidence::Described;
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use plenary_types::{Problem, PublicKey, Stage};
use plenary_validator::http::Failure;
use serde_json::{Value, json};

pub(super) async fn status(State(api): State<Api>) -> Json<Value> {
    let node = &api.node;
    let (tip, following) = (node.store.tip(), api.follower.status());
    let key = node.key.public_key();
    let validators = &node.genesis.validators;
    let source = validators.iter().find(|one| one.key == following.source);
    Json(json!({
        "network": node.genesis.network,
        "genesis": node.genesis.hash(),
        "service": node.genesis.service,
        "mode": "session",
        "session_node": { "name": name(&api, &key), "key": key },
        "height": tip.height,
        "block": tip.hash,
        "state_root": tip.root,
        "follows": source.map(|validator| &validator.name),
        "connected": following.connected,
        "peers": (api.connected)().iter().map(|peer| name(&api, peer)).collect::<Vec<_>>(),
        "participation": node.bounds.participation.to_string(),
        "sessions": node.sessions.open(),
        "steps": node.metrics.steps.get(),
        "pending": node.pending(),
    }))
}

fn name(api: &Api, key: &PublicKey) -> Option<String> {
    let nodes = &api.node.genesis.session_nodes;
    let named = nodes.iter().find(|node| node.key == *key);
    named.map(|node| node.name.clone())
}

pub(super) async fn genesis(State(api): State<Api>) -> Response {
    match api.node.genesis.to_toml() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/toml")], text).into_response(),
        Err(error) => {
            let problem = Problem::new(500, "genesis-unwritable", error).at(Stage::Layer2);
            Failure(problem).into_response()
        }
    }
}

pub(super) async fn evidence(State(api): State<Api>) -> Json<Value> {
    let node = &api.node;
    let all = node.evidence.all();
    let described = all.iter().map(|one| Described::new(one, &node.genesis));
    Json(json!({ "evidence": described.collect::<Vec<_>>() }))
}
