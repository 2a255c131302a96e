//! A network's directory: `genesis.toml` and a client's key for all, and for every validator a
//! directory with its configuration, its key and, once it has run, its data.
//!
//! `testnet init` makes one to be carried to several machines; `dev` and `demo` run all of one on
//! this machine.

use crate::{
    config::{Config, ConfigError, GenesisFileError, Overrides, load_genesis},
    files::{self, Access, FileError},
    keys::{self, KeyError},
    ports::Ports,
};
use plenary_service::{Executor, Options, SeedError, Service, ServiceError};
use plenary_types::{
    Genesis, GenesisError, PrivateKey, Timestamp,
    genesis::{ClientSignatures, Member},
};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use toml_edit::{DocumentMut, Item};

/// The genesis file in a network's directory.
pub(crate) const GENESIS: &str = "genesis.toml";
/// The key of a client, for `call`.
pub(crate) const CLIENT_KEY: &str = "client.key";
/// The configuration in a node's directory.
const CONFIG: &str = "config.toml";
/// The key in a node's directory.
const NODE_KEY: &str = "node.key";

/// What a new network is to be.
pub(crate) struct Plan {
    /// Its name.
    pub(crate) network: String,
    /// How many validators it has.
    pub(crate) validators: u16,
    /// Whether clients must sign.
    pub(crate) clients: ClientSignatures,
    /// What it runs, from the config that the service's author gives.
    pub(crate) service: Arc<Service>,
    /// The first validator's HTTP port, the others count up; 0 lets the system choose them all.
    pub(crate) http_port: u16,
    /// The same for the ports between validators.
    pub(crate) p2p_port: u16,
}

/// A network's directory and what is in it.
pub(crate) struct Network {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The genesis.
    pub(crate) genesis: Genesis,
    /// The validators, by directory name.
    pub(crate) nodes: Vec<Node>,
}

/// One validator's directory.
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
    /// The directory has no node in it.
    #[error("{} holds no node (no validator-*/{CONFIG} in it)", .0.display())]
    NoNodes(PathBuf),
    /// Ports run out.
    #[error(
        "{validators} validators from port {port} on go beyond port 65535; give a lower first port, or 0 to let the system choose"
    )]
    Ports {
        /// How many were asked for.
        validators: u16,
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

/// A validator of a network that is being made.
struct Draft {
    name: String,
    key: PrivateKey,
    http: SocketAddr,
    p2p: SocketAddr,
}

impl Network {
    /// Makes a network in `directory`, which must be missing or empty: all of it, or nothing.
    pub(crate) fn create(directory: &Path, plan: &Plan) -> Result<Self, NetworkError> {
        let empty = match fs::read_dir(directory) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(files::on("read", directory)(error).into()),
        };
        if !empty {
            return Err(NetworkError::NotEmpty(directory.to_owned()));
        }
        let drafts = draft(plan)?;
        let members = drafts.iter().map(|draft| Member {
            name: draft.name.clone(),
            key: draft.key.public_key(),
        });
        let genesis = Genesis::new(
            plan.network.as_str(),
            now(),
            plan.clients,
            plan.service.id().clone(),
            members.collect(),
            Vec::new(),
            plan.service.config().clone(),
        )?;
        // What no validator could start is not made.
        Executor::new(plan.service.clone(), Options::default())?.genesis(&genesis)?;

        // Everything is written beside the directory and moved there at once, so that no half of
        // a network is ever taken for one.
        let parent = match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        files::create_directory(parent)?;
        let new = tempfile::Builder::new()
            .prefix(".plenary-new-")
            .tempdir_in(parent)
            .map_err(files::on("write in", parent))?;
        let path = new.path().join(GENESIS);
        files::write_new(&path, &genesis.to_toml()?, Access::Usual)?;
        keys::save(&new.path().join(CLIENT_KEY), &keys::generate()?)?;
        for draft in &drafts {
            let home = new.path().join(&draft.name);
            files::create_directory(&home)?;
            keys::save(&home.join(NODE_KEY), &draft.key)?;
            let config = config_text(draft, &drafts);
            files::write_new(&home.join(CONFIG), &config, Access::Usual)?;
        }
        fs::rename(new.path(), directory).map_err(files::on("create", directory))?;
        Self::open(directory)
    }

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
        if nodes.is_empty() {
            return Err(NetworkError::NoNodes(directory.to_owned()));
        }
        // By number, so that validator-10 comes after validator-9.
        nodes.sort_by_key(|node| (node.name.len(), node.name.clone()));
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
        let peers = document.get_mut("p2p").and_then(|p2p| p2p.get_mut("peers"));
        let peers = peers.and_then(Item::as_array_of_tables_mut);
        for (index, peer) in peers
            .into_iter()
            .flat_map(|peers| peers.iter_mut())
            .enumerate()
        {
            let key = node.config.peers.get(index).map(|peer| peer.key);
            let other = self
                .nodes
                .iter()
                .find(|node| Some(node.key.public_key()) == key);
            if let (Some(other), Some(address)) = (other, peer.get_mut("address")) {
                set(address, other.config.p2p);
            }
        }
        Ok(document.to_string())
    }
}

