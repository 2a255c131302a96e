//! `config`: explain what is wrong with a configuration, and where.

use super::Failure;
use crate::{
    app::App,
    config::{Config, Overrides},
    output::{Output, table},
};
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf};

/// Check a node's configuration.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Check a configuration with its genesis and key, without starting anything
    Check(Check),
}

/// Check a configuration with its genesis and key, without starting anything.
#[derive(clap::Args)]
pub(crate) struct Check {
    /// The configuration file
    #[arg(long, env = "PLENARY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

pub(crate) fn run(app: &App, command: Command, output: Output) -> Result<(), Failure> {
    let Command::Check(args) = command;
    let config = Config::load(&args.config, &args.overrides)?;
    let node = config.node(app.service.id())?;
    let key = node.key.public_key();
    let bounds = node.layer2.as_ref().map(|layer2| &layer2.bounds);
    let bounds = bounds.map(|bounds| {
        [
            ("participation", bounds.participation.to_string()),
            (
                "time limit",
                humantime::format_duration(bounds.time_limit).to_string(),
            ),
            ("sessions", bounds.sessions.to_string()),
            ("requests", bounds.requests.to_string()),
        ]
    });
    let value = json!({
        "config": config.path,
        "role": config.role.to_string(),
        "name": node.name,
        "key": key,
        "network": node.genesis.network,
        "genesis_hash": node.genesis.hash(),
        "data_dir": config.data_dir,
        "http": config.http,
        "p2p": config.p2p,
        "peers": node.peers.len(),
        "validators": node.layer2.as_ref().map(|layer2| layer2.validators.len()),
        "bounds": bounds.as_ref().map(|bounds| BTreeMap::from(bounds.clone())),
        "double_run": config.double_run,
    });
    output.show(&value, || {
        let rows = [
            ("role", config.role.to_string()),
            ("name", node.name.clone()),
            ("key", key.to_string()),
            ("network", node.genesis.network.clone()),
            ("genesis", node.genesis.hash().to_string()),
            ("data", config.data_dir.display().to_string()),
            ("http", config.http.to_string()),
            ("p2p", config.p2p.to_string()),
            ("peers", node.peers.len().to_string()),
        ];
        let rows = table(
            ["setting", "value"],
            rows.into_iter()
                .chain(bounds.into_iter().flatten())
                .map(|(name, value)| [name.into(), value]),
        );
        format!("{rows}\n\n{} is fine.", config.path.display())
    });
    Ok(())
}
