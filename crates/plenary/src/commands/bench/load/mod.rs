//! `bench load`: the workflow, played by many clients at once. In a closed loop, for each number of
//! clients; in an open loop, for each rate, or at rates that rise until the network is saturated.
//!
//! Each load gets a fresh network, so that none inherits another's memory, files or backlog. What is
//! measured and how is told in `docs/performance/load.md`.

pub(super) mod generator;
mod point;
mod report;
mod schedule;
mod tables;
mod tally;
mod verdict;

use super::lab::Size;
use crate::{
    app::App,
    commands::{Failure, system},
    output::Output,
    player::Layer,
    signals::Stop,
};
use generator::{Load, Until};
use point::Plan;
use report::Report;
use serde::Serialize;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// A ramp that has not saturated the network after so many loads ends all the same.
const STEPS_OF_A_RAMP: i32 = 24;
/// Where it begins unless told otherwise, in workflows a second.
const FIRST_RATE: f64 = 20.0;
/// How many clients there are to take what arrives, unless told otherwise.
const CLIENTS_OF_AN_OPEN_LOOP: u32 = 256;
/// The closed loops that are measured unless told otherwise.
const CLIENTS: [u32; 4] = [1, 16, 64, 256];

/// Play the workflow with many clients at once.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    size: Size,
    /// Through session nodes, or each step through consensus; several are measured one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "session")]
    mode: Vec<Mode>,
    /// How many clients, one load for each number; with --rate, how many there are to take what arrives [default: 1,16,64,256; 256 with --rate or --ramp]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: Vec<u32>,
    /// Open loop: workflows arrive at this many a second, one load for each rate
    #[arg(long, value_name = "R,…", value_delimiter = ',', value_parser = rate)]
    rate: Vec<f64>,
    /// Raise the rate by this factor until the network is saturated, from --rate or 20 on
    #[arg(long, value_name = "FACTOR", value_parser = factor, num_args = 0..=1, default_missing_value = "1.5")]
    ramp: Option<f64>,
    /// A workflow's p99 above this says that the network is saturated, as does a backlog of a second's arrivals
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::some_time)]
    limit: humantime::Duration,
    /// How many seconds each load is measured
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Measure until this many workflows have begun, instead of a time
    #[arg(long, value_name = "N", conflicts_with_all = ["seconds", "ramp"], value_parser = clap::value_parser!(u64).range(1..))]
    workflows: Option<u64>,
    /// How many seconds of load come before that and do not count
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(..=3600))]
    warm_up: u64,
    /// Clients do not sign, and networks take that
    #[arg(long)]
    unsigned: bool,
    /// Clients fetch and check each session's receipt, too
    #[arg(long)]
    receipts: bool,
    /// How often the nodes' memory goes into memory.csv
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::some_time)]
    sample: humantime::Duration,
    /// Where results are written; must be missing or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Which way requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Through session nodes: promised steps, one commit
    Session,
    /// To validators: each step through consensus by itself
    Direct,
}

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadFailure {
    /// Sessions need session nodes.
    #[error("--mode session needs a session node; give --session-nodes 1, or --mode direct")]
    NoSessionNode,
    /// A ramp has one beginning.
    #[error("--ramp begins at one rate, not at {0}; give one --rate, or none to begin at 20")]
    Ramp(usize),
    /// An open loop has one number of clients.
    #[error("--rate needs one number of clients, not {0}: how many there are at most")]
    Clients(usize),
    /// Results would be mixed with others.
    #[error("{} is not empty and nothing is written over; give another --out", .0.display())]
    NotEmpty(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: csv::Error,
    },
    /// The curves cannot be drawn.
    #[error(transparent)]
    Figure(#[from] plenary_figures::FigureError),
}

pub(crate) fn run(app: &App, args: &Args, output: Output) -> Result<(), Failure> {
    args.check()?;
    let mut report = Report::create(args, app, output)?;
    // On all cores: many clients check many signatures.
    let runtime = tokio::runtime::Runtime::new().map_err(system("an event loop"))?;
    let measured = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        for mode in &args.mode {
            for load in args.loads(*mode) {
                match measure(app, args, load, &mut stop, &mut report).await? {
                    End::Interrupted => return Ok(()),
                    End::Saturated if args.ramp.is_some() => break,
                    End::Saturated | End::Time => {}
                }
            }
        }
        Ok(())
    });
    report.show();
    measured
}

