//! A network's directory: `genesis.toml` and a client's key for all, and for every validator and
//! session node a directory with its configuration, its key and, once it has run, its data.
//!
//! `testnet init` makes one to be carried to several machines; `dev` and `demo` run all of one on
//! this machine.

mod create;
#[cfg(test)]
mod tests;

pub(crate) use create::{FirstPorts, Plan};

use crate::{
    config::{Config, ConfigError, GenesisFileError, Overrides, Role, load_genesis},
    files::{self, FileError},
    keys::{self, KeyError},
    ports::Ports,
};
use plenary_service::{SeedError, ServiceError};
use plenary_types::{Genesis, GenesisError, PrivateKey, PublicKey};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use toml_edit::{DocumentMut, Item, Table};

/// The genesis file in a network's directory.
pub(crate) const GENESIS: &str = "genesis.toml";
/// The key of a client, for `call`.
pub(crate) const CLIENT_KEY: &str = "client.key";
/// The configuration in a node's directory.
const CONFIG: &str = "config.toml";
/// The key in a node's directory.
const NODE_KEY: &str = "node.key";

/// A network's directory and what is in it.
pub(crate) struct Network {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The genesis.
    pub(crate) genesis: Genesis,
    /// The validators, then the session nodes, each by directory name.
    pub(crate) nodes: Vec<Node>,
}

/// One node's directory.
pub(crate) struct Node {
    /// The directory's name: `validator-0`.
    pub(crate) name: String,
    /// The configuration file's path and content.
    pub(crate) config: Config,
    /// Its key.
    pub(crate) key: PrivateKey,
}

