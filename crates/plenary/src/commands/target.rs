//! Which network a command speaks to: `--url`, or the one in a directory that `dev` made.

use super::Failure;
use crate::network::{CLIENT_KEY, Network};
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

impl Target {
    /// The URLs of the network's validators.
    pub(crate) fn urls(&self) -> Result<Vec<String>, Failure> {
        Ok(self.find()?.0)
    }

    /// The URLs, and the genesis where it is at hand.
    fn find(&self) -> Result<(Vec<String>, Option<Genesis>), Failure> {
        if !self.urls.is_empty() {
            return Ok((self.urls.clone(), None));
        }
        if !Network::exists(&self.data_dir) {
            return Err(NoTarget(self.data_dir.clone()).into());
        }
        let network = Network::open(&self.data_dir)?;
        let nodes = network.nodes.iter();
        let urls = nodes.map(|node| format!("http://{}", node.config.http));
        Ok((urls.collect(), Some(network.genesis)))
    }

    /// A client of the network, which asks its validators in turn and, where the genesis is at
    /// hand, checks what they say.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let (urls, genesis) = self.find()?;
        let client = Client::new(urls)?.with_patience(PATIENCE);
        Ok(match genesis {
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
