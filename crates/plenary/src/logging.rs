//! The log of a node, on standard error.

use std::io;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// What is logged unless told otherwise: of the engine, what someone should look at.
const FILTER: &str = "info,commonware=warn";

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log: a level, or levels by module, such as `info,plenary_validator=debug`
    #[arg(
        long,
        env = "PLENARY_LOG",
        value_name = "FILTER",
        default_value = FILTER, value_parser = filter
    )]
    log: Box<EnvFilter>,
    /// How to write log lines
    #[arg(
        long,
        env = "PLENARY_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

fn filter(text: &str) -> Result<Box<EnvFilter>, ParseError> {
    text.parse().map(Box::new)
}

/// Starts logging. Only the first call in a process counts.
pub(crate) fn start(args: LogArgs) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(*args.log)
        .with_writer(io::stderr);
    // An error says that logging has been started before.
    let _ = match args.log_format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
