//! `demo`: the service's own workflow on a fresh network, step by step, with the proof of the
//! last.

use super::{Failure, block_on, receipt, system};
use crate::{
    app::App,
    config::Role,
    demo::{Answers, Demo, MissingAnswer, Step},
    files, keys,
    network::{FirstPorts, Network, NetworkError, Plan},
    output::{Output, table},
    signals::Stop,
    supervise::{Cluster, Logs},
};
use plenary_client::{Client, ClientError};
use plenary_service::{Executor, Options};
use plenary_types::{Request, TransactionHash, genesis::ClientSignatures, receipt::Verified};
use serde::Serialize;
use serde_json::json;
use std::time::Instant;

/// Play the service's own workflow on a fresh network and verify its last receipt.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many validators
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// How often the workflow is played; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Keep the network's directory
    #[arg(long)]
    keep: bool,
}

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoFailure {
    /// The author gave none.
    #[error(
        "{0} has no demo; give it one: plenary::run(App::new(service()).demo(Demo::new().step(\"Name\", |answers| Ok(Call::post(\"/path\")))))"
    )]
    None(String),
    /// A step needs what no answer has.
    #[error("step `{step}`: {error}")]
    Missing {
        /// The step.
        step: String,
        /// What it needs.
        error: MissingAnswer,
    },
    /// A step was refused.
    #[error("step `{step}` was answered with status {status}: {body}")]
    Refused {
        /// The step.
        step: String,
        /// The answer's status.
        status: u16,
        /// The answer's body.
        body: String,
    },
    /// No step went through consensus.
    #[error("no step of the demo made a transaction, so there is no receipt to verify")]
    NoReceipt,
    /// Someone stopped it.
    #[error("stopped by {0}")]
    Stopped(&'static str),
}

/// One step as it was played.
#[derive(Debug, Clone, Serialize)]
struct Played {
    step: String,
    route: String,
    status: u16,
    latency_ms: f64,
    height: Option<u64>,
    transaction: Option<TransactionHash>,
}

pub(crate) fn run(app: App, args: Args, output: Output) -> Result<(), Failure> {
    let service = app.service.id();
    let executor = Executor::new(app.service.clone(), Options::default());
    let executor = executor.map_err(NetworkError::Service)?;
    let demo = app
        .demo
        .ok_or_else(|| DemoFailure::None(service.name.clone()))?;
    let home = tempfile::Builder::new().prefix("plenary-demo-").tempdir();
    let mut home = home.map_err(files::on("create a directory in", &std::env::temp_dir()))?;
    let plan = Plan {
        network: service.name.clone(),
        validators: args.validators,
        session_nodes: 0,
        clients: ClientSignatures::Required,
        service: app.service.clone(),
        ports: FirstPorts::default(),
    };
    let network = Network::create(&home.path().join("network"), &plan)?;
    output.note(format_args!(
        "starting {} validators of {service}, one process each, in {}",
        args.validators,
        network.directory.display()
    ));
    let played = block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let logs = Logs::lock(&network.nodes).await?;
        let mut cluster = Cluster::spawn(&network.nodes, logs, false)?;
        let done = tokio::select! {
            done = play(&mut cluster, &network, &demo, executor, args.rounds, output) => done,
            by = stop.asked() => Err(DemoFailure::Stopped(by).into()),
        };
        cluster.stop().await;
        done
    });
    // An error may point at a log.
    home.disable_cleanup(args.keep || played.is_err());
    show(&played?, &network, &args, output);
    Ok(())
}

/// What a demo showed.
struct Report {
    /// The last round's steps, with medians of all rounds.
    steps: Vec<Played>,
    /// The median latency of all operations that went through consensus, in milliseconds.
    p50_ms: f64,
    /// The name of the last such step.
    proven: String,
    /// What its receipt proves.
    verified: Verified,
}

