//! The session node's HTTP API: the framework's own under `/plenary/v1/`, one module a resource,
//! and the service's routes at the root. `docs/sessions.md` is its contract with clients.

mod answer;
mod decided;
mod events;
mod health;
mod list;
mod openapi;
mod service;
mod sessions;
mod status;

use crate::{
    error::Refusal,
    follow::Follower,
    node::Node,
    session::Entry,
    step::{Asked, check_owner, lock},
};
use axum::{
    Router,
    http::HeaderMap,
    routing::{any, get, post},
};
use plenary_service::OPEN_SESSION;
use plenary_types::{Author, Digest, Problem, PublicKey, Request, SessionId, Signature, Stage};
use plenary_validator::http::{Failure, Streams, bad_path, unknown, wrong_method};
use std::{str::FromStr, sync::Arc};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What every handler of the API has.
#[derive(Clone)]
pub struct Api {
    /// The node.
    pub node: Arc<Node>,
    /// How it follows layer 1.
    pub follower: Arc<Follower>,
    /// The other session nodes that it is connected with.
    pub connected: Arc<dyn Fn() -> Vec<PublicKey> + Send + Sync>,
    slots: Arc<Semaphore>,
    streams: Streams,
}

impl Api {
    /// The API of a node.
    pub fn new(
        node: Arc<Node>,
        follower: Arc<Follower>,
        connected: impl Fn() -> Vec<PublicKey> + Send + Sync + 'static,
    ) -> Self {
        Self {
            streams: Streams::default(),
            slots: Arc::new(Semaphore::new(node.bounds.requests)),
            node,
            follower,
            connected: Arc::new(connected),
        }
    }

    /// A place among the requests that are worked on.
    fn slot(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let slot = self.slots.try_acquire();
        slot.map_err(|_| refuse(Refusal::Overloaded(self.node.bounds.requests)))
    }

    /// The session of this name.
    fn entry(&self, id: SessionId) -> Result<Arc<Entry>, Failure> {
        let entry = self.node.sessions.get(&id);
        entry.ok_or_else(|| refuse(Refusal::UnknownSession(id)))
    }
}

/// The whole API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/plenary/v1/status", get(status::status))
        .route("/plenary/v1/genesis", get(status::genesis))
        .route("/plenary/v1/evidence", get(status::evidence))
        .route(OPEN_SESSION, get(list::list).post(service::serve))
        .route(
            "/plenary/v1/sessions/{id}",
            get(sessions::show).delete(sessions::abort),
        )
        .route("/plenary/v1/sessions/{id}/commit", post(sessions::commit))
        .route("/plenary/v1/sessions/{id}/rebase", post(sessions::rebase))
        .route("/plenary/v1/sessions/{id}/events", get(events::events))
        .route("/plenary/v1/receipts/{hash}", get(decided::receipt))
        .route("/plenary/v1/transactions/{hash}", get(decided::transaction))
        .route("/plenary/v1/openapi.json", get(openapi::openapi))
        .route("/plenary/v1/{*unknown}", any(unknown))
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(wrong_method)
        .fallback(any(service::serve))
        .with_state(api)
}

fn refuse(refusal: impl Into<Refusal>) -> Failure {
    refusal.into().problem().into()
}

/// A header's value, where it is there.
fn header<T: FromStr>(headers: &HeaderMap, name: &'static str) -> Result<Option<T>, Failure> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || {
        let detail = format_args!("the header {name} is malformed; docs/sessions.md has its form");
        Failure(Problem::bad_request("malformed-header", detail).at(Stage::Request))
    };
    parsed.map(Some).ok_or_else(malformed)
}

/// What a request for a step says beside itself.
fn asked(headers: &HeaderMap, request: Request, author: Author) -> Result<Asked, Failure> {
    Ok(Asked {
        request,
        author,
        token: header(headers, TOKEN)?,
        seen: header::<Digest>(headers, "plenary-chain")?,
        commitment: commitment(headers)?,
    })
}

const TOKEN: &str = "plenary-session-token";

fn commitment(headers: &HeaderMap) -> Result<Option<Signature>, Failure> {
    header(headers, "plenary-commitment")
}

/// Checks that a request that is no step is by the session's owner.
fn check_asker(entry: &Entry, headers: &HeaderMap, author: &Author) -> Result<(), Failure> {
    let token: Option<String> = header(headers, TOKEN)?;
    let live = lock(entry).map_err(refuse)?;
    check_owner(entry, &live, author, token.as_deref()).map_err(refuse)
}