/// How a load ended.
enum End {
    Time,
    Saturated,
    Interrupted,
}

async fn measure(
    app: &App,
    args: &Args,
    load: Load,
    stop: &mut Stop,
    report: &mut Report,
) -> Result<End, Failure> {
    let plan = Plan {
        app,
        size: args.size(load.layer),
        load,
        sample: *args.sample,
        limit: *args.limit,
    };
    report.begin(&plan);
    let point = point::measure(&plan, stop, report).await?;
    let end = match &point {
        point if point.interrupted => End::Interrupted,
        point if point.saturated.is_some() => End::Saturated,
        _ => End::Time,
    };
    report.add(point)?;
    Ok(end)
}

impl Args {
    fn check(&self) -> Result<(), LoadFailure> {
        if self.mode.contains(&Mode::Session) && self.size.session_nodes == 0 {
            return Err(LoadFailure::NoSessionNode);
        }
        if self.ramp.is_some() && self.rate.len() > 1 {
            return Err(LoadFailure::Ramp(self.rate.len()));
        }
        if self.is_open() && self.clients.len() > 1 {
            return Err(LoadFailure::Clients(self.clients.len()));
        }
        Ok(())
    }

    /// All that is asked for, for the record.
    fn settings(&self) -> Value {
        json!({
            "validators": self.size.validators,
            "session_nodes": self.size.session_nodes,
            "mode": self.mode,
            "clients": self.clients,
            "rate": self.rate,
            "ramp": self.ramp,
            "limit_ms": self.limit.as_millis(),
            "seconds": self.workflows.is_none().then_some(self.seconds),
            "workflows": self.workflows,
            "warm_up_s": self.warm_up,
            "signed": !self.unsigned,
            "receipts": self.receipts,
        })
    }

    /// Whether workflows arrive at times of their own.
    fn is_open(&self) -> bool {
        self.ramp.is_some() || !self.rate.is_empty()
    }

    /// Direct mode has no use for session nodes.
    fn size(&self, layer: Layer) -> Size {
        match layer {
            Layer::Sessions => self.size,
            Layer::Direct => Size {
                session_nodes: 0,
                ..self.size
            },
        }
    }

    /// The loads of a mode, one after the other; a ramp's go on until someone has seen enough.
    fn loads(&self, mode: Mode) -> Box<dyn Iterator<Item = Load> + '_> {
        let load = move |clients: u32, rate| Load {
            layer: match mode {
                Mode::Session => Layer::Sessions,
                Mode::Direct => Layer::Direct,
            },
            clients: clients as usize,
            signed: !self.unsigned,
            receipts: self.receipts,
            rate,
            warm_up: Duration::from_secs(self.warm_up),
            until: match self.workflows {
                Some(count) => Until::Workflows(count),
                None => Until::Time(Duration::from_secs(self.seconds)),
            },
        };
        let most = self
            .clients
            .first()
            .copied()
            .unwrap_or(CLIENTS_OF_AN_OPEN_LOOP);
        if let Some(factor) = self.ramp {
            let first = self.rate.first().copied().unwrap_or(FIRST_RATE);
            let rates = (0..STEPS_OF_A_RAMP).map(move |step| first * factor.powi(step));
            return Box::new(rates.map(move |rate| load(most, Some(rate))));
        }
        if self.is_open() {
            return Box::new(self.rate.iter().map(move |rate| load(most, Some(*rate))));
        }
        let clients = match self.clients.is_empty() {
            true => CLIENTS.to_vec(),
            false => self.clients.clone(),
        };
        Box::new(clients.into_iter().map(move |clients| load(clients, None)))
    }
}

/// How a layer is called as a mode.
fn mode_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Sessions => "session",
        Layer::Direct => "direct",
    }
}

/// Workflows a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("it is a number of workflows a second, from 0.01 to 100000".into()),
    }
}

/// By how much a ramp rises.
fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (1.05..=10.0).contains(&factor) => Ok(factor),
        _ => Err("it is a factor from 1.05 to 10".into()),
    }
}
