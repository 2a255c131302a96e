//! Measuring: a network a configuration, one client, iteration by iteration.

use super::{
    Args, LatencyFailure,
    results::{Configuration, Results},
    summary::{Start, Statistics},
    table::{Round, Table, milliseconds},
};
use crate::{
    app::App,
    commands::Failure,
    demo::Demo,
    files, machine,
    network::{FirstPorts, Network, Plan},
    output::Output,
    player::{Layer, Player},
    signals::Stop,
    supervise::{Cluster, Logs},
};
use indicatif::ProgressBar;
use plenary_service::Executor;
use plenary_session::node::Bounds;
use plenary_types::genesis::ClientSignatures;
use std::{
    env,
    fmt::Display,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// What is measured, and how.
pub(super) struct Bench<'a> {
    app: &'a App,
    demo: &'a Demo,
    executor: &'a Executor,
    args: &'a Args,
    output: Output,
    /// In units of an iteration with one validator: larger networks take longer.
    bar: ProgressBar,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        app: &'a App,
        demo: &'a Demo,
        executor: &'a Executor,
        args: &'a Args,
        output: Output,
    ) -> Self {
        Self {
            app,
            demo,
            executor,
            args,
            output,
            bar: output.progress("measuring"),
        }
    }

    /// Measures what is missing of the results, until all is there or someone stops it.
    pub(super) async fn measure(
        &self,
        results: &mut Results,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        let Args {
            iterations,
            warm_up,
            ..
        } = self.args;
        let work = results.configurations.iter().map(|configuration| {
            match configuration.missing(*iterations) {
                0 => 0,
                missing => u64::from(configuration.l1) * (missing + 2 * u64::from(*warm_up)),
            }
        });
        self.bar.set_length(work.sum());
        let all = results.configurations.len();
        for index in 0..all {
            let configuration = &mut results.configurations[index];
            if configuration.missing(*iterations) == 0 {
                continue;
            }
            self.bar.set_message(configuration.name());
            self.tell(format_args!(
                "{}, {} of {all}: starting {} validators and {} session nodes",
                configuration.name(),
                index + 1,
                configuration.l1,
                configuration.l2
            ));
            let measured = self.configuration(configuration, stop).await;
            self.tell(self.so_far(configuration));
            results.save()?;
            measured?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Measures what is missing of a configuration, on a new network.
    async fn configuration(
        &self,
        configuration: &mut Configuration,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        let load_average = machine::load_average();
        let begun = Instant::now();
        let home = tempfile::Builder::new().prefix("plenary-bench-").tempdir();
        let mut home = home.map_err(files::on("create a directory in", &env::temp_dir()))?;
        let plan = Plan {
            network: self.app.service.id().name.clone(),
            validators: configuration.l1,
            session_nodes: configuration.l2,
            clients: ClientSignatures::Required,
            service: self.app.service.clone(),
            bounds: Bounds {
                participation: self.args.participation,
                ..Bounds::default()
            },
            ports: FirstPorts::default(),
        };
        let network = Network::create(&home.path().join("network"), &plan)?;
        let logs = Logs::lock(&network.nodes).await?;
        let mut cluster = Cluster::spawn(&network.nodes, logs, false)?;
        let work = async {
            cluster.ready().await?;
            let startup_ms = milliseconds(begun.elapsed());
            self.tell(format_args!(
                "{}: ready after {startup_ms:.0} ms",
                configuration.name()
            ));
            configuration.starts.push(Start {
                startup_ms,
                load_average,
                warm_up_failures: 0,
            });
            self.play(configuration, &mut cluster, &network).await
        };
        let measured = tokio::select! {
            measured = work => measured,
            by = stop.asked() => Err(LatencyFailure::Stopped {
                by,
                directory: self.args.out.clone(),
            }.into()),
        };
        cluster.stop().await;
        // The error points at a log.
        home.disable_cleanup(matches!(measured, Err(Failure::Cluster(_))));
        measured
    }

    async fn play(
        &self,
        configuration: &mut Configuration,
        cluster: &mut Cluster,
        network: &Network,
    ) -> Result<(), Failure> {
        let player = |layer| Player::new(cluster, network, self.executor, layer);
        let (sessions, direct) = (player(Layer::Sessions)?, player(Layer::Direct)?);
        tokio::select! {
            played = self.rounds(configuration, &sessions, &direct) => played,
            ended = cluster.ended() => Err(ended.into()),
        }
    }

    async fn rounds(
        &self,
        configuration: &mut Configuration,
        sessions: &Player<'_>,
        direct: &Player<'_>,
    ) -> Result<(), Failure> {
        let weight = u64::from(configuration.l1);
        for _ in 0..self.args.warm_up {
            for player in [sessions, direct] {
                let failed = self.round(player, 0).await?.failed.is_some();
                if let Some(start) = configuration.starts.last_mut() {
                    start.warm_up_failures += u32::from(failed);
                }
                self.bar.inc(weight);
            }
        }
        for iteration in 1..=self.args.iterations {
            self.iteration(iteration, sessions, &mut configuration.sessions, weight)
                .await?;
            self.iteration(iteration, direct, &mut configuration.direct, weight)
                .await?;
        }
        Ok(())
    }

    /// Plays the workflow once more where that is missing.
    async fn iteration(
        &self,
        iteration: u32,
        player: &Player<'_>,
        table: &mut Table,
        weight: u64,
    ) -> Result<(), Failure> {
        if !table.has(iteration) {
            table.append(iteration, self.round(player, iteration).await?)?;
            self.bar.inc(weight);
        }
        Ok(())
    }

    /// Plays the workflow once.
    async fn round(&self, player: &Player<'_>, iteration: u32) -> Result<Round, Failure> {
        let (mut playing, mut round) = (player.begin(self.demo), Round::default());
        while let Some((played, done)) = playing.next().await? {
            round.add(iteration, played, done);
            if !self.args.pause.is_zero() {
                sleep(self.args.pause).await;
            }
        }
        Ok(round)
    }

    /// What came of a configuration, in a line.
    fn so_far(&self, configuration: &Configuration) -> String {
        let summary = configuration.summary();
        let p50 = |statistics: &Option<Statistics>| match statistics {
            Some(statistics) => format!("{:.2} ms", statistics.p50),
            None => "not measured".into(),
        };
        let left = Duration::from_secs(self.bar.eta().as_secs());
        format!(
            "{}: {} iterations through layer 2 and {} at layer 1 alone, {} failed; a step at layer 2 {}, at layer 1 {}; about {} left",
            summary.name,
            summary.sessions.completed,
            summary.direct.completed,
            summary.failed(),
            p50(&summary.comparison.layer2_step_ms),
            p50(&summary.comparison.layer1_step_ms),
            humantime::format_duration(left),
        )
    }

    /// Tells people what goes on: above the progress bar, where there is one.
    fn tell(&self, text: impl Display) {
        match self.bar.is_hidden() {
            true => self.output.note(text),
            false => self.bar.println(text.to_string()),
        }
    }
}
