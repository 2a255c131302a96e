//! `bench`: the experiments.

pub(crate) mod wan;

use super::Failure;
use crate::{app::App, output::Output};

/// Measure the service's own workflow.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Simulate the workflow between distant sites, in virtual time
    Wan(wan::Args),
}

pub(crate) fn run(app: App, command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Wan(args) => wan::run(app, args, output),
    }
}
