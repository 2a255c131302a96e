//! The validator's HTTP API: the framework's own under `/plenary/v1/`, one module a resource, and
//! the service's routes at the root.

mod blocks;
mod drafts;
mod events;
mod evidence;
mod health;
pub mod openapi;
mod receipts;
mod service;
mod sessions;
mod state;
mod status;
mod transactions;

pub use transactions::accepted;

use crate::{
    http::{Failure, Streams, bad_path, unknown, wrong_method},
    node::Node,
};
use axum::{
    Router,
    http::{HeaderMap, header},
    routing::{any, get, post},
};
use plenary_consensus::Status;
use plenary_types::{Problem, Stage};
use std::sync::Arc;
use tokio::sync::watch;

/// What the API asks of the engine.
pub trait EngineView: Send + Sync + 'static {
    /// The engine now.
    fn status(&self) -> Status;
    /// The engine's metrics in the text format of Prometheus.
    fn metrics(&self) -> String;
}

/// What every handler of the API has.
#[derive(Clone)]
pub struct Api {
    /// The node.
    pub node: Arc<Node>,
    /// Its engine.
    pub engine: Arc<dyn EngineView>,
    /// Becomes true when the node stops.
    pub stopping: watch::Receiver<bool>,
    /// The streams of events that are open.
    pub streams: Streams,
    /// The streams of blocks, which others' events must not crowd out.
    pub followers: Streams,
}

impl Api {
    /// Waits until the node stops: a stream that does not end by itself must end then.
    async fn stopped(&self) {
        // An error says that the node is gone.
        let _ = self.stopping.clone().wait_for(|stop| *stop).await;
    }
}

/// The media type of what is canonically encoded.
const OCTETS: &str = "application/octet-stream";

/// Whether a client wants a thing as it is encoded.
fn wants_octets(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT);
    accepts.is_some_and(|accept| accept == OCTETS)
}

/// The whole API.
pub fn router(api: Api) -> Router {
    let framework = Router::new()
        .route("/status", get(status::status))
        .route("/genesis", get(status::genesis))
        .route("/validators", get(status::validators))
        .route("/blocks", get(blocks::blocks))
        .route("/blocks/{height}", get(blocks::block))
        .route("/transactions", post(transactions::submit))
        .route("/drafts", post(drafts::submit))
        .route("/transactions/{hash}", get(transactions::transaction))
        .route("/receipts/{hash}", get(receipts::receipt))
        .route("/sessions/{id}", get(sessions::session))
        .route("/state/{table}/{key}", get(state::entry))
        .route("/evidence", get(evidence::evidence))
        .route("/events", get(events::events))
        .route("/openapi.json", get(openapi::openapi))
        .fallback(any(unknown))
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/plenary/v1", framework)
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(any(service::serve))
        .with_state(api)
}

/// A finalized thing that is not there.
fn not_found(what: &str, id: impl std::fmt::Display) -> Failure {
    Problem::not_found(what, id).at(Stage::Layer1).into()
}
