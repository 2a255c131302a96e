//! `demo`: the service's own workflow on a fresh network, once through layer 2 and once at layer 1
//! alone, step by step, with the proof of the last.

use super::{Failure, block_on, receipt, system};
use crate::{
    app::App,
    demo::Demo,
    files,
    network::{FirstPorts, Network, NetworkError, Plan},
    output::{Output, table},
    player::{Done, Layer, Played, Player},
    signals::Stop,
    supervise::{Cluster, Logs},
};
use indicatif::ProgressBar;
use plenary_service::{Executor, Options};
use plenary_session::node::Bounds;
use plenary_types::{TransactionHash, genesis::ClientSignatures, receipt::Verified};
use serde::Serialize;
use serde_json::json;

/// Play the service's own workflow on a fresh network and verify its last receipt.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many validators
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// How many session nodes; with none, the workflow is played at layer 1 only
    #[arg(long, value_name = "M", default_value_t = 1)]
    session_nodes: u16,
    /// How often the workflow is played at each layer; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Keep the network's directory
    #[arg(long)]
    keep: bool,
}

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoFailure {
    /// No step went through consensus.
    #[error("no step of the demo made a transaction, so there is no receipt to verify")]
    NoReceipt,
    /// Someone stopped it.
    #[error("stopped by {0}")]
    Stopped(&'static str),
}

/// One step, with medians of all rounds.
#[derive(Debug, Serialize)]
struct Row {
    step: String,
    route: String,
    status: u16,
    /// Milliseconds at layer 2, where there is one.
    layer2_ms: Option<f64>,
    /// Milliseconds at layer 1 alone.
    layer1_ms: f64,
    /// How many times as long layer 1 takes.
    ratio: Option<f64>,
    /// The block that has it; nothing for a step of a session before its commit.
    height: Option<u64>,
    transaction: Option<TransactionHash>,
}

pub(crate) fn run(app: App, args: Args, output: Output) -> Result<(), Failure> {
    let service = app.service.id();
    let executor = Executor::new(app.service.clone(), Options::default());
    let executor = executor.map_err(NetworkError::Service)?;
    let demo = app.workflow()?;
    let home = tempfile::Builder::new().prefix("plenary-demo-").tempdir();
    let mut home = home.map_err(files::on("create a directory in", &std::env::temp_dir()))?;
    let plan = Plan {
        network: service.name.clone(),
        validators: args.validators,
        session_nodes: args.session_nodes,
        clients: ClientSignatures::Required,
        service: app.service.clone(),
        bounds: Bounds::default(),
        ports: FirstPorts::default(),
    };
    let network = Network::create(&home.path().join("network"), &plan)?;
    output.note(format_args!(
        "starting {} validators and {} session nodes of {service}, one process each, in {}",
        args.validators,
        args.session_nodes,
        network.directory.display()
    ));
    let played = block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let logs = Logs::lock(&network.nodes).await?;
        let mut cluster = Cluster::spawn(&network.nodes, logs, false)?;
        let done = tokio::select! {
            done = play(&mut cluster, &network, demo, &executor, args.rounds, output) => done,
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
    steps: Vec<Row>,
    /// The name of the last step that made a transaction.
    proven: String,
    /// What its receipt proves.
    verified: Verified,
}

async fn play(
    cluster: &mut Cluster,
    network: &Network,
    demo: &Demo,
    executor: &Executor,
    rounds: u32,
    output: Output,
) -> Result<Report, Failure> {
    cluster.ready().await?;
    let direct = Player::new(cluster, network, executor, Layer::Direct)?;
    let sessions = Player::new(cluster, network, executor, Layer::Sessions)?;
    let has_sessions = !network.genesis.session_nodes.is_empty();
    let bar = output.progress("playing the workflow");
    bar.set_length(u64::from(rounds) * (1 + u64::from(has_sessions)));
    let played = async {
        let through = match has_sessions {
            true => play_rounds(&sessions, demo, rounds, &bar).await?,
            false => Vec::new(),
        };
        Ok::<_, Failure>((through, play_rounds(&direct, demo, rounds, &bar).await?))
    };
    let (through, alone) = tokio::select! {
        played = played => played?,
        ended = cluster.ended() => return Err(ended.into()),
    };
    bar.finish_and_clear();
    let steps = rows(&through, &alone);
    let mut last = steps.iter().rev();
    let last = last.find_map(|step| Some((step.step.clone(), step.transaction?)));
    let (proven, hash) = last.ok_or(DemoFailure::NoReceipt)?;
    let path = network.directory.join("receipt.json");
    receipt::save(&path, &direct.client.receipt(&hash).await?)?;
    // From here on nobody is asked: what is checked is two files.
    let verified = receipt::verify(&path, &network.genesis_path())?;
    Ok(Report {
        steps,
        proven,
        verified,
    })
}

/// One time through the workflow.
type Round = Vec<(Played, Done)>;

async fn play_rounds(
    player: &Player<'_>,
    demo: &Demo,
    rounds: u32,
    bar: &ProgressBar,
) -> Result<Vec<Round>, Failure> {
    // So that the first round does not pay for connections.
    play_round(player, demo).await?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(play_round(player, demo).await?);
        bar.inc(1);
    }
    Ok(all)
}

/// Plays the workflow once; every step must be done.
async fn play_round(player: &Player<'_>, demo: &Demo) -> Result<Round, Failure> {
    let (mut playing, mut round) = (player.begin(demo), Vec::new());
    while let Some((played, done)) = playing.next().await? {
        round.push((played, done?));
    }
    Ok(round)
}

/// The steps of the last round through layer 2, or at layer 1 where there is no other.
fn rows(through: &[Round], alone: &[Round]) -> Vec<Row> {
    let last = through.last().or(alone.last()).into_iter().flatten();
    let rows = last.enumerate().map(|(index, (step, done))| {
        let layer2_ms = (!through.is_empty()).then(|| median(through, index));
        let layer1_ms = median(alone, index);
        Row {
            step: step.step.clone(),
            route: format!("{} {}", step.method, step.endpoint),
            status: done.status,
            layer2_ms,
            layer1_ms,
            ratio: layer2_ms.map(|layer2_ms| layer1_ms / layer2_ms),
            height: done.height,
            transaction: done.transaction,
        }
    });
    rows.collect()
}

/// The median latency of a step in all rounds, in milliseconds.
fn median(rounds: &[Round], step: usize) -> f64 {
    let played = rounds.iter().filter_map(|round| round.get(step));
    let mut latencies: Vec<_> = played.map(|(played, _)| played.latency).collect();
    latencies.sort();
    let middle = latencies.get(latencies.len() / 2);
    middle.map_or(0.0, |latency| latency.as_micros() as f64 / 1000.0)
}

fn show(report: &Report, network: &Network, args: &Args, output: Output) {
    let Report {
        steps,
        proven,
        verified,
    } = report;
    let value = json!({
        "service": network.genesis.service,
        "validators": args.validators,
        "session_nodes": args.session_nodes,
        "rounds": args.rounds,
        "steps": steps,
        "receipt": verified,
        "directory": args.keep.then_some(&network.directory),
    });
    output.show(&value, || {
        format!(
            "{}\n\nThe receipt of `{proven}`, verified offline with the genesis alone:\n{}",
            human(steps),
            receipt::describe(verified),
        )
    });
    if args.keep {
        output.note(format_args!("kept {}", network.directory.display()));
    }
}

/// The steps, and their sum.
fn human(steps: &[Row]) -> String {
    let rows = steps.iter().map(|step| {
        [
            step.step.clone(),
            step.route.clone(),
            step.status.to_string(),
            milliseconds(step.layer2_ms),
            milliseconds(Some(step.layer1_ms)),
            times(step.ratio),
            step.height
                .map_or_else(|| "-".into(), |height| height.to_string()),
        ]
    });
    let total = |value: fn(&Row) -> Option<f64>| -> Option<f64> { steps.iter().map(value).sum() };
    let (layer2, layer1) = (
        total(|step| step.layer2_ms),
        total(|step| Some(step.layer1_ms)),
    );
    let ratio = layer2.zip(layer1).map(|(layer2, layer1)| layer1 / layer2);
    let sum = [
        "all of it".into(),
        String::new(),
        String::new(),
        milliseconds(layer2),
        milliseconds(layer1),
        times(ratio),
        String::new(),
    ];
    let header = [
        "step",
        "route",
        "status",
        "layer 2, ms",
        "layer 1, ms",
        "faster",
        "height",
    ];
    table(header, rows.chain([sum]))
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.1}"))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.1} x"))
}
