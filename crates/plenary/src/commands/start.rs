//! `start`: one node, one process, whichever its role.

use super::{Failure, system};
use crate::{
    app::App,
    arenas,
    config::{Config, Layer2, Node, Overrides},
    logging::{self, LogArgs},
    signals::Stop,
};
use plenary_service::Service;
use plenary_session::SessionNode;
use plenary_validator::Validator;
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, thread, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long a node may take to stop before its process ends all the same. What it has
/// acknowledged is durable by then; what it would still flush, it replays at the next start.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Run one node: a validator or a session node.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file; `testnet init` makes one for every node
    #[arg(long, env = "PLENARY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    log: LogArgs,
    /// Stop once standard input is closed: for a parent process that may die
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub(crate) fn run(app: App, args: Args) -> Result<(), Failure> {
    let config = Config::load(&args.config, &args.overrides)?;
    let node = config.node(app.service.id())?;
    arenas::limit();
    logging::start(args.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(system("threads"))?;
    let done = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let name = node.name.clone();
        let running = Running::start(app.service, config, node).await?;
        tracing::info!(name, http = %running.http_addr(), "started");
        let ended = tokio::select! {
            by = stop.asked() => Ok(by),
            by = input_closed(args.stop_with_stdin) => Ok(by),
            reason = running.failed() => Err(StartFailure::Failed(reason)),
        };
        if let Ok(by) = ended {
            tracing::info!(by, "stopping");
        }
        let stopped = timeout(STOP_WITHIN, running.stop()).await;
        ended?;
        match stopped {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StartFailure::Disorder(error).into()),
            Err(_) => Err(StartFailure::Late.into()),
        }
    });
    // A handler that never comes back must not keep the process.
    runtime.shutdown_background();
    done
}

/// A node that runs.
enum Running {
    Validator(Validator),
    Session(SessionNode),
}

impl Running {
    async fn start(
        service: Arc<Service>,
        config: Config,
        node: Node,
    ) -> Result<Self, StartFailure> {
        let Node {
            genesis,
            key,
            peers,
            layer2,
            ..
        } = node;
        let Some(Layer2 { validators, bounds }) = layer2 else {
            let settings = plenary_validator::Settings {
                genesis,
                key,
                data_dir: config.data_dir,
                http: config.http,
                p2p: config.p2p,
                peers,
                double_run: config.double_run,
            };
            let started = plenary_validator::start(service, settings).await;
            return started
                .map(Self::Validator)
                .map_err(StartFailure::Validator);
        };
        let settings = plenary_session::Settings {
            genesis,
            key,
            data_dir: config.data_dir,
            http: config.http,
            p2p: config.p2p,
            peers,
            validators,
            bounds,
            double_run: config.double_run,
        };
        let started = plenary_session::start(service, settings).await;
        started.map(Self::Session).map_err(StartFailure::Session)
    }

    fn http_addr(&self) -> SocketAddr {
        match self {
            Self::Validator(validator) => validator.http_addr(),
            Self::Session(node) => node.http_addr(),
        }
    }

    async fn failed(&self) -> String {
        match self {
            Self::Validator(validator) => validator.failed().await,
            Self::Session(node) => node.failed().await,
        }
    }

    async fn stop(self) -> Result<(), String> {
        match self {
            Self::Validator(validator) => validator.stop().await.map_err(|error| error.to_string()),
            Self::Session(node) => {
                node.stop().await;
                Ok(())
            }
        }
    }
}

/// Why a node did not run until it was asked to stop, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartFailure {
    /// A validator does not start.
    #[error(transparent)]
    Validator(plenary_validator::StartError),
    /// A session node does not start.
    #[error(transparent)]
    Session(plenary_session::StartError),
    /// It could not go on.
    #[error("the node had to stop: {0}")]
    Failed(String),
    /// A part of it had stopped before.
    #[error("the node stopped, but not in order: {0}")]
    Disorder(String),
    /// It takes too long.
    #[error(
        "the node did not stop within {} s; it recovers at the next start", STOP_WITHIN.as_secs()
    )]
    Late,
}

/// Waits until standard input is closed, where that is to be watched.
pub(crate) async fn input_closed(watched: bool) -> &'static str {
    if !watched {
        return std::future::pending().await;
    }
    let (closed, seen) = oneshot::channel::<()>();
    // A thread of its own: a read of standard input cannot be given up, and must keep neither
    // the runtime nor the process from ending.
    let spawned = thread::Builder::new().name("stdin".into()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(closed);
    });
    if spawned.is_err() {
        return "no thread to watch standard input";
    }
    let _ = seen.await;
    "standard input is closed"
}
