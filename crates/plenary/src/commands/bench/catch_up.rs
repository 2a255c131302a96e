//! `bench catch-up`: a validator is killed, the others go on under load, and it is started again. How
//! long does it take until it has what it missed?

use super::{
    lab::{Lab, Size},
    load::generator::{Generator, Load, Until},
    usage::Processes,
};
use crate::{
    app::App,
    commands::{Failure, system},
    config::Role,
    network::Node,
    output::{Output, table},
    player::Layer,
    signals::Stop,
};
use plenary_client::Client;
use plenary_types::genesis::ClientSignatures;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the validator is asked for its height.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// How long what was begun under load may take when the load is over.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to catch up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);

/// How fast a validator catches up that was away.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many validators there are, the one that is away included
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// How many clients play the workflow at layer 1 meanwhile, once for each number
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "50,10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: Vec<u32>,
    /// How long it is away
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = super::some_time)]
    away: humantime::Duration,
}

/// What it took after one load.
#[derive(Debug, Serialize)]
struct CaughtUp {
    clients: u32,
    away_s: f64,
    /// Workflows that failed while it was away.
    failed: u64,
    steps_missed: u64,
    blocks_missed: u64,
    /// From the start of its process until it had the first block that it missed.
    first_block_s: f64,
    /// Until it had the last one.
    all_s: f64,
    /// Processor time of its process until then.
    processor_s: f64,
    /// How much faster that is than the chain had grown.
    times_faster: f64,
}

/// Why it cannot be said how long it takes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatchUpFailure {
    /// Four validators bear the loss of one, fewer do not.
    #[error("{0} validators stand still when one is away; give --validators 4 or more")]
    TooFew(u16),
    /// It did not catch up.
    #[error(
        "{node} has reached height {reached} of {wanted} after {} s; its directory is kept",
        CAUGHT_UP_WITHIN.as_secs()
    )]
    Behind {
        /// The validator.
        node: String,
        /// Its height.
        reached: u64,
        /// The height it had to reach.
        wanted: u64,
    },
}

pub(crate) fn run(app: &App, args: &Args, output: Output) -> Result<(), Failure> {
    if args.validators < 4 {
        return Err(CatchUpFailure::TooFew(args.validators).into());
    }
    // On all cores, as the clients of `bench load` are.
    let runtime = tokio::runtime::Runtime::new().map_err(system("an event loop"))?;
    let all = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let mut all = Vec::new();
        for clients in &args.clients {
            let size = Size {
                validators: args.validators,
                session_nodes: 0,
            };
            let mut lab = Lab::start(app, size, ClientSignatures::Required).await?;
            output.note(format_args!(
                "one of {} validators is away for {}, {clients} clients",
                args.validators, args.away
            ));
            let timed = tokio::select! {
                timed = time(app, &mut lab, *clients, *args.away) => timed,
                by = stop.asked() => Err(Failure::Stopped(by)),
            };
            match timed {
                Err(error @ (Failure::Cluster(_) | Failure::CatchUp(_))) => {
                    lab.abandon().await;
                    return Err(error);
                }
                timed => {
                    lab.stop().await;
                    all.push(timed?);
                }
            }
        }
        Ok::<_, Failure>(all)
    })?;
    output.show(&all, || human(&all));
    Ok(())
}

async fn time(app: &App, lab: &mut Lab, clients: u32, away: Duration) -> Result<CaughtUp, Failure> {
    let Lab {
        network, cluster, ..
    } = lab;
    let Some(last) = network.nodes.last() else {
        return Err(CatchUpFailure::TooFew(0).into());
    };
    cluster.kill(&last.name).await;
    let others = Client::new(cluster.urls(Role::Validator))?;
    let from = height(&others).await?;
    let begun = Instant::now();
    let load = Load {
        layer: Layer::Direct,
        clients: clients as usize,
        signed: true,
        receipts: false,
        rate: None,
        warm_up: Duration::ZERO,
        until: Until::Time(away),
    };
    let mut generator = Generator::start(load, app, network, cluster).await?;
    tokio::select! {
        () = generator.finished() => {}
        ended = cluster.ended() => return Err(ended.into()),
    }
    generator.close();
    generator.drain(DRAIN_WITHIN).await;
    let (away, wanted) = (begun.elapsed(), height(&others).await?);
    let started = Instant::now();
    cluster.start(last).await?;
    let first_block = tokio::select! {
        first = reach(last, from, wanted) => first?,
        ended = cluster.ended() => return Err(ended.into()),
    } - started;
    let all = started.elapsed();
    let mut processes = Processes::of(&cluster.nodes);
    let spent = processes.used().pop().unwrap_or_default().processor;
    let tally = generator.tally();
    Ok(CaughtUp {
        clients,
        away_s: away.as_secs_f64(),
        failed: tally.failures().iter().map(|failed| failed.count).sum(),
        steps_missed: tally.steps().iter().map(|step| step.count).sum(),
        blocks_missed: wanted - from,
        first_block_s: first_block.as_secs_f64(),
        all_s: all.as_secs_f64(),
        processor_s: spent.as_secs_f64(),
        times_faster: away.as_secs_f64() / all.as_secs_f64(),
    })
}

async fn height(client: &Client) -> Result<u64, Failure> {
    let status: Value = client.resource("status").await?;
    Ok(status["height"].as_u64().unwrap_or_default())
}

/// Waits until a validator has reached a height, and says when it had first gone beyond another.
async fn reach(node: &Node, from: u64, wanted: u64) -> Result<Instant, Failure> {
    let client = Client::new([node.url()])?.with_patience(Duration::ZERO);
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    let mut first = None;
    loop {
        // It does not answer before it listens.
        let reached = height(&client).await.unwrap_or_default();
        if reached > from {
            first.get_or_insert_with(Instant::now);
        }
        if reached >= wanted {
            return Ok(first.unwrap_or_else(Instant::now));
        }
        if Instant::now() >= deadline {
            let node = node.name.clone();
            return Err(CatchUpFailure::Behind {
                node,
                reached,
                wanted,
            }
            .into());
        }
        sleep(ASK_EVERY).await;
    }
}

fn human(all: &[CaughtUp]) -> String {
    let rows = all.iter().map(|one| {
        [
            one.clients.to_string(),
            one.failed.to_string(),
            one.steps_missed.to_string(),
            one.blocks_missed.to_string(),
            format!("{:.2}", one.first_block_s),
            format!("{:.2}", one.all_s),
            format!("{:.2}", one.processor_s),
            format!("{:.1}", one.times_faster),
        ]
    });
    let header = [
        "clients",
        "failed",
        "steps missed",
        "blocks missed",
        "s to the first",
        "s to the last",
        "s of CPU",
        "times faster than the chain grew",
    ];
    table(header, rows)
}