/// Sets an address where it is another, and leaves the text alone where it is not.
fn set(item: &mut Item, address: SocketAddr) {
    let written = item.as_str().and_then(|text| text.parse().ok());
    if written != Some(address) {
        *item = toml_edit::value(address.to_string());
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_millis() as u64))
}

/// Draws keys and addresses. Names count in the order of the keys, which is the genesis' order:
/// `validator-2` is the validator with index 2 in every certificate.
fn draft(plan: &Plan) -> Result<Vec<Draft>, NetworkError> {
    let mut keys = (0..plan.validators)
        .map(|_| keys::generate())
        .collect::<Result<Vec<_>, _>>()?;
    keys.sort_by_key(PrivateKey::public_key);
    let mut ports = Ports::default();
    let mut address = |first: u16, index: u16| {
        let wanted = match first {
            0 => Some(0),
            first => first.checked_add(index),
        };
        let wanted = wanted.ok_or(NetworkError::Ports {
            validators: plan.validators,
            port: first,
        })?;
        ports.claim(wanted).map_err(NetworkError::Port)
    };
    (0..)
        .zip(keys)
        .map(|(index, key)| {
            Ok(Draft {
                name: format!("validator-{index}"),
                key,
                http: address(plan.http_port, index)?,
                p2p: address(plan.p2p_port, index)?,
            })
        })
        .collect()
}

