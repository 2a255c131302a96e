//! The configuration of one node: a TOML file, every setting of which can also be given by the
//! environment (`PLENARY_...`) or by a flag. Flags win over the environment, the environment over
//! the file.
//!
//! [`Config::load`] reads it, [`Config::node`] checks it against the genesis and the key and
//! reports everything that is wrong at once, each with its place.

#[cfg(test)]
mod tests;

use crate::{
    files::{self, FileError},
    keys::{self, KeyError},
    located::{self, Located},
};
use plenary_types::{Genesis, GenesisError, PrivateKey, PublicKey, ServiceId};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The settings that flags and environment can give in place of the file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Overrides {
    /// The network's genesis file
    #[arg(long, env = "PLENARY_GENESIS", value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// This node's key file
    #[arg(long, env = "PLENARY_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where ledger and state are kept
    #[arg(long, env = "PLENARY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to serve HTTP on
    #[arg(long, env = "PLENARY_HTTP", value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address to serve the other validators on
    #[arg(long, env = "PLENARY_P2P", value_name = "ADDRESS")]
    p2p: Option<SocketAddr>,
    /// Run every operation twice and stop at any difference (for development)
    #[arg(long, env = "PLENARY_DOUBLE_RUN")]
    double_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    genesis: PathBuf,
    key: PathBuf,
    data_dir: PathBuf,
    #[serde(default)]
    double_run: bool,
    http: Http,
    p2p: P2p,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    listen: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct P2p {
    listen: SocketAddr,
    #[serde(default)]
    peers: Vec<Peer>,
}

/// Another validator, as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// A name for people.
    #[serde(default)]
    pub(crate) name: String,
    /// Its node key.
    pub(crate) key: PublicKey,
    /// Where it serves the other validators.
    pub(crate) address: SocketAddr,
}

/// A configuration as read, with flags and environment applied and paths resolved.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file it was read from.
    pub(crate) path: PathBuf,
    text: String,
    /// The genesis file.
    pub(crate) genesis: PathBuf,
    /// The key file.
    pub(crate) key: PathBuf,
    /// Where ledger and state are kept.
    pub(crate) data_dir: PathBuf,
    /// Where to serve HTTP.
    pub(crate) http: SocketAddr,
    /// Where to serve the other validators.
    pub(crate) p2p: SocketAddr,
    /// The other validators; may name this one too.
    pub(crate) peers: Vec<Peer>,
    /// Whether every operation runs twice.
    pub(crate) double_run: bool,
}

/// All that a node needs to start.
#[derive(Debug)]
pub(crate) struct Node {
    /// The node's name in the genesis.
    pub(crate) name: String,
    /// The network.
    pub(crate) genesis: Arc<Genesis>,
    /// The node's key.
    pub(crate) key: PrivateKey,
    /// The other validators.
    pub(crate) peers: Vec<(PublicKey, SocketAddr)>,
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{0}; `testnet init --out DIR` writes a configuration for every node")]
    File(#[from] FileError),
    /// The file is not a configuration.
    #[error(transparent)]
    Form(#[from] Located),
    /// What the file says cannot be right.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Content(Vec<Located>),
}

/// Why there is no genesis.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenesisFileError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds no genesis.
    #[error("{}: {error}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: GenesisError,
    },
}

/// Reads a genesis file.
pub(crate) fn load_genesis(path: &Path) -> Result<Genesis, GenesisFileError> {
    let text = files::read(path)?;
    Genesis::from_toml(&text).map_err(|error| GenesisFileError::Genesis {
        path: path.to_owned(),
        error,
    })
}

