//! `start`: one validator, one process.

use super::{Failure, system};
use crate::{
    app::App,
    config::{Config, Overrides},
    logging::{self, LogArgs},
    output::Output,
    signals::Stop,
};
use plenary_validator::{Settings, Validator};
use std::{
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};
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

pub(crate) fn run(app: App, args: Args, output: Output) -> Result<(), Failure> {
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(system("threads"))?;
    let done = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let validator = plenary_validator::start(app.service, settings).await?;
        let (name, network) = (node.name, "");
        tracing::info!(%name, http = %validator.http_addr(), "started");
        serve(validator, &mut stop, args.stop_with_stdin, output).await
    });
    // A handler that never comes back must not keep the process.
    runtime.shutdown_background();
    done
}
