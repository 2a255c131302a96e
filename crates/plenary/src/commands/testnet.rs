//! `testnet`: keys, genesis and one configuration a node, to be carried to where the nodes run.

use super::Failure;
use crate::{
    app::App,
    network::{Network, Plan},
    output::{Output, table},
};
use plenary_types::genesis::ClientSignatures;
use serde_json::json;
use std::path::PathBuf;

/// The design's first port for HTTP of validators.
pub(crate) const HTTP_PORT: u16 = 5000;
/// The design's first port between validators.
pub(crate) const P2P_PORT: u16 = 26600;

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
    /// The directory to make; must be missing or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The network's name [default: the service's]
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Take requests that their clients did not sign, too
    #[arg(long)]
    unsigned_clients: bool,
    /// The first validator's HTTP port, the others count up; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = HTTP_PORT)]
    http_port: u16,
    /// The first validator's port for the others, which count up; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = P2P_PORT)]
    p2p_port: u16,
}

pub(crate) fn run(app: &App, command: Command, output: Output) -> Result<(), Failure> {
    let Command::Init(args) = command;
    let plan = Plan {
        network: args
            .network
            .unwrap_or_else(|| app.service.id().name.clone()),
        validators: args.validators,
        clients: match args.unsigned_clients {
            true => ClientSignatures::Optional,
            false => ClientSignatures::Required,
        },
        service: app.service.clone(),
        http_port: args.http_port,
        p2p_port: args.p2p_port,
    };
    let network = Network::create(&args.out, &plan)?;
    show(&network, output);
    Ok(())
}

fn show(network: &Network, output: Output) {
    let nodes = network.nodes.iter().map(|node| {
        json!({
            "name": node.name,
            "key": node.key.public_key(),
            "config": node.config.path,
            "http": node.config.http,
            "p2p": node.config.p2p,
        })
    });
    let value = json!({
        "network": network.genesis.network,
        "genesis": network.genesis_path(),
        "genesis_hash": network.genesis.hash(),
        "client_key": network.client_key_path(),
        "validators": nodes.collect::<Vec<_>>(),
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
        let rows = table(["validator", "http", "p2p", "configuration"], rows);
        let name = &network.genesis.service.name;
        format!(
            "{rows}\n\nnetwork {}, genesis {}\nEach validator: `{name} start --config FILE`. To run them on several machines, give each its\ndirectory and {}, and write their addresses into the configurations.",
            network.genesis.network,
            network.genesis.hash(),
            network.genesis_path().display()
        )
    });
}
