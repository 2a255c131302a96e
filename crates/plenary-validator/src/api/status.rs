//! `GET status`, `GET validators`, `GET genesis`: the network and this node's place in it.

use super::Api;
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use plenary_types::{Problem, PublicKey, Stage};
use serde_json::{Value, json};

pub(super) async fn status(State(api): State<Api>) -> Json<Value> {
    let (node, engine) = (&api.node, api.engine.status());
    let tip = node.store.tip();
    let key = node.key.public_key();
    let (index, name) = match node.genesis.validator(&key) {
        Some((index, member)) => (Some(index), member.name.as_str()),
        None => (None, ""),
    };
    Json(json!({
        "network": node.genesis.network,
        "genesis": node.genesis.hash(),
        "service": node.genesis.service,
        "mode": "direct",
        "validator": { "name": name, "key": key, "index": index },
        "height": tip.height,
        "block": tip.hash,
        "state_root": tip.root,
        "view": engine.view,
        "leader": engine.leader.map(|leader| name_of(&api, &leader)),
        "peers": engine.connected.len(),
        "pending": node.pending(),
    }))
}

fn name_of(api: &Api, key: &PublicKey) -> String {
    match api.node.genesis.validator(key) {
        Some((_, member)) => member.name.clone(),
        None => key.to_string(),
    }
}

pub(super) async fn validators(State(api): State<Api>) -> Json<Value> {
    let own = api.node.key.public_key();
    let engine = api.engine.status();
    let genesis = &api.node.genesis;
    let validators = genesis
        .validators
        .iter()
        .enumerate()
        .map(|(index, member)| {
            json!({
                "index": index,
                "name": member.name,
                "key": member.key,
                "connected": member.key == own || engine.connected.contains(&member.key),
            })
        });
    Json(json!({
        "validators": validators.collect::<Vec<_>>(),
        "quorum": genesis.quorum(),
        "faults_tolerated": genesis.faults(),
    }))
}

pub(super) async fn genesis(State(api): State<Api>) -> Response {
    match api.node.genesis.to_toml() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/toml")], text).into_response(),
        Err(error) => {
            let problem = Problem::new(500, "genesis-unwritable", error).at(Stage::Layer1);
            crate::http::Failure(problem).into_response()
        }
    }
}
