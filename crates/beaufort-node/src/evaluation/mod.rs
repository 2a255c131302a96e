//! The paper's evaluation (section 5), simulated: latency and network use in three scenarios and at several sizes.
//!
//! Every run is a [`Trial`] with a seed of its own; the same seed gives the same run. Runs are spread over threads, and
//! kept as soon as they are done: all of them take hours. What they came to is written as CSV, JSON, figures and a table
//! beside the paper's numbers.

mod kept;
mod report;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::bail;
use beaufort::sim::{Costs, Load, Network, Outcome, SECOND, Scenario, Trial};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use self::kept::Kept;

/// What to repeat of the evaluation, and in which circumstances.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many replicas, one number after the other.
    #[arg(long, value_delimiter = ',', default_value = "10,20,40,60,80,100")]
    members: Vec<usize>,
    /// What happens to them.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "optimistic,failing,byzantine"
    )]
    scenarios: Vec<ScenarioName>,
    /// How often each is repeated.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// The first run's seed; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds of virtual time that are measured, at least.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Transactions that each replica submits a second.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// How many keys each replica sets in turn.
    #[arg(long, default_value_t = 10)]
    keys: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value: usize,
    /// Whose cryptography is charged.
    #[arg(long, default_value = "wasm")]
    costs: CostsName,
    /// Another cost, in microseconds: sign, add, encode, decode, verify, claim, key, message or byte.
    #[arg(long = "cost", value_name = "NAME=MICROSECONDS", value_parser = cost)]
    other_costs: Vec<(String, f64)>,
    /// The average one-way latency in milliseconds: two thirds are the same for all packets, the rest is jitter.
    #[arg(long, default_value_t = 60.0)]
    latency: f64,
    /// The part of all packets that is lost.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Mbit/s that a replica can send, and as many that it can receive.
    #[arg(long, default_value_t = 10.0)]
    bandwidth: f64,
    /// Milliseconds until something is stored.
    #[arg(long, default_value_t = 2.0)]
    store: f64,
    /// Runs at the same time; as many as there are processors where it is not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Where the results are written. Runs that are there already are not repeated, so that the command can be stopped
    /// and given again; all that were in the same circumstances are reported.
    #[arg(long, default_value = "evaluation")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScenarioName {
    Optimistic,
    Failing,
    Byzantine,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CostsName {
    Native,
    Wasm,
}

/// A run and what came of it.
#[derive(Serialize, Deserialize)]
struct Done {
    scenario: Scenario,
    members: usize,
    run: u64,
    seed: u64,
    /// How long was measured, in seconds of virtual time.
    seconds: u64,
    outcome: Outcome,
}

fn cost(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("expected NAME=MICROSECONDS, as in sign=1500")?;
    let value = value
        .parse()
        .map_err(|error| format!("{value} is not a number: {error}"))?;
    Ok((name.to_owned(), value))
}

impl Args {
    fn costs(&self) -> anyhow::Result<Costs> {
        let mut costs = match self.costs {
            CostsName::Native => Costs::native(),
            CostsName::Wasm => Costs::wasm(),
        };
        for (name, value) in &self.other_costs {
            let cost = match name.as_str() {
                "sign" => &mut costs.sign,
                "add" => &mut costs.add,
                "encode" => &mut costs.encode,
                "decode" => &mut costs.decode,
                "verify" => &mut costs.verify,
                "claim" => &mut costs.claim,
                "key" => &mut costs.key,
                "message" => &mut costs.message,
                "byte" => &mut costs.byte,
                _ => bail!("no cost is called {name}: see --help for those that there are"),
            };
            *cost = *value;
        }
        Ok(costs)
    }

    fn trials(&self) -> anyhow::Result<Vec<(u64, Trial)>> {
        let costs = self.costs()?;
        let network = Network {
            floor: (self.latency * 2000.0 / 3.0) as u64,
            tail: (self.latency * 1000.0 / 3.0) as u64,
            loss: self.loss,
            up: self.bandwidth * 1e6,
            down: self.bandwidth * 1e6,
            ..Network::default()
        };
        let load = Load {
            period: (SECOND as f64 / self.rate) as u64,
            keys: self.keys,
            value: self.value,
            measured: self.seconds * SECOND,
            ..Load::default()
        };
        let mut trials = Vec::new();
        for &members in &self.members {
            for scenario in &self.scenarios {
                let scenario = match scenario {
                    ScenarioName::Optimistic => Scenario::Optimistic,
                    ScenarioName::Failing => Scenario::Failing,
                    ScenarioName::Byzantine => Scenario::Byzantine,
                };
                for run in 0..self.runs {
                    let trial = Trial {
                        load,
                        network,
                        costs,
                        store: (self.store * 1000.0) as u64,
                        ..Trial::new(scenario, members, self.seed + run)
                    };
                    trials.push((run, trial));
                }
            }
        }
        // The longest first, so that no thread is left with one at the end.
        trials.sort_by_key(|(_, trial)| std::cmp::Reverse(trial.members as u64 * trial.end()));
        Ok(trials)
    }
}

/// Does the runs that were not done before, and keeps each.
fn run_all(trials: &[(u64, Trial)], threads: usize, kept: &Kept) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        while let Some((run, trial)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
            if kept.has(trial) {
                continue;
            }
            let since = Instant::now();
            let done = Done {
                scenario: trial.scenario,
                members: trial.members,
                run: *run,
                seed: trial.seed,
                seconds: (trial.end() - trial.load.warm) / SECOND,
                outcome: trial.run(),
            };
            eprintln!("{}", report::line(&done, since.elapsed()));
            kept.keep(trial, &done)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}

/// Repeats the evaluation, and writes what it comes to.
pub(crate) fn run(arguments: &Args) -> anyhow::Result<()> {
    let trials = arguments.trials()?;
    let Some((_, first)) = trials.first() else {
        bail!("nothing to run: give at least one number of members, one scenario and one run");
    };
    let threads = match arguments.threads {
        Some(threads) => threads.max(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let kept = Kept::open(&arguments.out, first)?;
    run_all(&trials, threads, &kept)?;
    report::write(&arguments.out, &kept.all()?)
}
