//! `bench latency`: how long each step of the service's workflow takes, by the size of the network.
//!
//! For every configuration, written L1-L2 as in the papers, a network of real processes with durable
//! files is started, and one client plays the workflow again and again: through layer 2, and at
//! layer 1 alone, in turn, so that both meet the same machine. The client signs, and checks promises
//! and receipts. Latency is the time from when a request is begun until its answer is checked;
//! receipts, which the client fetches after the commit, are not in it.
//!
//! Results stay where they are put: a second run with the same settings goes on with what is
//! missing. Where the papers slept 100 ms between steps, the default is not to.

mod figures;
mod measure;
mod results;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use super::versions::Versions;
use crate::{
    app::App,
    commands::{Failure, block_on, system},
    machine::Machine,
    network::NetworkError,
    output::{Output, table},
    signals::Stop,
};
use measure::Bench;
use plenary_figures::FigureError;
use plenary_service::{Executor, Options};
use plenary_session::participation::Participation;
use plenary_types::limits::MAX_VALIDATORS;
use results::Results;
use std::{collections::BTreeSet, env, path::PathBuf, time::Duration};
use summary::{Experiment, Settings, Statistics, Summary};

/// How long each step takes, through layer 2 and at layer 1 alone, by the size of the network.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Numbers of validators; each is measured with each number of session nodes
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "4,7,10,13,16", value_parser = clap::value_parser!(u16).range(4..=MAX_VALIDATORS as i64))]
    l1: Vec<u16>,
    /// Numbers of session nodes
    #[arg(long, value_name = "M,M", value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u16).range(1..))]
    l2: Vec<u16>,
    /// How often the workflow is measured in each configuration, through layer 2 and at layer 1 alone
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// How often it is played before that, which is not counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u32,
    /// What to wait after each step, such as 100ms; not counted
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// How many session nodes must have run a step before it is answered: own, majority, all or a
    /// number
    #[arg(long, value_name = "NODES", default_value_t)]
    participation: Participation,
    /// Where results are kept; goes on with what is missing there
    #[arg(long, value_name = "DIR", default_value = "results/latency")]
    out: PathBuf,
}

/// Why a measurement did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LatencyFailure {
    /// A number of nodes is asked for more than once.
    #[error("{flag} names {number} twice; name every number once")]
    Twice {
        /// The flag.
        flag: &'static str,
        /// The number.
        number: u16,
    },
    /// A participation that a network cannot have.
    #[error(
        "--participation {participation} needs more session nodes than the {nodes} of a network that --l2 asks for"
    )]
    Participation {
        /// What was asked for.
        participation: Participation,
        /// The fewest session nodes.
        nodes: u16,
    },
    /// The directory holds something else.
    #[error(
        "{} is not empty and holds no summary.json of `bench latency`; give another --out", .0.display()
    )]
    NotEmpty(PathBuf),
    /// The directory holds another experiment.
    #[error(
        "{} holds results that these cannot be added to: {differences}; run it as it was begun, or give another --out", directory.display()
    )]
    Other {
        /// The directory.
        directory: PathBuf,
        /// What differs.
        differences: String,
    },
    /// A file is not what was written.
    #[error("{} is not as `bench latency` writes it: {reason}; give another --out", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A figure.
    #[error(transparent)]
    Figure(FigureError),
    /// Someone stopped it.
    #[error("stopped by {by}; what was measured is in {}, and the same command goes on from there", directory.display())]
    Stopped {
        /// How.
        by: &'static str,
        /// Where the results are.
        directory: PathBuf,
    },
}

pub(crate) fn run(app: &App, args: Args, output: Output) -> Result<(), Failure> {
    let demo = app.workflow()?;
    let executor = Executor::new(app.service.clone(), Options::default());
    let executor = executor.map_err(NetworkError::Service)?;
    let experiment = Experiment {
        settings: settings(&args)?,
        versions: Versions::of(app),
        machine: Machine::here(&env::temp_dir()),
    };
    experiment.versions.warn(&experiment.machine, output);
    let mut results = Results::open(&args.out, experiment, demo.steps.len())?;
    let bench = Bench::new(app, demo, &executor, &args, output);
    let measured = block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        bench.measure(&mut results, &mut stop).await
    });
    // Whatever ended it: what was measured counts.
    let summary = results.finish()?;
    measured?;
    output.show(&summary, || human(&summary, &args));
    Ok(())
}

fn settings(args: &Args) -> Result<Settings, LatencyFailure> {
    for (flag, numbers) in [("--l1", &args.l1), ("--l2", &args.l2)] {
        let mut seen = BTreeSet::new();
        if let Some(number) = numbers.iter().find(|number| !seen.insert(**number)) {
            let number = *number;
            return Err(LatencyFailure::Twice { flag, number });
        }
    }
    let fewest = args.l2.iter().min().copied().unwrap_or_default();
    if args.participation.needed(usize::from(fewest) - 1) > usize::from(fewest) - 1 {
        return Err(LatencyFailure::Participation {
            participation: args.participation,
            nodes: fewest,
        });
    }
    Ok(Settings {
        l1: args.l1.clone(),
        l2: args.l2.clone(),
        iterations: args.iterations,
        warm_up: args.warm_up,
        pause_ms: table::milliseconds(args.pause),
        participation: args.participation.to_string(),
    })
}

/// One line a configuration: medians, the layers side by side.
fn human(summary: &Summary, args: &Args) -> String {
    let rows = summary.configurations.iter().map(|one| {
        let comparison = &one.comparison;
        let startup = one.starts.first().map(|start| start.startup_ms);
        [
            one.name.clone(),
            cell(startup),
            cell(median(&comparison.layer2_step_ms)),
            cell(median(&comparison.layer1_step_ms)),
            times(comparison.step_ratio),
            cell(median(&comparison.commit_ms)),
            cell(median(&one.sessions.workflow_ms)),
            cell(median(&one.direct.workflow_ms)),
            times(comparison.workflow_ratio),
            format!("{} of {}", one.failed(), one.played()),
        ]
    });
    let header = [
        "L1-L2",
        "startup",
        "step, layer 2",
        "step, layer 1",
        "faster",
        "commit",
        "workflow, layer 2",
        "workflow, layer 1",
        "faster",
        "failed",
    ];
    format!(
        "{}\n\nMedians in milliseconds. Tables, summary.json and figures are in {}.",
        table(header, rows),
        args.out.display()
    )
}

fn median(statistics: &Option<Statistics>) -> Option<f64> {
    statistics.as_ref().map(|statistics| statistics.p50)
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2}"))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.1} x"))
}
