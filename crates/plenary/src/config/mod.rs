//! The configuration of one node: a TOML file, every setting of which can also be given by the
//! environment (`PLENARY_...`) or by a flag. Flags win over the environment, the environment over
//! the file.
//!
//! [`Config::load`] reads it, [`Config::node`] checks it against the genesis and the key and
//! reports everything that is wrong at once, each with its place.

mod fit;
#[cfg(test)]
mod tests;

pub(crate) use fit::{Layer2, Node};

use crate::{
    files::{self, FileError},
    located::{self, Located},
};
use plenary_session::{node::Bounds, participation::Participation};
use plenary_types::{Genesis, GenesisError, PublicKey};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
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
    /// Where the node keeps its files
    #[arg(long, env = "PLENARY_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address to serve HTTP on
    #[arg(long, env = "PLENARY_HTTP", value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address to serve the other nodes of its role on
    #[arg(long, env = "PLENARY_P2P", value_name = "ADDRESS")]
    p2p: Option<SocketAddr>,
    /// How many session nodes must have run a step: own, majority, all or a number (session nodes)
    #[arg(long, env = "PLENARY_PARTICIPATION", value_name = "NODES")]
    participation: Option<Participation>,
    /// How long a session may last, such as 15m (session nodes)
    #[arg(long, env = "PLENARY_TIME_LIMIT", value_name = "TIME", value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,
    /// How many sessions the node takes at a time (session nodes)
    #[arg(long, env = "PLENARY_SESSIONS", value_name = "N")]
    sessions: Option<usize>,
    /// How many requests the node works on at a time (session nodes)
    #[arg(long, env = "PLENARY_REQUESTS", value_name = "N")]
    requests: Option<usize>,
    /// Run every operation twice and stop at any difference (for development)
    #[arg(long, env = "PLENARY_DOUBLE_RUN")]
    double_run: bool,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Layer 1.
    #[default]
    Validator,
    /// Layer 2.
    Session,
}

/// As people call it.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validator => "validator",
            Self::Session => "session node",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    role: Role,
    genesis: PathBuf,
    key: PathBuf,
    data_dir: PathBuf,
    #[serde(default)]
    double_run: bool,
    http: Http,
    p2p: P2p,
    bounds: Option<BoundsTable>,
    #[serde(default)]
    validators: Vec<Validator>,
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

/// Another node of the same role, as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// A name for people.
    #[serde(default)]
    pub(crate) name: String,
    /// Its node key.
    pub(crate) key: PublicKey,
    /// Where it serves the others of its role.
    pub(crate) address: SocketAddr,
}

/// A validator that a session node follows, as the configuration names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validator {
    /// A name for people.
    #[serde(default)]
    pub(crate) name: String,
    /// Its node key.
    pub(crate) key: PublicKey,
    /// Where it serves HTTP.
    pub(crate) url: String,
}

/// [`Bounds`], as far as the file gives them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundsTable {
    #[serde(default, deserialize_with = "from_text")]
    participation: Option<Participation>,
    #[serde(default, deserialize_with = "from_text")]
    time_limit: Option<humantime::Duration>,
    sessions: Option<usize>,
    requests: Option<usize>,
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A configuration as read, with flags and environment applied and paths resolved.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file it was read from.
    pub(crate) path: PathBuf,
    text: String,
    /// What the node does.
    pub(crate) role: Role,
    /// The genesis file.
    pub(crate) genesis: PathBuf,
    /// The key file.
    pub(crate) key: PathBuf,
    /// Where the node keeps its files.
    pub(crate) data_dir: PathBuf,
    /// Where to serve HTTP.
    pub(crate) http: SocketAddr,
    /// Where to serve the other nodes of its role.
    pub(crate) p2p: SocketAddr,
    /// The other nodes of its role; may name this one too.
    pub(crate) peers: Vec<Peer>,
    /// Whether every operation runs twice.
    pub(crate) double_run: bool,
    /// The bounds of a session node.
    bounds: Bounds,
    /// Whether the file has a table of them.
    has_bounds: bool,
    /// The validators that a session node follows.
    pub(crate) validators: Vec<Validator>,
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
            role: file.role,
            genesis: choose(&overrides.genesis, &file.genesis),
            key: choose(&overrides.key, &file.key),
            data_dir: choose(&overrides.data_dir, &file.data_dir),
            http: overrides.http.unwrap_or(file.http.listen),
            p2p: overrides.p2p.unwrap_or(file.p2p.listen),
            peers: file.p2p.peers,
            double_run: overrides.double_run || file.double_run,
            has_bounds: file.bounds.is_some(),
            bounds: bounds(file.bounds, overrides),
            validators: file.validators,
            path: path.to_owned(),
            text,
        })
    }
}

/// What flags, file and defaults say, in this order.
fn bounds(table: Option<BoundsTable>, overrides: &Overrides) -> Bounds {
    let default = Bounds::default();
    let table = table.as_ref();
    let written = table.and_then(|table| table.participation);
    let limit = table.and_then(|table| table.time_limit);
    let sessions = table.and_then(|table| table.sessions);
    let requests = table.and_then(|table| table.requests);
    Bounds {
        participation: overrides
            .participation
            .or(written)
            .unwrap_or(default.participation),
        time_limit: overrides
            .time_limit
            .or(limit.map(Into::into))
            .unwrap_or(default.time_limit),
        sessions: overrides.sessions.or(sessions).unwrap_or(default.sessions),
        requests: overrides.requests.or(requests).unwrap_or(default.requests),
    }
}
