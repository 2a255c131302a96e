//! `testnet`: keys, genesis and one configuration a node, to be carried to where the nodes run.

use super::Failure;
use crate::{
    app::App,
    config::Role,
    network::{FirstPorts, Network, Plan},
    output::{Output, table},
};
use plenary_session::node::Bounds;
use plenary_types::genesis::ClientSignatures;
use serde_json::json;
use std::path::PathBuf;

/// Make keys, genesis and configurations for a new network.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a network's directory
    Init(Init),
}

/// Make a network's directory.
#[derive(clap::Args)]
pub(crate) struct Init {
    /// How many validators; up to a third of them, rounded down, may fail or lie
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,
    /// How many session nodes; with none, clients work with validators directly
    #[arg(long, value_name = "M", default_value_t = 1)]
    session_nodes: u16,
    /// The directory to make; must be missing or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The network's name [default: the service's]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Take requests that their clients did not sign, too
    #[arg(long)]
    unsigned_clients: bool,
    #[command(flatten)]
    ports: FirstPorts,
}

pub(crate) fn run(app: &App, command: Command, output: Output) -> Result<(), Failure> {
    let Command::Init(args) = command;
    let plan = Plan {
        network: args
            .network
            .unwrap_or_else(|| app.service.id().name.clone()),
        validators: args.validators,
        session_nodes: args.session_nodes,
        clients: match args.unsigned_clients {
            true => ClientSignatures::Optional,
            false => ClientSignatures::Required,
        },
        service: app.service.clone(),
        bounds: Bounds::default(),
        ports: args.ports,
    };
    let network = Network::create(&args.out, &plan)?;
    show(&network, output);
    Ok(())
}

fn show(network: &Network, output: Output) {
    let nodes = |role| {
        let nodes = network.of(role).map(|node| {
            json!({
                "name": node.name,
                "key": node.key.public_key(),
                "config": node.config.path,
                "http": node.config.http,
                "p2p": node.config.p2p,
            })
        });
        nodes.collect::<Vec<_>>()
    };
    let value = json!({
        "network": network.genesis.network,
        "genesis": network.genesis_path(),
        "genesis_hash": network.genesis.hash(),
        "client_key": network.client_key_path(),
        "validators": nodes(Role::Validator),
        "session_nodes": nodes(Role::Session),
    });
    output.show(&value, || {
        let rows = network.nodes.iter().map(|node| {
            let config = &node.config;
            [
                node.name.clone(),
                config.http.to_string(),
                config.p2p.to_string(),
                config.path.display().to_string(),
            ]
        });
        let rows = table(["node", "http", "p2p", "configuration"], rows);
        let name = &network.genesis.service.name;
        format!(
            "{rows}\n\nnetwork {}, genesis {}\nEach node: `{name} start --config FILE`. To run them on several machines, give each its\ndirectory and {}, and write their addresses into the configurations.",
            network.genesis.network,
            network.genesis.hash(),
            network.genesis_path().display()
        )
    });
}
