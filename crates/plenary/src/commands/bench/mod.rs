//! `bench`: the service's own workflow, measured on networks that the command starts or simulates
//! itself.

mod catch_up;
mod lab;
pub(crate) mod latency;
pub(crate) mod load;
pub(crate) mod plain;
mod rest;
mod usage;
mod versions;
pub(crate) mod wan;
mod wire;

pub(crate) use catch_up::CatchUpFailure;

use super::Failure;
use crate::{app::App, output::Output};

/// Measure the service's own workflow, on networks that it starts or simulates itself.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// How long each step takes, through layer 2 and at layer 1 alone, by the size of the network
    Latency(latency::Args),
    /// How much many clients get done, how long each step takes then, and what it costs
    Load(load::Args),
    /// How long a session's steps take beside the same handlers behind a plain web server
    Plain(plain::Args),
    /// Serve the handlers behind a plain web server, for `plain` to compare with
    #[command(hide = true)]
    PlainServer(plain::server::Args),
    /// What a network costs that has nothing to do
    Rest(rest::Args),
    /// How fast a validator catches up that was away while the others were under load
    CatchUp(catch_up::Args),
    /// What the workflow takes between distant sites, simulated in virtual time
    Wan(wan::Args),
}

pub(crate) fn run(app: &App, command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Latency(args) => latency::run(app, args, output),
        Command::Load(args) => load::run(app, &args, output),
        Command::Plain(args) => plain::run(app, &args, output),
        Command::PlainServer(args) => plain::server::run(app, &args),
        Command::Rest(args) => rest::run(app, &args, output),
        Command::CatchUp(args) => catch_up::run(app, &args, output),
        Command::Wan(args) => wan::run(app, &args, output),
    }
}

/// A time that is not none.
fn some_time(text: &str) -> Result<humantime::Duration, String> {
    match text.parse::<humantime::Duration>() {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be longer than nothing".into()),
        Err(error) => Err(error.to_string()),
    }
}