async fn play(
    cluster: &mut Cluster,
    network: &Network,
    demo: &Demo,
    executor: Executor,
    rounds: u32,
    output: Output,
) -> Result<Report, Failure> {
    cluster.ready().await?;
    let client = Client::new(cluster.urls(Role::Validator))?
        .with_key(keys::load(&network.client_key_path())?);
    let player = Player { client, executor };
    let rounds = tokio::select! {
        rounds = player.rounds(demo, rounds, output) => rounds?,
        ended = cluster.ended() => return Err(ended.into()),
    };
    let steps = medians(&rounds);
    let mut operations = steps.iter().rev();
    let last = operations.find_map(|step| Some((step.step.clone(), step.transaction?)));
    let (proven, hash) = last.ok_or(DemoFailure::NoReceipt)?;
    let fetched = player.client.receipt(&hash).await?;
    let path = network.directory.join("receipt.json");
    receipt::save(&path, &fetched)?;
    // From here on no validator is asked: what is checked is two files.
    let verified = receipt::verify(&path, &network.genesis_path())?;
    let operations = rounds.iter().flatten();
    let operations = operations.filter(|step| step.transaction.is_some());
    Ok(Report {
        p50_ms: median(operations.map(|step| step.latency_ms)),
        steps,
        proven,
        verified,
    })
}

fn show(report: &Report, network: &Network, args: &Args, output: Output) {
    let Report {
        steps,
        p50_ms,
        proven,
        verified,
    } = report;
    let value = json!({
        "service": network.genesis.service,
        "validators": network.nodes.len(),
        "rounds": args.rounds,
        "steps": steps,
        "p50_ms": p50_ms,
        "receipt": verified,
        "directory": args.keep.then_some(&network.directory),
    });
    output.show(&value, || {
        format!(
            "{}\np50 of an operation, from sent to final: {p50_ms:.1} ms\n\nThe receipt of `{proven}`, verified offline with the genesis alone:\n{}",
            human(steps),
            receipt::describe(verified),
        )
    });
    if args.keep {
        output.note(format_args!("kept {}", network.directory.display()));
    }
}

/// A client of the network, which knows the service's routes.
struct Player {
    client: Client,
    executor: Executor,
}

impl Player {
    async fn rounds(
        &self,
        demo: &Demo,
        rounds: u32,
        output: Output,
    ) -> Result<Vec<Vec<Played>>, Failure> {
        // So that the first step does not pay for the connection.
        self.client.is_ready().await;
        let bar = output.progress("playing the workflow");
        bar.set_length(rounds.into());
        let mut all = Vec::new();
        for _ in 0..rounds {
            let mut answers = Answers::default();
            let mut round = Vec::new();
            for step in &demo.steps {
                round.push(self.step(step, &mut answers).await?);
            }
            all.push(round);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(all)
    }

    async fn step(&self, step: &Step, answers: &mut Answers) -> Result<Played, Failure> {
        let call = (step.call)(answers).map_err(|error| DemoFailure::Missing {
            step: step.name.clone(),
            error,
        })?;
        let request = &call.request;
        let started = Instant::now();
        let sent = self.client.send(request, None).await;
        let latency = started.elapsed();
        let refused = |status, body: String| DemoFailure::Refused {
            step: step.name.clone(),
            status,
            body,
        };
        let answer = match sent {
            Err(ClientError::Problem { problem, .. }) => {
                return Err(refused(problem.status, problem.to_string()).into());
            }
            Ok(answer) if answer.status >= 400 => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(refused(answer.status, body).into());
            }
            other => other?,
        };
        answers.add(&step.name, &answer.body);
        Ok(Played {
            step: step.name.clone(),
            route: self.route(request),
            status: answer.status,
            latency_ms: latency.as_micros() as f64 / 1000.0,
            height: answer.height,
            transaction: answer.transaction,
        })
    }

    /// The route that a request takes, or its path where there is none.
    fn route(&self, request: &Request) -> String {
        let route = self.executor.route(request);
        let pattern = route
            .as_ref()
            .map_or(request.path(), |route| route.pattern());
        format!("{} {pattern}", request.method)
    }
}

/// The last round's steps, each with its median latency of all rounds.
fn medians(rounds: &[Vec<Played>]) -> Vec<Played> {
    let last = rounds.last().cloned().unwrap_or_default();
    let steps = last.into_iter().enumerate().map(|(index, step)| {
        let latencies = rounds.iter().filter_map(|round| round.get(index));
        Played {
            latency_ms: median(latencies.map(|step| step.latency_ms)),
            ..step
        }
    });
    steps.collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn human(steps: &[Played]) -> String {
    let rows = steps.iter().map(|step| {
        [
            step.step.clone(),
            step.route.clone(),
            step.status.to_string(),
            format!("{:.1} ms", step.latency_ms),
            step.height
                .map_or_else(|| "-".into(), |height| height.to_string()),
        ]
    });
    table(["step", "route", "status", "latency", "height"], rows)
}
