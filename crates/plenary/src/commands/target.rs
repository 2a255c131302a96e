//! Which network a command speaks to: `--url`, or the one in a directory that `dev` made.

use super::Failure;
use crate::{
    config::{Role, load_genesis},
    network::{CLIENT_KEY, Network, Node},
};
use plenary_client::Client;
use plenary_types::Genesis;
use std::{path::PathBuf, time::Duration};

/// Where `dev` keeps its network unless told otherwise.
pub(crate) const DIRECTORY: &str = "plenary-data";

/// How long commands go on asking before they say that nobody answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// The network to speak to.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// A validator's URL, such as http://127.0.0.1:5000; several are asked in turn
    #[arg(
        long = "url",
        env = "PLENARY_URL",
        value_name = "URL",
        value_delimiter = ','
    )]
    urls: Vec<String>,
    /// A session node's URL, such as http://127.0.0.1:4000; several are asked in turn
    #[arg(
        long = "session-url",
        env = "PLENARY_SESSION_URL",
        value_name = "URL",
        value_delimiter = ',',
        requires = "urls"
    )]
    session_urls: Vec<String>,
    /// The network's genesis file, to check what it says [default: that of the directory]
    #[arg(long, env = "PLENARY_GENESIS", value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The directory of a network on this machine, where no --url is given
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    data_dir: PathBuf,
}

/// No network to speak to.
#[derive(Debug, thiserror::Error)]
#[error(
    "which network? {} holds none; give --url http://HOST:PORT, or --data-dir, or start one with `dev`", .0.display()
)]
pub(crate) struct NoTarget(PathBuf);

/// Where a network is.
pub(crate) struct Found {
    /// The URLs of its validators.
    pub(crate) validators: Vec<String>,
    /// Those of its session nodes.
    pub(crate) session_nodes: Vec<String>,
    /// Its genesis, where it is at hand.
    genesis: Option<Genesis>,
}

impl Target {
    /// Finds the network.
    pub(crate) fn find(&self) -> Result<Found, Failure> {
        let genesis = self.genesis.as_deref().map(load_genesis).transpose()?;
        if !self.urls.is_empty() {
            return Ok(Found {
                validators: self.urls.clone(),
                session_nodes: self.session_urls.clone(),
                genesis,
            });
        }
        if !Network::exists(&self.data_dir) {
            return Err(NoTarget(self.data_dir.clone()).into());
        }
        let network = Network::open(&self.data_dir)?;
        let urls = |role| network.of(role).map(Node::url).collect();
        Ok(Found {
            validators: urls(Role::Validator),
            session_nodes: urls(Role::Session),
            genesis: genesis.or(Some(network.genesis)),
        })
    }

    /// A client of the network, which asks its nodes in turn and, where the genesis is at hand,
    /// checks what they say.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let found = self.find()?;
        let client = Client::new(found.validators)?
            .with_session_nodes(found.session_nodes)?
            .with_patience(PATIENCE);
        Ok(match found.genesis {
            Some(genesis) => client.with_genesis(genesis),
            None => client,
        })
    }

    /// The key file of a client of the network in the directory, where there is one.
    pub(crate) fn client_key(&self) -> Option<PathBuf> {
        let path = self.data_dir.join(CLIENT_KEY);
        path.is_file().then_some(path)
    }
}
