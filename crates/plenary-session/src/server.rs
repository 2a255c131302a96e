//! A running session node: store, log, core, connections and HTTP server, started and stopped
//! together.

use crate::{
    api::{Api, router},
    evidence::EvidenceLog,
    follow::{self, Follower, Validators, submit::Submitter},
    inbox::{self, Inbox, Worker},
    log::{self, Log, LogError},
    node::{Bounds, Node, OpenError, Outside, Parts},
    participation::Participation,
    peers::{self, Peers, PeersError},
};
use bytes::Bytes;
use parking_lot::RwLock;
use plenary_service::{Executor, Options, SeedError, Service, ServiceError};
use plenary_store::{Entry, Files, Store, StoreError};
use plenary_types::{Genesis, PrivateKey, PublicKey, Timestamp, Transaction};
use plenary_validator::flush::Flusher;
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How often sessions are looked through for those whose time is over, and transactions for those
/// that layer 1 has not taken.
const TICK: Duration = Duration::from_millis(250);

/// What a session node is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This node's key.
    pub key: PrivateKey,
    /// Where it keeps its files.
    pub data_dir: PathBuf,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it listens for the other session nodes.
    pub p2p: SocketAddr,
    /// Where the other session nodes listen.
    pub peers: Vec<(PublicKey, SocketAddr)>,
    /// Where the validators serve HTTP.
    pub validators: Vec<(PublicKey, String)>,
    /// Participation, and what bounds sessions.
    pub bounds: Bounds,
    /// Run every operation twice and report any difference.
    pub double_run: bool,
}

