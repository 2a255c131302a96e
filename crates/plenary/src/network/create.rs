//! Making a network's directory.

use super::{CLIENT_KEY, CONFIG, GENESIS, NODE_KEY, Network, NetworkError};
use crate::{
    files::{self, Access},
    keys,
    ports::Ports,
};
use plenary_service::{Executor, Options, Service};
use plenary_types::{
    Genesis, PrivateKey, Timestamp,
    genesis::{ClientSignatures, Member},
};
use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

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
