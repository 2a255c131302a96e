//! `start`: one validator, one process.

use super::{Failure, system};
use crate::{
    app::App,
    config::{Config, Overrides},
    logging::{self, LogArgs},
    signals::Stop,
};
use plenary_validator::{Settings, StartError};
use std::{io, path::PathBuf, thread, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long a node may take to stop before its process ends all the same. What it has
/// acknowledged is durable by then; what it would still flush, it replays at the next start.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Run one validator.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration file; `testnet init` makes one for every validator
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
    logging::start(args.log);
    let settings = Settings {
        genesis: node.genesis,
        key: node.key,
        data_dir: config.data_dir,
        http: config.http,
        p2p: config.p2p,
        peers: node.peers,
        double_run: config.double_run,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(system("threads"))?;
    let done = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let validator = plenary_validator::start(app.service, settings).await;
        let validator = validator.map_err(StartFailure::Start)?;
        tracing::info!(name = node.name, http = %validator.http_addr(), "started");
        let ended = tokio::select! {
            by = stop.asked() => Ok(by),
            by = input_closed(args.stop_with_stdin) => Ok(by),
            reason = validator.failed() => Err(StartFailure::Failed(reason)),
        };
        if let Ok(by) = ended {
            tracing::info!(by, "stopping");
        }
        let stopped = timeout(STOP_WITHIN, validator.stop()).await;
        ended?;
        match stopped {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StartFailure::Disorder(error.to_string()).into()),
            Err(_) => Err(StartFailure::Late.into()),
        }
    });
    // A handler that never comes back must not keep the process.
    runtime.shutdown_background();
    done
}

/// Why a validator did not run until it was asked to stop, or did not stop in order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartFailure {
    /// It does not start.
    #[error(transparent)]
    Start(StartError),
    /// It could not go on.
    #[error("the validator had to stop: {0}")]
    Failed(String),
    /// A part of it had stopped before.
    #[error("the validator stopped, but not in order: {0}")]
    Disorder(String),
    /// It takes too long.
    #[error(
        "the validator did not stop within {} s; it recovers at the next start", STOP_WITHIN.as_secs()
    )]
    Late,
}

/// Waits until standard input is closed, where that is to be watched.
async fn input_closed(watched: bool) -> &'static str {
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
