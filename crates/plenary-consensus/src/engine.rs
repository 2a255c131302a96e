//! A validator's engine in a running process: TCP, files, a thread of its own.

use crate::{Application, Demand};
use bytes::Bytes;
use plenary_types::{Block, Genesis, PrivateKey, PublicKey};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

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
    /// The engine stopped by itself: a disk that is full or broken, files that are not this
    /// network's, an application that dropped an acknowledgement.
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

/// A running engine. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Engine {}

/// Starts the engine of one validator.
///
/// # Errors
///
/// Where the configuration cannot work on this machine.
pub fn start(
    _config: Config,
    _application: Arc<dyn Application>,
    _demand: Demand,
) -> Result<Engine, EngineError> {
    unimplemented!()
}

impl Engine {
    /// Sends a message of the application to the other validators, the current leader first. It
    /// may be lost: the application repeats what matters to it.
    pub fn broadcast(&self, _message: Bytes) {
        unimplemented!()
    }

    /// The engine now.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// The engine's own metrics, in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        unimplemented!()
    }

    /// Why the engine stopped by itself, where it has.
    pub fn failure(&self) -> Option<EngineError> {
        unimplemented!()
    }

    /// Waits until the engine stops by itself, and says why. The future is independent of the
    /// engine, and never ends where the engine is stopped by its owner.
    pub fn failed(&self) -> impl Future<Output = EngineError> + Send + 'static {
        std::future::pending()
    }

    /// Stops the engine and waits until it has: no call to the application comes afterwards.
    ///
    /// # Errors
    ///
    /// Where it had stopped by itself before.
    pub fn stop(self) -> Result<(), EngineError> {
        unimplemented!()
    }
}
