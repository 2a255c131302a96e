//! Which network a command speaks to: `--url`, or the one in a directory that `dev` made.

use super::Failure;
use crate::{
    network::{CLIENT_KEY, Network},
    remote::Remote,
};
use std::path::PathBuf;

/// Where `dev` keeps its network unless told otherwise.
pub(crate) const DIRECTORY: &str = "plenary-data";

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
        if !self.urls.is_empty() {
            return Ok(self.urls.clone());
        }
        if !Network::exists(&self.data_dir) {
            return Err(NoTarget(self.data_dir.clone()).into());
        }
        let nodes = Network::open(&self.data_dir)?.nodes;
        let urls = nodes
            .iter()
            .map(|node| format!("http://{}", node.config.http));
        Ok(urls.collect())
    }

    /// The network's validators, to be asked in turn.
    pub(crate) fn remote(&self) -> Result<Remote, Failure> {
        Ok(Remote::new(self.urls()?)?)
    }

    /// The key file of a client of the network in the directory, where there is one.
    pub(crate) fn client_key(&self) -> Option<PathBuf> {
        let path = self.data_dir.join(CLIENT_KEY);
        path.is_file().then_some(path)
    }
}
