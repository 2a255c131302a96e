//! A running validator: store, node, engine and HTTP server, started and stopped together.

use crate::{
    api::{Api, EngineView, router},
    chain::ChainError,
    evidence::EvidenceLog,
    flush::Flusher,
    http::Streams,
    intake::Intake,
    node::{Node, Parts},
    worker::BLOCK_LIMIT,
};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_consensus::{Config, Demand, Engine, EngineError, Status};
use plenary_service::{Executor, Options, SeedError, Service, ServiceError};
use plenary_store::{Files, Store, StoreError};
use plenary_types::{Block, Genesis, PrivateKey, PublicKey, Timestamp};
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How often transactions that still wait are broadcast again, in case they were lost.
const REBROADCAST: Duration = Duration::from_secs(1);

/// What a validator is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This validator's key.
    pub key: PrivateKey,
    /// Where it keeps its files.
    pub data_dir: PathBuf,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it listens for the other validators.
    pub p2p: SocketAddr,
    /// Where the other validators listen.
    pub peers: Vec<(PublicKey, SocketAddr)>,
    /// Run every operation twice and report any difference.
    pub double_run: bool,
}

/// Why a validator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service is not well declared.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// The genesis is not one that the service can start from.
    #[error("{0}")]
    Genesis(#[from] SeedError),
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
    /// The ledger does not re-execute.
    #[error("the ledger and this program do not agree: {0}")]
    Replay(#[from] ChainError),
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
    /// The engine does not start.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

/// A running validator.
pub struct Validator {
    node: Arc<Node>,
    engine: Arc<EngineCell>,
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// The engine, which the API looks at and stopping takes away.
struct EngineCell(Mutex<Option<Engine>>);

impl EngineView for EngineCell {
    fn status(&self) -> Status {
        self.0
            .lock()
            .as_ref()
            .map(Engine::status)
            .unwrap_or_default()
    }

    fn metrics(&self) -> String {
        self.0
            .lock()
            .as_ref()
            .map(Engine::metrics)
            .unwrap_or_default()
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// Starts a validator. It serves as soon as this returns, and follows its network from then on.
///
/// # Errors
///
/// What is wrong, and what to do about it.
pub async fn start(
    service: impl Into<Arc<Service>>,
    settings: Settings,
) -> Result<Validator, StartError> {
    let Settings {
        genesis,
        key,
        data_dir,
        http,
        p2p,
        peers,
        double_run,
    } = settings;
    let service = service.into();
    let executor = Arc::new(Executor::new(service, Options { double_run })?);
    let changes = executor.genesis(&genesis)?;
    let files = Files::in_directory(&data_dir)?;
    let store = Arc::new(Store::open(files, &genesis, || {
        Ok::<_, SeedError>(changes)
    })?);
    let directory = |error| StartError::Directory {
        path: data_dir.clone(),
        error,
    };
    let evidence = EvidenceLog::open(&data_dir.join("evidence.jsonl")).map_err(directory)?;
    let listener = TcpListener::bind(http).await;
    let listener = listener.map_err(|error| StartError::Http {
        address: http,
        error,
    })?;
    let address = listener.local_addr().map_err(|error| StartError::Http {
        address: http,
        error,
    })?;

    let (flush_failed, mut flush_failure) = watch::channel(None);
    let flusher = Flusher::grouped(store.clone(), move |reason| {
        flush_failed.send_replace(Some(reason));
    });
    let demand = Demand::new();
    let genesis_block = Block::clone(store.genesis_block());
    let node = Arc::new(Node::new(Parts {
        genesis: genesis.clone(),
        key,
        executor,
        store,
        evidence,
        flusher: flusher.map_err(directory)?,
        demand: demand.clone(),
        block_limit: BLOCK_LIMIT,
        clock: Box::new(system_time),
    })?);
    Intake::start(&node).map_err(directory)?;
    let engine = plenary_consensus::start(
        Config {
            key,
            genesis,
            genesis_block,
            listen: p2p,
            peers,
            directory: data_dir.join("consensus"),
            threads: 1,
        },
        node.clone(),
        demand,
    )?;
    let engine_failure = engine.failed();
    let engine = Arc::new(EngineCell(Mutex::new(Some(engine))));
    let outbox = engine.clone();
    node.connect(Box::new(move |message: Bytes| {
        if let Some(engine) = &*outbox.0.lock() {
            engine.broadcast(message);
        }
    }));

    let (stopping, stopped) = watch::channel(false);
    let api = Api {
        node: node.clone(),
        engine: engine.clone(),
        stopping: stopped.clone(),
        streams: Streams::default(),
        followers: Streams::default(),
    };
    let mut tasks = vec![tokio::spawn(serve(listener, api, stopped))];
    let own = node.clone();
    tasks.push(tokio::spawn(async move {
        tokio::select! {
            failure = engine_failure => own.fail(failure),
            Ok(reason) = flush_failure.wait_for(Option::is_some) => {
                own.fail(reason.as_deref().unwrap_or_default());
            }
        }
    }));
    let own = node.clone();
    tasks.push(tokio::spawn(async move {
        loop {
            // No timer runs while there is nothing to do.
            own.until_work().await;
            tokio::time::sleep(REBROADCAST).await;
            own.rebroadcast();
        }
    }));
    Ok(Validator {
        node,
        engine,
        address,
        stopping,
        tasks,
    })
}

async fn serve(listener: TcpListener, api: Api, mut stopped: watch::Receiver<bool>) {
    let shutdown = async move {
        // An error says that the validator is gone: stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let listener = listener.tap_io(|connection| {
        // A block on a stream must not wait for the acknowledgement of the one before.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with Nagle's algorithm");
        }
    });
    let server = axum::serve(listener, router(api)).with_graceful_shutdown(shutdown);
    if let Err(error) = server.await {
        tracing::error!(%error, "the HTTP server stopped");
    }
}

impl Validator {
    /// Where it serves HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.address
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits until the validator fails, and says why: it must be stopped then.
    pub async fn failed(&self) -> String {
        let mut failure = self.node.failure();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the node is gone".into(),
        }
    }

    /// Stops it: no new requests, open ones get a moment, everything final is made durable.
    ///
    /// # Errors
    ///
    /// Where the engine had stopped by itself before.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.stopping.send_replace(true);
        let server = self.tasks.remove(0);
        let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
        for task in &self.tasks {
            task.abort();
        }
        let (node, engine) = (self.node, self.engine.0.lock().take());
        let stopped = tokio::task::spawn_blocking(move || {
            let stopped = engine.map_or(Ok(()), Engine::stop);
            node.stop();
            stopped
        });
        stopped
            .await
            .unwrap_or_else(|error| Err(EngineError::Stopped(error.to_string())))
    }
}
