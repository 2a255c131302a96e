//! `GET state/{table}/{key}`: one entry of the state, with the proof that it is there, or is not.

use super::{Api, bad_path};
use crate::{api::transactions::text_or_hex, http::Failure};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use plenary_types::{Problem, Stage, StateKey};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which height to read; the finalized tip where none is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    height: Option<u64>,
}

/// The key is text, or hexadecimal after `0x`.
pub(super) async fn entry(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<At>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let malformed =
        |detail: String| Problem::bad_request("malformed-key", detail).at(Stage::Request);
    let Path((table, key)) = path.map_err(bad_path)?;
    let Query(at) = query.map_err(|rejection| malformed(rejection.body_text()))?;
    let bytes = match key.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|error| malformed(error.to_string()))?,
        None => key.into_bytes(),
    };
    let key = StateKey::new(&table, &bytes)
        .ok_or_else(|| malformed("the table's name or the key is over its bound".into()))?;
    let tip = api.node.store.tip().height;
    let height = at.height.unwrap_or(tip);
    let block = api.node.store.block(height)?;
    let block = block.ok_or_else(|| super::not_found("block", height))?;
    let proof = api.node.store.state().prove(&key, height)?;
    let root = block.header.state;
    let entry = proof
        .verify(&root, &key)
        .map_err(|error| Problem::new(500, "state-proof", error).at(Stage::Layer1))?;
    Ok(Json(json!({
        "height": height,
        "state_root": root,
        "key": key,
        "version": entry.as_ref().map(|entry| entry.version),
        "value": entry.as_ref().map(|entry| text_or_hex(&entry.value)),
        "proof": proof,
    })))
}
