//! A validator's engine in a running process: TCP, files, a thread of its own.

use crate::{
    Application, Demand, convert,
    failure::{Failure, explain},
    gossip::Broadcaster,
    network::{self, Connections},
    observer::Observations,
    stack::{self, Parts},
    store::WINDOW,
};
use bytes::Bytes;
use commonware_cryptography::ed25519;
use commonware_p2p::Address;
use commonware_runtime::{Metrics as _, Runner as _, Supervisor as _, tokio as runtime};
use commonware_utils::ordered::Map;
use futures::future::Either;
use plenary_types::{Block, Genesis, GenesisHash, PrivateKey, PublicKey};
use std::{
    any::Any,
    fmt, io,
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// After how long without a word, pings included, a connection counts as broken.
const READ_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many threads wait for the disk, or execute blocks, on behalf of the engine. Each keeps memory
/// of its own: without a bound there were forty under load, of which a few had something to do.
const BLOCKING_THREADS: usize = 8;

/// The file that says which network a directory is of.
const MARK: &str = "genesis";
/// Where in the directory the engine's own files are.
const FILES: &str = "files";

/// Most blocks delivered to the application and not yet acknowledged.
pub const MAX_UNACKNOWLEDGED: usize = 256;

/// Largest message an application may broadcast, in bytes.
pub const MAX_BROADCAST_BYTES: usize = plenary_types::limits::MAX_TRANSACTION_BYTES + 1024;

/// What an engine needs to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// This validator's key.
    pub key: PrivateKey,
    /// The network.
    pub genesis: Arc<Genesis>,
    /// The block at height 0.
    pub genesis_block: Block,
    /// Where to listen for the other validators.
    pub listen: SocketAddr,
    /// Where the other validators listen.
    pub peers: Vec<(PublicKey, SocketAddr)>,
    /// Where the engine keeps its files; nothing else may be in it.
    pub directory: PathBuf,
    /// How many threads the engine runs on.
    pub threads: usize,
}

/// Why an engine did not start, or stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The key is none of a validator.
    #[error("the key {0} is not of a validator that the genesis names")]
    NotValidator(PublicKey),
    /// A validator has no address.
    #[error("the configuration gives no address for the validator `{name}` ({key})")]
    NoAddress {
        /// The validator's name in the genesis.
        name: String,
        /// Its key.
        key: PublicKey,
    },
    /// The genesis block is of another genesis.
    #[error("the genesis block is not the genesis' own; restore the file it was made from")]
    GenesisBlock,
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; another program may use the port, choose another one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// The directory cannot be used.
    #[error("cannot use the directory {}: {error}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// The directory has the files of another network.
    #[error(
        "the directory {} has the files of network {found}, not of {expected}; use another one",
        directory.display()
    )]
    OtherNetwork {
        /// The directory.
        directory: PathBuf,
        /// The configured network.
        expected: GenesisHash,
        /// What the directory says.
        found: String,
    },
    /// The engine stopped because its disk is full.
    #[error(
        "no space is left in {}: free some, then start the node again; everything acknowledged is kept (the ordering engine stopped: {reason})",
        directory.display()
    )]
    Full {
        /// The engine's directory.
        directory: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The engine stopped by itself: a disk that is broken, files that are not this network's, an
    /// application that dropped an acknowledgement.
    #[error("the ordering engine stopped: {0}")]
    Stopped(String),
}

/// The engine at one moment, for people and for routing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The view it is in.
    pub view: u64,
    /// The validator that leads this view: the one to send transactions to first.
    pub leader: Option<PublicKey>,
    /// The other validators it is connected with.
    pub connected: Vec<PublicKey>,
}

impl Status {
    pub(crate) fn of(observations: &Observations, connected: Vec<PublicKey>) -> Self {
        Self {
            view: observations.view(),
            leader: observations.leader().as_ref().map(convert::public_key),
            connected,
        }
    }
}

