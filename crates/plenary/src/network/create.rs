//! Making a network's directory.

use super::{CLIENT_KEY, CONFIG, GENESIS, NODE_KEY, Network, NetworkError};
use crate::{
    config::Role,
    files::{self, Access},
    keys,
    ports::Ports,
};
use plenary_service::{Executor, Options, Service};
use plenary_session::node::Bounds;
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
    /// How many session nodes.
    pub(crate) session_nodes: u16,
    /// Whether clients must sign.
    pub(crate) clients: ClientSignatures,
    /// What it runs, from the config that the service's author gives.
    pub(crate) service: Arc<Service>,
    /// How its session nodes run.
    pub(crate) bounds: Bounds,
    /// Where its nodes listen.
    pub(crate) ports: FirstPorts,
}

/// The first port of each kind, the others of it count up; 0 lets the system choose them all.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct FirstPorts {
    /// A new network's first HTTP port of validators; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    http_port: u16,
    /// A new network's first port between validators; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 26600)]
    p2p_port: u16,
    /// A new network's first HTTP port of session nodes; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 4000)]
    session_http_port: u16,
    /// A new network's first port between session nodes; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 27600)]
    session_p2p_port: u16,
}

impl FirstPorts {
    #[cfg(test)]
    pub(super) fn http(http_port: u16) -> Self {
        Self {
            http_port,
            ..Self::default()
        }
    }
}

/// A node of a network that is being made.
struct Draft {
    role: Role,
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
        let drafts = draft_all(plan)?;
        let members = |role| {
            let drafts = drafts.iter().filter(move |draft| draft.role == role);
            let members = drafts.map(|draft| Member {
                name: draft.name.clone(),
                key: draft.key.public_key(),
            });
            members.collect()
        };
        let genesis = Genesis::new(
            plan.network.as_str(),
            now(),
            plan.clients,
            plan.service.id().clone(),
            members(Role::Validator),
            members(Role::Session),
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
            let config = config_text(draft, &drafts, &plan.bounds);
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

/// Draws keys and addresses of all nodes.
fn draft_all(plan: &Plan) -> Result<Vec<Draft>, NetworkError> {
    let ports = &plan.ports;
    let mut held = Ports::default();
    let validators = (ports.http_port, ports.p2p_port);
    let mut drafts = draft(Role::Validator, plan.validators, validators, &mut held)?;
    let session_nodes = (ports.session_http_port, ports.session_p2p_port);
    drafts.extend(draft(
        Role::Session,
        plan.session_nodes,
        session_nodes,
        &mut held,
    )?);
    Ok(drafts)
}

/// Draws the nodes of a role. Names count in the order of the keys, which is the genesis' order:
/// `validator-2` is the validator with index 2 in every certificate.
fn draft(
    role: Role,
    count: u16,
    first: (u16, u16),
    ports: &mut Ports,
) -> Result<Vec<Draft>, NetworkError> {
    let mut keys = (0..count)
        .map(|_| keys::generate())
        .collect::<Result<Vec<_>, _>>()?;
    keys.sort_by_key(PrivateKey::public_key);
    let mut address = |port: u16, index: u16| {
        let wanted = match port {
            0 => Some(0),
            port => port.checked_add(index),
        };
        let wanted = wanted.ok_or(NetworkError::Ports { nodes: count, port })?;
        ports.claim(wanted).map_err(NetworkError::Port)
    };
    let kind = match role {
        Role::Validator => "validator",
        Role::Session => "session",
    };
    (0..)
        .zip(keys)
        .map(|(index, key)| {
            Ok(Draft {
                role,
                name: format!("{kind}-{index}"),
                key,
                http: address(first.0, index)?,
                p2p: address(first.1, index)?,
            })
        })
        .collect()
}

fn config_text(node: &Draft, all: &[Draft], bounds: &Bounds) -> String {
    let Draft {
        name, http, p2p, ..
    } = node;
    let (role, files) = match node.role {
        Role::Validator => ("validator", "Ledger and state"),
        Role::Session => (
            "session",
            "Sessions, and ledger and state as it follows them",
        ),
    };
    let mut text = format!(
        r#"# Configuration of {name}. Paths are relative to this file. Flags of `start` and variables of
# the environment (PLENARY_HTTP, PLENARY_DATA_DIR ...; see `start --help`) win over it.

role = "{role}"
genesis = "../{GENESIS}"
key = "{NODE_KEY}"
# {files}. Only this node may use it.
data_dir = "data"

[http]
# Where clients reach the node.
listen = "{http}"

[p2p]
# Where the others of its role reach it.
listen = "{p2p}"
"#
    );
    let own = node.key.public_key();
    let peers = all.iter().filter(|peer| peer.role == node.role);
    for peer in peers.filter(|peer| peer.key.public_key() != own) {
        let Draft { name, p2p, .. } = peer;
        let key = peer.key.public_key();
        text.push_str(&format!(
            "\n[[p2p.peers]]\nname = \"{name}\"\nkey = \"{key}\"\naddress = \"{p2p}\"\n"
        ));
    }
    if node.role == Role::Session {
        push_layer2(&mut text, all, bounds);
    }
    text
}

/// What only a session node's configuration has.
fn push_layer2(text: &mut String, all: &[Draft], bounds: &Bounds) {
    let Bounds {
        participation,
        time_limit,
        sessions,
        requests,
    } = bounds;
    let time_limit = humantime::format_duration(*time_limit);
    text.push_str(&format!(
        r#"
[bounds]
# How many session nodes must have run a step before it is answered, this one included: "own",
# "majority", "all" or a number such as "2".
participation = "{participation}"
# How long a session may last.
time_limit = "{time_limit}"
# How many sessions the node takes at a time.
sessions = {sessions}
# How many requests it works on at a time.
requests = {requests}

# The validators that it follows and commits to.
"#
    ));
    let validators = all.iter().filter(|node| node.role == Role::Validator);
    let validators = validators.map(|node| {
        let Draft { name, http, .. } = node;
        let key = node.key.public_key();
        format!("[[validators]]\nname = \"{name}\"\nkey = \"{key}\"\nurl = \"http://{http}\"\n")
    });
    text.push_str(&validators.collect::<Vec<_>>().join("\n"));
}