/// Why there is no network in a directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// It would write over something.
    #[error(
        "{} is not empty and nothing is written over; give another directory, or remove this one", .0.display()
    )]
    NotEmpty(PathBuf),
    /// There is none.
    #[error("{} holds no network (no {GENESIS} in it); `dev` or `testnet init` makes one", .0.display())]
    Missing(PathBuf),
    /// Nodes of it are kept elsewhere.
    #[error(
        "{} holds {found} of the {all} nodes of its network; to run one of them use `start --config`", directory.display()
    )]
    Partial {
        /// The directory.
        directory: PathBuf,
        /// How many nodes are in it.
        found: usize,
        /// How many the genesis has.
        all: usize,
    },
    /// Ports run out.
    #[error(
        "{nodes} nodes from port {port} on go beyond port 65535; give a lower first port, or 0 to let the system choose"
    )]
    Ports {
        /// How many were asked for.
        nodes: u16,
        /// The first.
        port: u16,
    },
    /// No port can be had.
    #[error("no free port on loopback: {0}")]
    Port(io::Error),
    /// The configuration cannot be changed because it has another shape.
    #[error("{} has no {key} to change", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The key that was looked for.
        key: &'static str,
    },
    /// The service is not well declared.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service cannot start from its config.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The plan is no genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The genesis file is none.
    #[error(transparent)]
    GenesisFile(#[from] GenesisFileError),
    /// The genesis cannot be written as TOML.
    #[error("the genesis cannot be written: {0}")]
    Write(#[from] toml::ser::Error),
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file is.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Network {
    /// Whether `directory` holds a network.
    pub(crate) fn exists(directory: &Path) -> bool {
        directory.join(GENESIS).is_file()
    }

    /// Reads the network in `directory`.
    pub(crate) fn open(directory: &Path) -> Result<Self, NetworkError> {
        if !Self::exists(directory) {
            return Err(NetworkError::Missing(directory.to_owned()));
        }
        let genesis = load_genesis(&directory.join(GENESIS))?;
        let mut nodes = Vec::new();
        let entries = fs::read_dir(directory).map_err(files::on("read", directory))?;
        for entry in entries {
            let entry = entry.map_err(files::on("read", directory))?;
            let path = entry.path().join(CONFIG);
            if path.is_file() {
                let config = Config::load(&path, &Overrides::default())?;
                nodes.push(Node {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    key: keys::load(&config.key)?,
                    config,
                });
            }
        }
        // By number, so that validator-10 comes after validator-9.
        nodes.sort_by_key(|node| (node.config.role, node.name.len(), node.name.clone()));
        Ok(Self {
            directory: directory.to_owned(),
            genesis,
            nodes,
        })
    }

    /// The genesis file.
    pub(crate) fn genesis_path(&self) -> PathBuf {
        self.directory.join(GENESIS)
    }

    /// The key of a client.
    pub(crate) fn client_key_path(&self) -> PathBuf {
        self.directory.join(CLIENT_KEY)
    }

    /// The nodes of a role.
    pub(crate) fn of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(move |node| node.config.role == role)
    }

    /// Checks that all of the network's nodes are kept in the directory.
    pub(crate) fn check_whole(&self) -> Result<(), NetworkError> {
        let all = self.genesis.validators.len() + self.genesis.session_nodes.len();
        let found = self.nodes.len();
        match found == all {
            true => Ok(()),
            false => Err(NetworkError::Partial {
                directory: self.directory.clone(),
                found,
                all,
            }),
        }
    }

    /// Gives every node whose port is taken another one, in its own configuration and in its
    /// peers'. Says what was moved: node, old address, new address.
    ///
    /// For networks of which all nodes run here, and none yet.
    pub(crate) fn free_ports(
        &mut self,
    ) -> Result<Vec<(String, SocketAddr, SocketAddr)>, NetworkError> {
        let mut ports = Ports::default();
        let mut moves = Vec::new();
        for node in &mut self.nodes {
            for address in [&mut node.config.http, &mut node.config.p2p] {
                let free = ports.claim_on(*address).map_err(NetworkError::Port)?;
                if free != *address {
                    moves.push((node.name.clone(), *address, free));
                    *address = free;
                }
            }
        }
        for node in &self.nodes {
            let path = &node.config.path;
            let text = files::read(path)?;
            let addressed = self.readdress(&text, node)?;
            if addressed != text {
                files::replace(path, &addressed)?;
            }
        }
        *self = Self::open(&self.directory)?;
        Ok(moves)
    }

    /// Writes the addresses of `node` and of its peers, as they are now, into the text of its
    /// configuration; keeps everything else of it, comments included.
    fn readdress(&self, text: &str, node: &Node) -> Result<String, NetworkError> {
        let shape = |key| NetworkError::Shape {
            path: node.config.path.clone(),
            key,
        };
        let mut document: DocumentMut = text.parse().map_err(|_| shape("TOML"))?;
        let listen = [
            ("http", "http.listen", node.config.http),
            ("p2p", "p2p.listen", node.config.p2p),
        ];
        for (table, key, address) in listen {
            let item = document
                .get_mut(table)
                .and_then(|table| table.get_mut("listen"));
            set(item.ok_or_else(|| shape(key))?, address);
        }
        let config = &node.config;
        let peers = document.get_mut("p2p").and_then(|p2p| p2p.get_mut("peers"));
        for (table, peer) in tables(peers).zip(&config.peers) {
            if let (Some(other), Some(item)) = (self.by_key(peer.key), table.get_mut("address")) {
                set(item, other.config.p2p);
            }
        }
        let validators = document.get_mut("validators");
        for (table, validator) in tables(validators).zip(&config.validators) {
            if let (Some(other), Some(item)) = (self.by_key(validator.key), table.get_mut("url")) {
                set_text(item, other.url());
            }
        }
        Ok(document.to_string())
    }

    fn by_key(&self, key: PublicKey) -> Option<&Node> {
        self.nodes.iter().find(|node| node.key.public_key() == key)
    }
}

impl Node {
    /// Where it serves HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.config.http)
    }
}

/// The tables of an array of them, where it is one.
fn tables(item: Option<&mut Item>) -> impl Iterator<Item = &mut Table> {
    let tables = item.and_then(Item::as_array_of_tables_mut);
    tables.into_iter().flat_map(|tables| tables.iter_mut())
}

/// Sets an address where it is another, and leaves the text alone where it is not.
fn set(item: &mut Item, address: SocketAddr) {
    let written = item.as_str().and_then(|text| text.parse().ok());
    if written != Some(address) {
        *item = toml_edit::value(address.to_string());
    }
}

/// Sets a text where it is another.
fn set_text(item: &mut Item, text: String) {
    if item.as_str() != Some(&text) {
        *item = toml_edit::value(text);
    }
}