impl Config {
    /// Reads a configuration file and applies what flags and environment say.
    pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let text = files::read(path)?;
        let file: File = located::parse(path, &text)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        // A path of the file is relative to the file, one of a flag to the working directory.
        let choose = |given: &Option<PathBuf>, written: &Path| match given {
            Some(given) => given.clone(),
            None => directory.join(written),
        };
        Ok(Self {
            genesis: choose(&overrides.genesis, &file.genesis),
            key: choose(&overrides.key, &file.key),
            data_dir: choose(&overrides.data_dir, &file.data_dir),
            http: overrides.http.unwrap_or(file.http.listen),
            p2p: overrides.p2p.unwrap_or(file.p2p.listen),
            peers: file.p2p.peers,
            double_run: overrides.double_run || file.double_run,
            path: path.to_owned(),
            text,
        })
    }

    /// Reads genesis and key, and checks that all of it fits together and fits `service`, the one
    /// this program runs.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub(crate) fn node(&self, service: &ServiceId) -> Result<Node, ConfigError> {
        let mut wrong = Vec::new();
        let mut report = |key: &str, problem: String| wrong.push(self.at(key, problem));
        let genesis = load_genesis(&self.genesis)
            .map_err(|error| report("genesis", error.to_string()))
            .ok();
        let key = keys::load(&self.key)
            .map_err(|error| report("key", explain_key(&error)))
            .ok();
        if self.http == self.p2p && self.http.port() != 0 {
            let problem = format!("{} is http.listen too; give one another port", self.p2p);
            report("p2p.listen", problem);
        }
        let node = match (genesis, key) {
            (Some(genesis), Some(key)) => self.fit(genesis, key, service, &mut report),
            _ => None,
        };
        match node {
            Some(node) if wrong.is_empty() => Ok(node),
            _ => Err(ConfigError::Content(wrong)),
        }
    }

    fn at(&self, key: &str, problem: String) -> Located {
        Located {
            path: self.path.clone(),
            line: located::line_of(&self.text, key),
            key: key.to_owned(),
            problem,
        }
    }

    /// Checks genesis, key, peers and service against each other.
    fn fit(
        &self,
        genesis: Genesis,
        key: PrivateKey,
        service: &ServiceId,
        report: &mut impl FnMut(&str, String),
    ) -> Option<Node> {
        if genesis.service != *service {
            report(
                "genesis",
                format!(
                    "network {} runs {}, this program is {service}; start it with the program of that version, or make a new network",
                    genesis.network, genesis.service
                ),
            );
        }
        let own = key.public_key();
        let name = genesis
            .validator(&own)
            .map(|(_, member)| member.name.clone());
        if name.is_none() {
            let members = genesis.validators.iter().map(|member| member.name.as_str());
            report(
                "key",
                format!(
                    "{own} is the key of no validator of network {} ({}); use the key file of one of them, or the genesis of this node's network",
                    genesis.network,
                    members.collect::<Vec<_>>().join(", ")
                ),
            );
        }
        let mut seen = BTreeSet::from([own]);
        let mut peers = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let place = format!("p2p.peers[{index}].key");
            if genesis.validator(&peer.key).is_none() {
                let problem = format!(
                    "{} (of {:?}) is the key of no validator of the genesis",
                    peer.key, peer.name
                );
                report(&place, problem);
            } else if peer.key != own && !seen.insert(peer.key) {
                report(
                    &place,
                    format!(
                        "{} (of {:?}) is the key of another peer too",
                        peer.key, peer.name
                    ),
                );
            } else if peer.key != own {
                peers.push((peer.key, peer.address));
            }
        }
        let missing = genesis.validators.iter();
        for member in missing.filter(|member| !seen.contains(&member.key)) {
            report(
                "p2p.peers",
                format!(
                    "{} is missing; add [[p2p.peers]] with key = \"{}\" and its address",
                    member.name, member.key
                ),
            );
        }
        let genesis = Arc::new(genesis);
        name.map(|name| Node {
            name,
            genesis,
            key,
            peers,
        })
    }
}

fn explain_key(error: &KeyError) -> String {
    match error {
        KeyError::File(error) => {
            format!("{error}; `keys new --out FILE` makes a key, `testnet init` a whole network")
        }
        other => other.to_string(),
    }
}
