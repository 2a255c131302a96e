//! The signaling server: a WebSocket at `/` over which members of a room find each other.
//!
//! Two browsers need somebody to pass a few messages between them before they have a channel of
//! their own. That is all that this server does: it passes signals between peers of one
//! room and refuses everything else, so that no data of an application can go through it. It knows
//! no keys and checks none; whoever joins is known by an id that the server draws, and what a peer
//! says of itself is proven between the peers. docs/beaufort/signaling.md is the protocol.
//!
//! Everything a stranger can make it hold is bounded by [`Limits`].

pub(crate) mod message;
mod rooms;
mod socket;

use axum::{
    Router,
    extract::{State, ws::WebSocketUpgrade},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use rooms::Rooms;
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most bytes a message may have: session descriptions of data channels take about 1 kB.
pub const MAX_MESSAGE: usize = 8 * 1024;
/// How long peers have to hear that the server stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// What strangers can make a server hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, whether they have joined a room or not.
    pub connections: usize,
    /// Rooms at a time. A room is there as long as somebody is in it.
    pub rooms: usize,
    /// Peers in one room.
    pub peers: usize,
    /// Messages a second that one peer may send for long.
    pub rate: u32,
    /// Messages that one peer may send at once: to enter takes about ten for each neighbour.
    pub burst: u32,
    /// How long between two beats of the server; a peer that is silent for three of them is gone.
    pub beat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            rooms: 1024,
            peers: 512,
            rate: 20,
            burst: 400,
            beat: Duration::from_secs(20),
        }
    }
}

/// What all connections share.
struct Server {
    limits: Limits,
    rooms: Arc<Rooms>,
    places: Arc<Semaphore>,
    sockets: TaskTracker,
    stop: CancellationToken,
}

/// Serves until `stop` is cancelled, then says goodbye to every peer.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let sockets = TaskTracker::new();
    let server = Arc::new(Server {
        rooms: Arc::new(Rooms::new(limits.rooms, limits.peers)),
        places: Arc::new(Semaphore::new(limits.connections)),
        sockets: sockets.clone(),
        stop: stop.clone(),
        limits,
    });
    let router = Router::new()
        .route("/", get(connect))
        .route("/livez", get(|| async { "ok\n" }))
        .with_state(server);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    sockets.close();
    // Who does not take the goodbye finds out by itself.
    let _ = tokio::time::timeout(GOODBYE, sockets.wait()).await;
    Ok(())
}

async fn connect(State(server): State<Arc<Server>>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = Arc::clone(&server.places).try_acquire_owned() else {
        let full = "this server has as many connections as it takes; try another one, or later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, full).into_response();
    };
    let tracked = server.sockets.token();
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            socket::run(socket, &server).await;
            drop((place, tracked));
        })
}