fn config_text(node: &Draft, all: &[Draft]) -> String {
    let Draft {
        name, http, p2p, ..
    } = node;
    let mut text = format!(
        r#"# Configuration of {name}. Paths are relative to this file. Flags of `start` and variables of
# the environment (PLENARY_HTTP, PLENARY_DATA_DIR ...; see `start --help`) win over it.

genesis = "../{GENESIS}"
key = "{NODE_KEY}"
# Ledger and state. Only this node may use it.
data_dir = "data"

[http]
# Where clients reach the node.
listen = "{http}"

[p2p]
# Where the other validators reach it.
listen = "{p2p}"
"#
    );
    let own = node.key.public_key();
    for peer in all.iter().filter(|peer| peer.key.public_key() != own) {
        let Draft { name, p2p, .. } = peer;
        let key = peer.key.public_key();
        text.push_str(&format!(
            "\n[[p2p.peers]]\nname = \"{name}\"\nkey = \"{key}\"\naddress = \"{p2p}\"\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plenary_types::Problem;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn service() -> Service {
        Service::new("ledger", "1.0.0").default_config(json!({ "operators": ["OPR-001"] }))
    }

    fn plan() -> Plan {
        Plan {
            network: "test".into(),
            validators: 4,
            clients: ClientSignatures::Optional,
            service: Arc::new(service()),
            http_port: 0,
            p2p_port: 0,
        }
    }

    #[test]
    fn a_network_that_was_made_is_read_back_and_every_node_of_it_can_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/network");
        let made = Network::create(&path, &plan()).unwrap();
        let read = Network::open(&path).unwrap();
        assert_eq!(read.genesis.hash(), made.genesis.hash());
        assert_eq!(read.genesis.config, *service().config());
        assert_eq!(read.genesis.clients, ClientSignatures::Optional);
        assert_eq!(read.nodes.len(), 4);
        for (index, node) in read.nodes.iter().enumerate() {
            let ready = node.config.node(service().id()).unwrap();
            // The name tells the index that certificates use.
            assert_eq!(ready.name, format!("validator-{index}"));
            let (position, _) = read.genesis.validator(&ready.key.public_key()).unwrap();
            assert_eq!(position as usize, index);
            for (key, address) in ready.peers {
                let peer = read.nodes.iter().find(|node| node.key.public_key() == key);
                assert_eq!(peer.unwrap().config.p2p, address);
            }
        }
        let addresses: BTreeSet<_> = read
            .nodes
            .iter()
            .flat_map(|node| [node.config.http, node.config.p2p])
            .collect();
        assert_eq!(addresses.len(), 8);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        keys::load(&read.client_key_path()).unwrap();
    }

    #[test]
    fn nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let made = Network::create(directory.path(), &plan()).unwrap();
        assert!(matches!(
            Network::create(directory.path(), &plan()),
            Err(NetworkError::NotEmpty(_))
        ));
        let read = Network::open(directory.path()).unwrap();
        assert_eq!(read.genesis.hash(), made.genesis.hash());
    }

    #[test]
    fn a_network_that_cannot_be_made_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network");
        for (validators, http_port) in [(3, 0), (4, 65_533)] {
            let plan = Plan {
                validators,
                http_port,
                ..plan()
            };
            assert!(Network::create(&path, &plan).is_err());
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_service_that_cannot_start_gets_no_network() {
        let directory = tempfile::tempdir().unwrap();
        let refusing =
            service().genesis(|_, _| Err(Problem::unprocessable("no-operators", "none")));
        let unclear = service().genesis(|_, _| Ok(())).opens_session();
        for service in [refusing, unclear] {
            let plan = Plan {
                service: Arc::new(service),
                ..plan()
            };
            assert!(Network::create(&directory.path().join("network"), &plan).is_err());
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn taken_ports_are_replaced_everywhere_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut network = Network::create(directory.path(), &plan()).unwrap();
        let texts = |network: &Network| -> Vec<String> {
            let paths = network.nodes.iter().map(|node| &node.config.path);
            paths.map(|path| files::read(path).unwrap()).collect()
        };
        let before = texts(&network);
        assert!(before[0].contains("# Where clients reach the node."));
        let (http, p2p) = (network.nodes[1].config.http, network.nodes[2].config.p2p);
        let _taken = [
            std::net::TcpListener::bind(http).unwrap(),
            std::net::TcpListener::bind(p2p).unwrap(),
        ];
        let moves = network.free_ports().unwrap();
        let new = |old| moves.iter().find(|(_, from, _)| *from == old).unwrap().2;
        assert_eq!(network.nodes[1].config.http, new(http));
        assert_eq!(network.nodes[2].config.p2p, new(p2p));
        // Ports that others may have taken meanwhile have moved too.
        let expected: Vec<_> = before
            .iter()
            .map(|text| {
                moves.iter().fold(text.clone(), |text, (_, old, new)| {
                    text.replace(&format!("\"{old}\""), &format!("\"{new}\""))
                })
            })
            .collect();
        assert_eq!(texts(&network), expected);
        for node in &network.nodes {
            node.config.node(service().id()).unwrap();
        }
    }
}
