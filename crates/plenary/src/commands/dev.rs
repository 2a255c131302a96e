//! `dev`: a whole network on this machine, one process a node, until Ctrl-C.

use super::{Failure, block_on, system, target::DIRECTORY};
use crate::{
    app::App,
    config::Role,
    live::Live,
    network::{FirstPorts, Network, Plan},
    output::{Output, table},
    signals::Stop,
    supervise::{Cluster, Logs},
};
use plenary_session::node::Bounds;
use plenary_types::genesis::ClientSignatures;
use serde_json::json;
use std::path::PathBuf;

/// How many validators a new network has unless told otherwise: the fewest that bear a fault.
const VALIDATORS: u16 = 4;
/// How many session nodes.
const SESSION_NODES: u16 = 1;

/// Run a whole network on this machine until Ctrl-C; resumes where it was.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many validators [default: 4, or as many as the directory has]
    #[arg(long, value_name = "N")]
    validators: Option<u16>,
    /// How many session nodes [default: 1, or as many as the directory has]
    #[arg(long, value_name = "M")]
    session_nodes: Option<u16>,
    /// The network's directory; made where it is missing, resumed where it is not
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    data_dir: PathBuf,
    #[command(flatten)]
    ports: FirstPorts,
}

/// Why a directory's network is not resumed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} holds a network of {found} {role}s, not of {asked}; leave the number out, or give another --data-dir", directory.display()
)]
pub(crate) struct OtherSize {
    directory: PathBuf,
    role: Role,
    found: usize,
    asked: u16,
}

pub(crate) fn run(app: App, args: Args, output: Output) -> Result<(), Failure> {
    let service = app.service.id();
    let resumed = Network::exists(&args.data_dir);
    let mut network = match resumed {
        true => resume(&args)?,
        false => create(&app, &args)?,
    };
    block_on(async {
        let mut stop = Stop::listen().map_err(system("signals"))?;
        let logs = tokio::select! {
            logs = Logs::lock(&network.nodes) => logs?,
            _ = stop.asked() => return Ok(()),
        };
        for (name, old, new) in network.free_ports()? {
            output.note(format_args!("{old} of {name} is taken; it has {new} now"));
        }
        for node in &network.nodes {
            node.config.node(service)?;
        }
        let mut cluster = Cluster::spawn(&network.nodes, logs, true)?;
        let ended = tokio::select! {
            ended = watch(&mut cluster, &network, resumed, output) => Err(ended),
            by = stop.asked() => Ok(by),
        };
        if let Ok(by) = ended {
            output.note(format_args!("{by}: stopping all nodes"));
        }
        for name in cluster.stop().await {
            output.note(format_args!("{name} did not stop in time and was killed"));
        }
        ended.map(|_| ())
    })
}

fn create(app: &App, args: &Args) -> Result<Network, Failure> {
    let plan = Plan {
        network: app.service.id().name.clone(),
        validators: args.validators.unwrap_or(VALIDATORS),
        session_nodes: args.session_nodes.unwrap_or(SESSION_NODES),
        // So that curl is enough to try the service.
        clients: ClientSignatures::Optional,
        service: app.service.clone(),
        bounds: Bounds::default(),
        ports: args.ports,
    };
    Ok(Network::create(&args.data_dir, &plan)?)
}

fn resume(args: &Args) -> Result<Network, Failure> {
    let network = Network::open(&args.data_dir)?;
    network.check_whole()?;
    let asked = [
        (Role::Validator, args.validators),
        (Role::Session, args.session_nodes),
    ];
    for (role, asked) in asked {
        let found = network.of(role).count();
        if let Some(asked) = asked
            && usize::from(asked) != found
        {
            return Err(OtherSize {
                directory: args.data_dir.clone(),
                role,
                found,
                asked,
            }
            .into());
        }
    }
    Ok(network)
}

/// Announces the network once it is ready, and waits until a node ends by itself.
async fn watch(cluster: &mut Cluster, network: &Network, resumed: bool, output: Output) -> Failure {
    if let Err(error) = cluster.ready().await {
        return error.into();
    }
    let nodes = |role| {
        let nodes = cluster.nodes.iter().zip(&network.nodes);
        let nodes = nodes.filter(|(running, _)| running.role == role);
        let nodes = nodes.map(|(running, node)| {
            json!({
                "name": running.name,
                "url": running.url,
                "key": node.key.public_key(),
                "pid": running.pid,
                "log": running.log,
            })
        });
        nodes.collect::<Vec<_>>()
    };
    output.line(&json!({
        "network": network.genesis.network,
        "genesis": network.genesis_path(),
        "data_dir": network.directory,
        "client_key": network.client_key_path(),
        "validators": nodes(Role::Validator),
        "session_nodes": nodes(Role::Session),
    }));
    output.note(describe(cluster, network, resumed));
    let live = Live::new(&cluster.nodes, output);
    tokio::select! {
        ended = cluster.ended() => ended.into(),
        () = Live::run(live) => unreachable!("a live view has no end"),
    }
}

fn describe(cluster: &Cluster, network: &Network, resumed: bool) -> String {
    let rows = cluster.nodes.iter().map(|node| {
        [
            node.name.clone(),
            node.url.clone(),
            node.pid.to_string(),
            node.log.display().to_string(),
        ]
    });
    let rows = table(["node", "url", "pid", "log"], rows);
    let state = if resumed { "resumed" } else { "new" };
    let directory = network.directory.display();
    // Where a client begins: at a session node, where there is one.
    let first = cluster.nodes.iter().max_by_key(|node| node.role);
    format!(
        "{rows}\nnetwork {} ({state}) in {directory}; its API: {}/plenary/v1/openapi.json\nCtrl-C stops it, the same command resumes it.",
        network.genesis.network,
        first.map(|node| node.url.as_str()).unwrap_or_default()
    )
}
