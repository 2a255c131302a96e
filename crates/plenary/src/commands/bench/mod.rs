//! `bench`: the service's own workflow, measured on networks that the command starts itself.

pub(crate) mod latency;

use super::Failure;
use crate::{app::App, output::Output};

/// Measure the service's own workflow on networks that it starts itself.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// How long each step takes, through layer 2 and at layer 1 alone, by the size of the network
    Latency(latency::Args),
}

pub(crate) fn run(app: &App, command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Latency(args) => latency::run(app, args, output),
    }
}
