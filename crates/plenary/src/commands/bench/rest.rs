//! `bench rest`: what a network costs that has nothing to do.

use super::{
    lab::{Lab, Size},
    usage::{Disk, Processes},
};
use crate::{
    app::App,
    commands::{Failure, block_on, system},
    config::Role,
    network::Network,
    output::{Output, table},
    signals::Stop,
};
use plenary_types::genesis::ClientSignatures;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Let a network rest, and see what that costs.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    size: Size,
    /// How long a new network is left alone first
    #[arg(long, value_name = "TIME", default_value = "5s")]
    settle: humantime::Duration,
    /// How long it is watched
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = super::some_time)]
    watch: humantime::Duration,
}

/// What rest costs.
#[derive(Debug, Serialize)]
struct Rest {
    #[serde(flatten)]
    size: Size,
    startup_ms: u128,
    seconds: f64,
    /// Of all nodes of a role together, in percent of one core.
    validators_percent: f64,
    session_nodes_percent: f64,
    /// Growth on the disk, in bytes.
    disk: Disk,
}

pub(crate) fn run(app: &App, args: &Args, output: Output) -> Result<(), Failure> {
    let rest = block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let mut lab = Lab::start(app, args.size, ClientSignatures::Required).await?;
        output.note(format_args!(
            "watching for {} after {}",
            args.watch, args.settle
        ));
        let Lab {
            network,
            cluster,
            startup,
            ..
        } = &mut lab;
        let processes = Processes::of(&cluster.nodes);
        let watched = tokio::select! {
            watched = watch(network, processes, args) => Ok(watched),
            by = stop.asked() => Err(Failure::Stopped(by)),
            ended = cluster.ended() => Err(ended.into()),
        };
        let watched = watched.map(|rest| Rest {
            startup_ms: startup.as_millis(),
            ..rest
        });
        match watched {
            Err(error @ Failure::Cluster(_)) => {
                lab.abandon().await;
                Err(error)
            }
            watched => {
                lab.stop().await;
                watched
            }
        }
    })?;
    output.show(&rest, || rest.table());
    Ok(())
}

async fn watch(network: &Network, mut processes: Processes, args: &Args) -> Rest {
    sleep(*args.settle).await;
    let (before, disk, start) = (processes.used(), Disk::of(network), Instant::now());
    sleep(*args.watch).await;
    let (after, took) = (processes.used(), start.elapsed());
    let percent = |wanted| {
        let used = processes.nodes.iter().zip(before.iter().zip(&after));
        let used = used.filter(|(node, _)| node.role == wanted);
        let used =
            used.map(|(_, (before, after))| after.processor.saturating_sub(before.processor));
        used.sum::<Duration>().as_secs_f64() / took.as_secs_f64() * 100.0
    };
    Rest {
        size: args.size,
        startup_ms: 0,
        seconds: took.as_secs_f64(),
        validators_percent: percent(Role::Validator),
        session_nodes_percent: percent(Role::Session),
        disk: Disk::of(network).since(disk),
    }
}

impl Rest {
    fn table(&self) -> String {
        let Size {
            validators,
            session_nodes,
        } = self.size;
        let rows = [
            (
                validators,
                "validators",
                self.validators_percent,
                self.disk.validators,
            ),
            (
                session_nodes,
                "session nodes",
                self.session_nodes_percent,
                self.disk.session_nodes,
            ),
        ];
        let rows = rows.map(|(count, role, percent, disk)| {
            [
                format!("{count} {role}"),
                format!("{percent:.2}"),
                disk.to_string(),
            ]
        });
        let header = ["all", "% of one core", "growth on disk, bytes"];
        format!(
            "{}\nover {:.0} s; {} ms from nothing to ready",
            table(header, rows),
            self.seconds,
            self.startup_ms
        )
    }
}
