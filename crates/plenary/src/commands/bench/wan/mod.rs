//! `bench wan`: what a commit and a step take between distant sites, in virtual time, beside what they
//! would take at least.
//!
//! The real cores of validators and session nodes run the author's workflow in the engine's
//! deterministic simulator, over a matrix of delays: the same seed gives the same numbers, on whatever
//! machine. docs/performance/wan.md says what is measured and what is left out.

#[cfg(feature = "simulation")]
mod client;
#[cfg(feature = "simulation")]
mod experiment;
#[cfg(feature = "simulation")]
mod matrix;
#[cfg(feature = "simulation")]
mod minimum;
#[cfg(feature = "simulation")]
mod plan;
#[cfg(feature = "simulation")]
mod report;
#[cfg(feature = "simulation")]
mod setup;
#[cfg(all(test, feature = "simulation"))]
mod tests;
#[cfg(feature = "simulation")]
mod wire;
#[cfg(feature = "simulation")]
mod world;

#[cfg(feature = "simulation")]
pub(crate) use plan::{WanFailure, run};
#[cfg(not(feature = "simulation"))]
pub(crate) use refusal::{WanFailure, run};

use std::path::PathBuf;

/// Which validators crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Crashed {
    /// None
    None,
    /// As many as the network bears
    Most,
    /// Once none and once as many as the network bears
    Both,
}

/// Simulate the service's own workflow between distant sites, in virtual time.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "simulation"), allow(dead_code))]
pub(crate) struct Args {
    /// Delays between sites: region, continent, globe, or a TOML file; can be given more than once
    /// [default: all three]
    #[arg(long, value_name = "NAME|FILE")]
    matrix: Vec<PathBuf>,
    /// How many validators, as a list
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [4, 7])]
    validators: Vec<usize>,
    /// Which validators crash before the measurement
    #[arg(long, value_enum, default_value_t = Crashed::Both)]
    crashed: Crashed,
    /// The site of the client and its session node [default: each in turn]
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// How often the workflow is played from each site
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Let a client begin before all have heard of what the one before did
    #[arg(long)]
    overlapping: bool,
    /// Standard deviation of each message's delay, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter: u64,
    /// Decides all that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where wan.json and wan.csv are written; replaces those that are there
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Without the simulator, which takes long to build.
#[cfg(not(feature = "simulation"))]
mod refusal {
    use super::Args;
    use crate::{app::App, commands::Failure, output::Output};

    /// Why nothing is simulated.
    #[derive(Debug, thiserror::Error)]
    #[error(
        "this program was built without the simulator; build it with it: cargo build --release --features simulation"
    )]
    pub(crate) struct WanFailure;

    pub(crate) fn run(_: &App, _: &Args, _: Output) -> Result<(), Failure> {
        Err(WanFailure.into())
    }
}