/// Why a session node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service is not well declared.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// The genesis is not one that the service can start from.
    #[error("{0}")]
    Genesis(#[from] SeedError),
    /// The genesis does not name this node.
    #[error(
        "the genesis names no session node with the key {0}: add it to session_nodes on every node, or use the right key"
    )]
    Stranger(PublicKey),
    /// More session nodes must agree than there are.
    #[error(
        "participation {participation} needs more session nodes than the {nodes} of the genesis: ask for fewer"
    )]
    Participation {
        /// What is asked for.
        participation: Participation,
        /// How many there are.
        nodes: usize,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// State or ledger cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The session log cannot be opened.
    #[error("{0}")]
    Log(#[from] LogError),
    /// What the files hold does not fit together.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The HTTP address cannot be listened on.
    #[error(
        "cannot serve HTTP on {address}: {error}; another program may use the port, choose another one"
    )]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A thread is lacking.
    #[error("cannot start a thread for other session nodes' steps: {0}")]
    Thread(io::Error),
    /// The other session nodes cannot be listened for.
    #[error("{0}")]
    Peers(#[from] PeersError),
    /// The validators cannot be followed.
    #[error("{0}")]
    Follow(#[from] follow::StartError),
    /// A validator's URL is none.
    #[error("{0}")]
    Url(#[from] follow::UrlError),
}

/// A running session node.
pub struct SessionNode {
    node: Arc<Node>,
    world: Arc<World>,
    follower: Arc<Follower>,
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    server: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    worker: Arc<Worker>,
}

/// What is around a node; put together after it, for all of it calls the node.
#[derive(Default)]
struct World {
    peers: RwLock<Option<Peers>>,
    submitter: OnceLock<Submitter>,
    inbox: RwLock<Option<Inbox>>,
}

impl World {
    fn connected_peers(&self) -> Vec<PublicKey> {
        let peers = self.peers.read();
        peers.as_ref().map(Peers::connected).unwrap_or_default()
    }
}

impl Outside for Arc<World> {
    fn send(&self, to: &PublicKey, message: Bytes) {
        if let Some(peers) = &*self.peers.read() {
            // What is lost is asked for again with the next step.
            let _ = peers.send(to, message);
        }
    }

    fn submit(&self, transaction: &Transaction, attempt: usize) {
        if let Some(submitter) = self.submitter.get() {
            // What is not sent now is sent at the next tick.
            let _ = submitter.submit(transaction, attempt);
        }
    }
}

impl peers::Inbox for World {
    fn receive(&self, from: PublicKey, message: Bytes) {
        if let Some(inbox) = &*self.inbox.read() {
            inbox.receive(from, message);
        }
    }

    fn connected(&self, peer: PublicKey) {
        tracing::info!(%peer, "connected with a session node");
        if let Some(inbox) = &*self.inbox.read() {
            inbox.met(peer);
        }
    }

    fn disconnected(&self, peer: PublicKey) {
        tracing::info!(%peer, "lost a session node");
    }
}

/// The node as the follower sees it.
struct Following {
    node: Arc<Node>,
    world: Arc<World>,
}

impl follow::Chain for Following {
    fn height(&self) -> u64 {
        self.node.store.tip().height
    }

    fn take(&self, entry: Entry) -> Result<(), String> {
        if let Some(submitter) = self.world.submitter.get() {
            submitter.followed(&entry.block.header);
        }
        let taken = self.node.final_block(&entry.block, entry.certificate);
        taken.map_err(|error| error.to_string())
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// Starts a session node. It serves as soon as this returns, and follows its network from then on.
///
/// # Errors
///
/// What is wrong, and what to do about it.
pub async fn start(
    service: impl Into<Arc<Service>>,
    settings: Settings,
) -> Result<SessionNode, StartError> {
    let own = settings.key.public_key();
    if !settings.genesis.is_session_node(&own) {
        return Err(StartError::Stranger(own));
    }
    let nodes = settings.genesis.session_nodes.len();
    let participation = settings.bounds.participation;
    if participation.needed(nodes - 1) > nodes - 1 {
        return Err(StartError::Participation {
            participation,
            nodes,
        });
    }
    let world = Arc::<World>::default();
    let (failed, failure) = watch::channel(None);
    let node = open(service.into(), &settings, &world, failed)?;
    let listener = TcpListener::bind(settings.http).await;
    let http = |error| StartError::Http {
        address: settings.http,
        error,
    };
    let listener = listener.map_err(http)?;
    let address = listener.local_addr().map_err(http)?;
    let validators = Validators {
        nodes: settings.validators,
    };
    let tip = tip(&node)?;
    let refusing = Arc::downgrade(&node);
    let submitter = Submitter::new(&validators, &tip, move |refused| {
        tracing::debug!(transaction = %refused.transaction, validator = %refused.validator,
            problem = %refused.problem, "a validator refuses a transaction");
        if let Some(node) = refusing.upgrade() {
            node.refused(&refused);
        }
    })?;
    let _ = world.submitter.set(submitter);
    let (inbox, worker) = inbox::start(node.clone()).map_err(StartError::Thread)?;
    let worker = Arc::new(worker);
    *world.inbox.write() = Some(inbox);
    let peers = peers::start(
        peers::Config {
            key: settings.key,
            genesis: settings.genesis.clone(),
            listen: settings.p2p,
            peers: settings.peers,
        },
        world.clone(),
    );
    *world.peers.write() = Some(peers.await?);
    let following = Arc::new(Following {
        node: node.clone(),
        world: world.clone(),
    });
    let follower = follow::start(settings.genesis, &tip, &validators, following)?;
    let follower = Arc::new(follower);
    let (stopping, stopped) = watch::channel(false);
    let looking = world.clone();
    let api = Api::new(node.clone(), follower.clone(), move || {
        looking.connected_peers()
    });
    let server = tokio::spawn(serve(listener, api, stopped));
    let tasks = vec![
        tokio::spawn(watch_failures(node.clone(), follower.clone(), failure)),
        tokio::spawn(tick(node.clone(), worker.clone())),
    ];
    Ok(SessionNode {
        node,
        world,
        follower,
        address,
        stopping,
        server,
        tasks,
        worker,
    })
}

/// Opens the files, and puts the node together on them.
fn open(
    service: Arc<Service>,
    settings: &Settings,
    world: &Arc<World>,
    failed: watch::Sender<Option<String>>,
) -> Result<Arc<Node>, StartError> {
    let Settings {
        genesis, data_dir, ..
    } = settings;
    let options = Options {
        double_run: settings.double_run,
    };
    let executor = Arc::new(Executor::new(service, options)?);
    let changes = executor.genesis(genesis)?;
    let files = Files::in_directory(data_dir)?;
    let store = Arc::new(Store::open(files, genesis, || Ok::<_, SeedError>(changes))?);
    let directory = |error| StartError::Directory {
        path: data_dir.clone(),
        error,
    };
    let evidence = EvidenceLog::open(&data_dir.join("contradictions.log")).map_err(directory)?;
    let failed = Arc::new(failed);
    let told = failed.clone();
    let (log, recovered) = Log::grouped(log::in_directory(data_dir)?, move |reason| {
        told.send_replace(Some(reason));
    })?;
    let flusher = Flusher::grouped(store.clone(), move |reason| {
        failed.send_replace(Some(reason));
    });
    Ok(Arc::new(Node::new(Parts {
        genesis: genesis.clone(),
        key: settings.key,
        executor,
        store,
        flusher: flusher.map_err(directory)?,
        log,
        recovered,
        evidence,
        bounds: settings.bounds.clone(),
        clock: Box::new(system_time),
        outside: Box::new(world.clone()),
    })?))
}

fn tip(node: &Node) -> Result<plenary_types::Header, StartError> {
    let block = node.store.block(node.store.tip().height)?;
    let block = block.unwrap_or_else(|| node.store.genesis_block().clone());
    Ok(block.header.clone())
}

async fn serve(listener: TcpListener, api: Api, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error says that the node is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let server = axum::serve(listener, router(api)).with_graceful_shutdown(shutdown);
    if let Err(error) = server.await {
        tracing::error!(%error, "the HTTP server stopped");
    }
}

async fn watch_failures(
    node: Arc<Node>,
    follower: Arc<Follower>,
    mut failure: watch::Receiver<Option<String>>,
) {
    tokio::select! {
        reason = follower.failed() => node.fail(reason),
        Ok(reason) = failure.wait_for(Option::is_some) => {
            node.fail(reason.as_deref().unwrap_or_default());
        }
    }
}

async fn tick(node: Arc<Node>, worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        node.tick();
        worker.relieve();
    }
}

impl SessionNode {
    /// Where it serves HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.address
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits until the node fails, and says why: it must be stopped then.
    pub async fn failed(&self) -> String {
        let mut failure = self.node.failure();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the node is gone".into(),
        }
    }

    /// Stops it: no new requests, open ones get a moment, everything acknowledged is durable.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.server).await;
        for task in &self.tasks {
            task.abort();
        }
        self.follower.stop().await;
        self.world.inbox.write().take();
        let (node, worker) = (self.node, self.worker);
        let stop = move || {
            worker.stop();
            node.stop();
        };
        // A thread that panicked has stopped as well.
        let _ = tokio::task::spawn_blocking(stop).await;
        let peers = self.world.peers.write().take();
        if let Some(peers) = peers {
            peers.stop().await;
        }
    }
}
