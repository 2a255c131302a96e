//! `bench plain`: what a step in a session costs beside what its user would otherwise have had, the
//! same handlers behind a plain web server with the same durable log.
//!
//! Both run as processes of their own on this machine, and one client plays the author's workflow on
//! both, step by step in turn. Compared are the steps of the session; what comes before its opening,
//! and its commit, which a plain server has no counterpart of, are played but not compared. What the
//! plain server does and does not do, [`server`] says.

pub(crate) mod server;

use super::lab::{Lab, Size};
use crate::{
    app::App,
    commands::{Failure, block_on, system},
    config::Role,
    demo::Demo,
    files::{self, Access},
    keys,
    network::{Network, NetworkError},
    output::{Output, table},
    player::{Layer, Played, Player, Playing},
    signals::Stop,
    supervise::Cluster,
};
use plenary_client::Client;
use plenary_service::{Executor, Options};
use plenary_session::log::LogError;
use plenary_types::genesis::ClientSignatures;
use serde::Serialize;
use std::{io, path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// Compare a session's steps with the same handlers behind a plain web server.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    size: Size,
    /// How often the workflow is played and counted
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often it is played before that
    #[arg(long, value_name = "N", default_value_t = 20)]
    warm_up: u32,
    /// The client does not sign its requests to the session node either
    #[arg(long)]
    unsigned: bool,
    /// Where to write the result as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlainFailure {
    /// The plain server's log cannot be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The plain server does not serve.
    #[error("the plain server did not start, its messages are above: {0}")]
    Server(io::Error),
    /// There is no layer 2.
    #[error(
        "without a session node there are no sessions to compare; give --session-nodes 1 or more"
    )]
    NoSessionNode,
    /// The workflow has no session.
    #[error(
        "no step of the demo opens a session or is in one, so there is nothing to compare; the \
         service's routes say .opens_session() and .in_session(\"id\")"
    )]
    NoSession,
}

/// What one side takes for a step, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
}

/// A step on both sides.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    step: String,
    session: Latency,
    plain: Latency,
    /// How many times as long the session's takes, by the medians.
    ratio: f64,
}

/// All steps of a session.
#[derive(Debug, PartialEq, Serialize)]
struct Report {
    steps: Vec<Row>,
    /// The sum of the medians.
    session_ms: f64,
    /// The sum of the medians.
    plain_ms: f64,
    /// The one to the other.
    ratio: f64,
}

pub(crate) fn run(app: &App, args: &Args, output: Output) -> Result<(), Failure> {
    let executor = Executor::new(app.service.clone(), Options::default());
    let executor = executor.map_err(NetworkError::Service)?;
    let demo = app.workflow()?;
    if args.size.session_nodes == 0 {
        return Err(PlainFailure::NoSessionNode.into());
    }
    let signatures = match args.unsigned {
        true => ClientSignatures::Optional,
        false => ClientSignatures::Required,
    };
    let rounds = block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let mut lab = Lab::start(app, args.size, signatures).await?;
        let Lab {
            network, cluster, ..
        } = &mut lab;
        let urls = Urls::of(cluster);
        let measured = tokio::select! {
            measured = measure(&urls, network, &executor, demo, args, output) => measured,
            by = stop.asked() => Err(Failure::Stopped(by)),
            ended = cluster.ended() => Err(ended.into()),
        };
        match measured {
            Err(error @ Failure::Cluster(_)) => {
                lab.abandon().await;
                Err(error)
            }
            measured => {
                lab.stop().await;
                measured
            }
        }
    })?;
    let report = Report::of(&rounds).ok_or(PlainFailure::NoSession)?;
    show(app, &report, args, output)
}

/// Where the nodes serve.
struct Urls {
    validators: Vec<String>,
    session_nodes: Vec<String>,
}

impl Urls {
    fn of(cluster: &Cluster) -> Self {
        Self {
            validators: cluster.urls(Role::Validator),
            session_nodes: cluster.urls(Role::Session),
        }
    }
}

