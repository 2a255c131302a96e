//! The encrypted and authenticated transport between session nodes.
//!
//! Every node dials every other and sends on the connections it dialed; it receives on those it
//! accepted. So there is one connection a direction, and nothing to agree on when two nodes dial each
//! other at once. A connection is TLS 1.3 between the keys that the genesis names (`tls`), a byte of
//! welcome, then messages (`frame`).
//!
//! A message is delivered once and in order, or not at all: when a connection ends, what was on its
//! way or queued is lost. Whoever cares sends again after [`Inbox::connected`]. A slow peer loses
//! messages too ([`Peers::send`] says so), and never makes anyone wait.
//!
//! At rest there is no traffic but TCP's own keepalive.

mod accept;
mod dial;
mod frame;
mod queue;
#[cfg(test)]
mod tests;
mod tls;

use accept::Acceptor;
use bytes::Bytes;
use dial::Dialer;
use plenary_types::{Genesis, PrivateKey, PublicKey};
use queue::Queue;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Largest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How long a connection may take until it counts.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a node needs to talk to its peers.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node's key, which must be one of the genesis's session nodes.
    pub key: PrivateKey,
    /// The network: connections are taken from its session nodes, and from nobody else.
    pub genesis: Arc<Genesis>,
    /// Where to listen; port 0 for any that is free.
    pub listen: SocketAddr,
    /// The other session nodes, and where they listen.
    pub peers: Vec<(PublicKey, SocketAddr)>,
}

/// Who is told what the peers send. Called on the transport's tasks: must return soon and not block.
pub trait Inbox: Send + Sync + 'static {
    /// A message of a peer. Messages of one peer come one after another, in the order they were sent.
    fn receive(&self, from: PublicKey, message: Bytes);

    /// From now on messages can be sent to `peer`. Says nothing about what comes from there.
    fn connected(&self, peer: PublicKey);

    /// The connection on which messages were sent to `peer` is gone. It is being dialed again.
    fn disconnected(&self, peer: PublicKey);
}

/// Why a node cannot talk to its peers.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// A key is not the genesis's.
    #[error(
        "{0} is no session node of this network: correct the key, or name it in the genesis's session_nodes"
    )]
    NotASessionNode(PublicKey),
    /// A peer is there twice, or it is this node.
    #[error(
        "the peer {0} is listed twice or is this node itself: list every other session node once"
    )]
    Repeated(PublicKey),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for session nodes: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The key cannot be used.
    #[error("cannot set up TLS with this node's key: {0}")]
    Tls(#[from] rustls::Error),
}

/// A node's connections to its peers. Dropping it ends them too, but waits for nothing.
pub struct Peers {
    address: SocketAddr,
    queues: BTreeMap<PublicKey, Arc<Queue>>,
    tasks: Tasks,
    stop: DropGuard,
}

/// Listens, and begins to dial every peer. Must be called in a tokio runtime.
///
/// # Errors
///
/// Keys that do not fit the genesis; an address that cannot be listened on.
pub async fn start(config: Config, inbox: Arc<dyn Inbox>) -> Result<Peers, PeersError> {
    let failed = |source| PeersError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    serve(config, listener, address, inbox)
}

fn serve(
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    inbox: Arc<dyn Inbox>,
) -> Result<Peers, PeersError> {
    check(&config)?;
    let identity = tls::Identity::new(&config.key, &config.genesis)?;
    let others = session_nodes(&config.genesis).filter(|key| *key != config.key.public_key());
    let server = TlsAcceptor::from(identity.server(others.collect())?);
    let mut dialers = Vec::new();
    for (peer, address) in config.peers {
        dialers.push(Dialer {
            peer,
            address,
            tls: identity.client(peer)?,
            queue: Arc::default(),
            inbox: inbox.clone(),
        });
    }

    let tasks = Tasks::default();
    let queues = dialers
        .iter()
        .map(|dialer| (dialer.peer, dialer.queue.clone()));
    let peers = Peers {
        address,
        queues: queues.collect(),
        stop: tasks.stop.clone().drop_guard(),
        tasks: tasks.clone(),
    };
    tasks.spawn(Acceptor::new(listener, server, inbox, tasks.clone()).run());
    for dialer in dialers {
        tasks.spawn(dialer.run());
    }
    Ok(peers)
}

impl Peers {
    /// Queues a message for a peer, without waiting for anything. False, and the message is dropped:
    /// there is no connection, its queue is full, or the message is larger than
    /// [`MAX_MESSAGE_BYTES`]. True promises nothing: the connection may end before the message has
    /// arrived.
    #[must_use]
    pub fn send(&self, to: &PublicKey, message: Bytes) -> bool {
        self.queues.get(to).is_some_and(|queue| queue.push(message))
    }

    /// The peers that messages can be sent to, sorted.
    pub fn connected(&self) -> Vec<PublicKey> {
        let open = self.queues.iter().filter(|(_, queue)| queue.is_open());
        open.map(|(peer, _)| *peer).collect()
    }

    /// Where this node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections and releases the address. Nothing is told to the [`Inbox`] after this has
    /// returned, and what was queued is lost.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

/// The tasks of a transport, which end together.
#[derive(Clone, Default)]
struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// `task`, which ends when the transport stops, and which stopping waits for.
    fn track<F: Future>(&self, task: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        let stoppable = self.stop.clone().run_until_cancelled_owned(task);
        self.tracker.track_future(stoppable)
    }

    fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(self.track(task))
    }
}

fn session_nodes(genesis: &Genesis) -> impl Iterator<Item = PublicKey> {
    genesis.session_nodes.iter().map(|node| node.key)
}

/// Whether the keys are this genesis's, each once.
fn check(config: &Config) -> Result<(), PeersError> {
    let known: BTreeSet<PublicKey> = session_nodes(&config.genesis).collect();
    let mut seen = BTreeSet::new();
    let peers = config.peers.iter().map(|(peer, _)| *peer);
    for key in std::iter::once(config.key.public_key()).chain(peers) {
        if !known.contains(&key) {
            return Err(PeersError::NotASessionNode(key));
        }
        if !seen.insert(key) {
            return Err(PeersError::Repeated(key));
        }
    }
    Ok(())
}
