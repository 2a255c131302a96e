//! The command line.

use crate::{
    check, evaluation, keys, replica,
    signaling::{self, Limits},
};
use clap::{Parser, Subcommand};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Agreement between browsers: what runs beside them
#[derive(Parser)]
#[command(name = "beaufort", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a signaling server, through which browsers find each other, until Ctrl-C
    Signal(SignalArgs),
    /// Make a member's key: writes the private key to a file, prints the public key
    Keygen {
        /// The file to write, which must not exist yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a certificate with the members' keys alone: that they decided a value for a key
    Check(check::Args),
    /// Run a replica that forms one network with pages and other replicas, until Ctrl-C
    Replica(replica::Args),
    /// Repeat the paper's evaluation in a simulator and write what it comes to
    Sim(evaluation::Args),
}

#[derive(clap::Args)]
struct SignalArgs {
    /// Address to listen on
    #[arg(
        long,
        env = "BEAUFORT_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9443"
    )]
    listen: SocketAddr,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections,
        value_parser = at_least_one)]
    connections: usize,
    /// Rooms at a time
    #[arg(long, value_name = "N", default_value_t = Limits::default().rooms,
        value_parser = at_least_one)]
    rooms: usize,
    /// Peers in one room
    #[arg(long, value_name = "N", default_value_t = Limits::default().peers,
        value_parser = at_least_one)]
    peers: usize,
    /// Messages a second that one peer may send for long
    #[arg(long, value_name = "N", default_value_t = Limits::default().rate,
        value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Messages that one peer may send at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().burst,
        value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    /// Seconds between two beats; a peer silent for three of them is gone
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().beat.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    beat: u64,
    /// What to log: a level, or levels by module
    #[arg(
        long,
        env = "BEAUFORT_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Why a command did not do its job.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
    #[error("the system gives no threads or signals: {0}")]
    System(std::io::Error),
    #[error("--log {0}: {1}")]
    Log(String, tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Replica(#[from] replica::ReplicaError),
    #[error("{0:#}")]
    Sim(anyhow::Error),
}

/// Does what the arguments say.
///
/// Exit codes: 0 where the command did its job, 1 where it did not (standard error says why and
/// what to do), 2 where the arguments are wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stream is all that can go wrong, and then nobody is there to be told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Signal(args) => signal(args),
        Command::Keygen { out } => keygen(&out),
        Command::Check(args) => checked(&args),
        Command::Replica(args) => run_replica(&args),
        Command::Sim(args) => evaluation::run(&args).map_err(Failure::Sim),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("beaufort: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn keygen(out: &std::path::Path) -> Result<(), Failure> {
    println!("{}", keys::create(out)?);
    Ok(())
}

fn checked(args: &check::Args) -> Result<(), Failure> {
    println!("{}", check::run(args)?);
    Ok(())
}

fn log(levels: &str) -> Result<(), Failure> {
    let filter: EnvFilter = match levels.parse() {
        Ok(filter) => filter,
        Err(error) => return Err(Failure::Log(levels.to_owned(), error)),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}

fn run_replica(args: &replica::Args) -> Result<(), Failure> {
    log(&args.log)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::System)?;
    runtime.block_on(async {
        let stop = stop_signal().map_err(Failure::System)?;
        Ok(replica::run(args, stop).await?)
    })
}

fn signal(args: SignalArgs) -> Result<(), Failure> {
    log(&args.log)?;
    let limits = Limits {
        connections: args.connections,
        rooms: args.rooms,
        peers: args.peers,
        rate: args.rate,
        burst: args.burst,
        beat: Duration::from_secs(args.beat),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::System)?;
    runtime.block_on(serve(args.listen, limits))
}

async fn serve(address: SocketAddr, limits: Limits) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| Failure::Listen { address, source })?;
    let address = listener.local_addr().map_err(Failure::Serve)?;
    let stop = CancellationToken::new();
    let asked = stop_signal().map_err(Failure::System)?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            asked.await;
            stop.cancel();
        }
    });
    println!("ws://{address}/");
    tracing::info!(%address, "signaling; Ctrl-C ends it");
    signaling::serve(listener, limits, stop)
        .await
        .map_err(Failure::Serve)
}

/// Listens for Ctrl-C and SIGTERM from when it is called; what it returns waits for the first.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + use<>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens for Ctrl-C from when it is waited on.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + use<>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