/// Plays the workflow on both sides, and gives the rounds that count.
async fn measure(
    urls: &Urls,
    network: &Network,
    executor: &Executor,
    demo: &Demo,
    args: &Args,
    output: Output,
) -> Result<Vec<Vec<Pair>>, Failure> {
    let server = PlainServer::start(network).await?;
    let session = Client::new(&urls.validators)?
        .with_session_nodes(&urls.session_nodes)?
        .with_genesis(network.genesis.clone());
    let session = match args.unsigned {
        true => session,
        false => session.with_key(keys::load(&network.client_key_path())?),
    };
    let session = Player::of(session, executor, Layer::Sessions, false);
    // The same library; without a key it signs nothing.
    let plain = Player::of(Client::new([&server.url])?, executor, Layer::Direct, false);
    let bar = output.progress("playing the workflow");
    bar.set_length(u64::from(args.warm_up) + u64::from(args.rounds));
    let mut rounds = Vec::new();
    for number in 0..args.warm_up + args.rounds {
        let sides = (session.begin(demo), plain.begin(demo));
        let round = round(sides, number.is_multiple_of(2)).await?;
        if number >= args.warm_up {
            rounds.push(round);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    server.stop().await?;
    Ok(rounds)
}

/// A step of a session, on both sides.
#[derive(Debug, Clone)]
struct Pair {
    step: String,
    session: Duration,
    plain: Duration,
}

/// Plays the whole workflow once, each step on one side and then on the other, so that what disturbs
/// the machine disturbs both. Gives the steps that the session node answers without consensus.
async fn round(
    (mut session, mut plain): (Playing<'_>, Playing<'_>),
    session_first: bool,
) -> Result<Vec<Pair>, Failure> {
    let mut pairs = Vec::new();
    loop {
        let (at_session_node, at_plain) = match session_first {
            true => {
                let first = next(&mut session).await?;
                (first, next(&mut plain).await?)
            }
            false => {
                let first = next(&mut plain).await?;
                (next(&mut session).await?, first)
            }
        };
        let (Some(at_session_node), Some(at_plain)) = (at_session_node, at_plain) else {
            return Ok(pairs);
        };
        if at_session_node.at_layer2 {
            pairs.push(Pair {
                step: at_session_node.step,
                session: at_session_node.latency,
                plain: at_plain.latency,
            });
        }
    }
}

/// The next step, which must be done.
async fn next(playing: &mut Playing<'_>) -> Result<Option<Played>, Failure> {
    match playing.next().await? {
        Some((played, done)) => {
            done?;
            Ok(Some(played))
        }
        None => Ok(None),
    }
}

/// The plain server's process. It stops when its standard input is closed, so also when this process
/// dies.
struct PlainServer {
    child: Child,
    url: String,
}

impl PlainServer {
    /// Starts it, and waits until it listens.
    async fn start(network: &Network) -> Result<Self, PlainFailure> {
        let program = std::env::current_exe().map_err(PlainFailure::Server)?;
        let mut command = Command::new(program);
        command
            .args(["bench", "plain-server", "--genesis"])
            .arg(network.genesis_path())
            .arg("--data-dir")
            .arg(network.directory.join("plain"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // A Ctrl-C in the terminal is for this process.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(PlainFailure::Server)?;
        let mut url = String::new();
        if let Some(output) = child.stdout.take() {
            let read = BufReader::new(output).read_line(&mut url).await;
            read.map_err(PlainFailure::Server)?;
        }
        match url.trim() {
            "" => Err(PlainFailure::Server(io::ErrorKind::UnexpectedEof.into())),
            url => Ok(Self {
                url: url.to_owned(),
                child,
            }),
        }
    }

    async fn stop(mut self) -> Result<(), PlainFailure> {
        drop(self.child.stdin.take());
        self.child.wait().await.map_err(PlainFailure::Server)?;
        Ok(())
    }
}

impl Report {
    /// What rounds of the same steps show; nothing where there are no steps.
    fn of(rounds: &[Vec<Pair>]) -> Option<Self> {
        let first = rounds.first().filter(|round| !round.is_empty())?;
        let steps = first.iter().enumerate().map(|(index, step)| {
            let side = |of: fn(&Pair) -> Duration| {
                let played = rounds.iter().filter_map(|round| round.get(index));
                Latency::of(played.map(of).collect())
            };
            let (session, plain) = (side(|pair| pair.session), side(|pair| pair.plain));
            Row {
                step: step.step.clone(),
                session,
                plain,
                ratio: session.p50_ms / plain.p50_ms,
            }
        });
        let steps: Vec<Row> = steps.collect();
        let session_ms: f64 = steps.iter().map(|row| row.session.p50_ms).sum();
        let plain_ms: f64 = steps.iter().map(|row| row.plain.p50_ms).sum();
        Some(Self {
            steps,
            session_ms,
            plain_ms,
            ratio: session_ms / plain_ms,
        })
    }
}

impl Latency {
    fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        // The smallest that as many percent of all are no longer than.
        let percentile = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).max(1);
            let latency = latencies.get(rank - 1).copied().unwrap_or_default();
            latency.as_secs_f64() * 1000.0
        };
        Self {
            p50_ms: percentile(50),
            p99_ms: percentile(99),
        }
    }
}

fn show(app: &App, report: &Report, args: &Args, output: Output) -> Result<(), Failure> {
    let value = serde_json::json!({
        "service": app.service.id(),
        "validators": args.size.validators,
        "session_nodes": args.size.session_nodes,
        "signed": !args.unsigned,
        "warm_up": args.warm_up,
        "rounds": args.rounds,
        "steps": report.steps,
        "session_ms": report.session_ms,
        "plain_ms": report.plain_ms,
        "ratio": report.ratio,
    });
    if let Some(path) = &args.out {
        // Of numbers and names, which JSON can hold.
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        files::write_new(path, &text, Access::Usual)?;
    }
    output.show(&value, || {
        format!(
            "{}\n\n{} rounds after {} that are not counted; each step in turn on both sides.\n{}\n{}",
            human(report),
            args.rounds,
            args.warm_up,
            match args.unsigned {
                true => "session: the client does not sign, and checks every promise.",
                false => "session: the client signs every request, and checks every promise.",
            },
            "plain: the same handlers behind axum, answered once the operation is in the same kind of \
             log; no signatures, no promises, nothing to commit.",
        )
    });
    Ok(())
}

/// The steps, and their sums.
fn human(report: &Report) -> String {
    let milliseconds = |value: f64| format!("{value:.3}");
    let times = |ratio: f64| format!("{ratio:.2} x");
    let rows = report.steps.iter().map(|row| {
        [
            row.step.clone(),
            milliseconds(row.session.p50_ms),
            milliseconds(row.session.p99_ms),
            milliseconds(row.plain.p50_ms),
            milliseconds(row.plain.p99_ms),
            times(row.ratio),
        ]
    });
    let sum = [
        "sum of medians".to_owned(),
        milliseconds(report.session_ms),
        String::new(),
        milliseconds(report.plain_ms),
        String::new(),
        times(report.ratio),
    ];
    let header = [
        "step",
        "session p50, ms",
        "p99",
        "plain p50, ms",
        "p99",
        "session / plain",
    ];
    table(header, rows.chain([sum]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pair(step: &str, session: u64, plain: u64) -> Pair {
        Pair {
            step: step.into(),
            session: Duration::from_millis(session),
            plain: Duration::from_millis(plain),
        }
    }

    #[test]
    fn the_ratio_is_of_the_sums_of_the_medians() {
        let rounds = [
            vec![pair("open", 2, 1), pair("scan", 6, 3)],
            vec![pair("open", 4, 2), pair("scan", 6, 3)],
            // A pause of the machine moves a percentile, and not the ratio.
            vec![pair("open", 4, 2), pair("scan", 900, 3)],
        ];
        let report = Report::of(&rounds).unwrap();
        assert_eq!((report.session_ms, report.plain_ms), (10.0, 5.0));
        assert_eq!(report.ratio, 2.0);
        let scan = &report.steps[1];
        assert_eq!((scan.session.p50_ms, scan.session.p99_ms), (6.0, 900.0));
        assert_eq!(scan.step, "scan");
    }

    #[test]
    fn a_workflow_without_a_session_is_no_comparison() {
        assert_eq!(Report::of(&[]), None);
        assert_eq!(Report::of(&[Vec::new()]), None);
    }
}