/// A running engine. Dropping it stops it without waiting.
pub struct Engine {
    directory: PathBuf,
    broadcaster: Broadcaster,
    observations: Arc<Observations>,
    connections: Connections,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
    failure: Failure,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// What the engine's thread hands out once it runs.
struct Running {
    broadcaster: Broadcaster,
    observations: Arc<Observations>,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Starts the engine of one validator; returns when its files are open. Blocks for that long.
///
/// # Errors
///
/// Where the configuration cannot work on this machine.
pub fn start(
    config: Config,
    application: Arc<dyn Application>,
    demand: Demand,
) -> Result<Engine, EngineError> {
    let addresses = check(&config)?;
    let failure = Failure::none();
    let stop = Arc::new(Notify::new());
    let (connections, met) = Connections::new();
    let (ready, running) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("consensus".into());
    let directory = config.directory.clone();
    let thread = thread.spawn({
        let (failure, stop, connections) = (failure.clone(), stop.clone(), connections.clone());
        move || {
            let run = Run {
                config,
                addresses,
                application,
                demand,
                failure: failure.clone(),
                stop,
                connections,
                met,
                ready,
            };
            // A part that cannot go on panics: its disk is full, or its files are damaged.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.run())) {
                failure.set(panic_message(panic.as_ref()));
            }
        }
    });
    let thread = thread.map_err(|error| EngineError::Directory {
        directory: directory.clone(),
        error: Arc::new(error),
    })?;
    let Ok(Running {
        broadcaster,
        observations,
        metrics,
    }) = running.recv()
    else {
        let _ = thread.join();
        return Err(explain(&directory, failure.get().unwrap_or_default()));
    };
    Ok(Engine {
        directory,
        broadcaster,
        observations,
        connections,
        metrics,
        failure,
        stop,
        thread: Some(thread),
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a part of it panicked".into())
}

/// Finds what can be found to be wrong before anything runs; gives the peers' addresses.
fn check(config: &Config) -> Result<Map<ed25519::PublicKey, Address>, EngineError> {
    let me = config.key.public_key();
    let genesis = &config.genesis;
    if genesis.validator(&me).is_none() {
        return Err(EngineError::NotValidator(me));
    }
    let mut addresses = Vec::new();
    for validator in &genesis.validators {
        let peer = config.peers.iter().find(|(key, _)| *key == validator.key);
        let address = match peer {
            _ if validator.key == me => config.listen,
            Some((_, address)) => *address,
            None => {
                return Err(EngineError::NoAddress {
                    name: validator.name.clone(),
                    key: validator.key,
                });
            }
        };
        addresses.push((validator.key, address));
    }
    let expected = Block::genesis(genesis, config.genesis_block.header.state);
    if config.genesis_block != expected {
        return Err(EngineError::GenesisBlock);
    }
    claim(&config.directory, genesis.hash())?;
    // The network would panic on it; what takes the port in between still ends the engine.
    TcpListener::bind(config.listen).map_err(|error| EngineError::Listen {
        address: config.listen,
        error: Arc::new(error),
    })?;
    let addresses = addresses.into_iter().filter_map(|(key, address)| {
        let key = convert::engine_key(&key)?;
        Some((key, Address::from(address)))
    });
    Ok(Map::from_iter_dedup(addresses))
}

/// Makes the directory this network's, where it is nobody's yet.
fn claim(directory: &Path, expected: GenesisHash) -> Result<(), EngineError> {
    let unusable = |error| EngineError::Directory {
        directory: directory.to_owned(),
        error: Arc::new(error),
    };
    std::fs::create_dir_all(directory).map_err(unusable)?;
    let mark = directory.join(MARK);
    match std::fs::read_to_string(&mark) {
        Ok(found) if found == expected.to_string() => Ok(()),
        Ok(found) => Err(EngineError::OtherNetwork {
            directory: directory.to_owned(),
            expected,
            found,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::write(&mark, expected.to_string()).map_err(unusable)
        }
        Err(error) => Err(unusable(error)),
    }
}

/// What the engine's thread runs.
struct Run {
    config: Config,
    addresses: Map<ed25519::PublicKey, Address>,
    application: Arc<dyn Application>,
    demand: Demand,
    failure: Failure,
    stop: Arc<Notify>,
    connections: Connections,
    met: mpsc::UnboundedReceiver<ed25519::PublicKey>,
    ready: std::sync::mpsc::Sender<Running>,
}

impl Run {
    fn run(self) {
        let runtime = runtime::Config::new()
            .with_worker_threads(self.config.threads.max(1))
            .with_max_blocking_threads(BLOCKING_THREADS)
            .with_read_write_timeout(READ_WRITE_TIMEOUT)
            .with_storage_directory(self.config.directory.join(FILES));
        runtime::Runner::new(runtime).start(|context| self.supervise(context));
    }

    /// Starts every part, and ends when the owner says so or when a part does.
    async fn supervise(self, context: runtime::Context) {
        let Config {
            key,
            genesis,
            genesis_block,
            listen,
            ..
        } = self.config;
        let key = convert::signing_key(&key);
        let network = network::start(
            context.child("network"),
            key.clone(),
            &genesis,
            listen,
            self.addresses,
            self.connections,
        );
        let parts = Parts {
            key,
            genesis,
            genesis_block,
            application: self.application,
            demand: self.demand,
            failure: self.failure.clone(),
            provider: network.oracle.clone(),
            blocker: network.oracle,
            channels: network.channels,
            met: self.met,
            prefix: "engine".into(),
            window: WINDOW,
        };
        let mut stack = stack::launch(context.child("engine"), parts).await;
        stack.tasks.push(("network", network.task));
        let metrics = context.child("metrics");
        // The owner waits for it.
        let _ = self.ready.send(Running {
            broadcaster: stack.broadcaster,
            observations: stack.observations,
            metrics: Box::new(move || metrics.encode()),
        });
        let parts = stack.tasks.into_iter();
        let ends = parts.map(|(name, task)| Box::pin(async move { (name, task.await) }));
        let ended = futures::future::select_all(ends);
        match futures::future::select(pin!(self.stop.notified()), ended).await {
            Either::Left(_) => {}
            Either::Right((((name, result), ..), _)) => {
                self.failure.set(format!("its {name} ended ({result:?})"));
            }
        }
    }
}

impl Engine {
    /// Sends a message of the application to the other validators, the current leader first. It
    /// may be lost: the application repeats what matters to it. A message of more than
    /// [`MAX_BROADCAST_BYTES`] is dropped.
    pub fn broadcast(&self, message: Bytes) {
        self.broadcaster.broadcast(message);
    }

    /// The engine now.
    pub fn status(&self) -> Status {
        Status::of(&self.observations, self.connections.peers())
    }

    /// The engine's own metrics, in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        (self.metrics)()
    }

    /// Why the engine stopped by itself, where it has.
    pub fn failure(&self) -> Option<EngineError> {
        let reason = self.failure.get()?;
        Some(explain(&self.directory, reason))
    }

    /// Waits until the engine stops by itself, and says why. The future is independent of the
    /// engine, and never ends where the engine is stopped by its owner.
    pub fn failed(&self) -> impl Future<Output = EngineError> + Send + 'static {
        let (failure, directory) = (self.failure.clone(), self.directory.clone());
        async move {
            match failure.wait().await {
                Some(reason) => explain(&directory, reason),
                None => std::future::pending().await,
            }
        }
    }

    /// Stops the engine and waits until it has: no call to the application comes afterwards.
    ///
    /// # Errors
    ///
    /// Where it had stopped by itself before.
    pub fn stop(mut self) -> Result<(), EngineError> {
        self.end();
        if let Some(thread) = self.thread.take() {
            // The thread catches its panics.
            let _ = thread.join();
        }
        self.failure().map_or(Ok(()), Err)
    }

    fn end(&self) {
        self.failure.stop();
        self.stop.notify_one();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}
