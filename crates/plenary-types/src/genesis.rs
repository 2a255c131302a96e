//! The genesis: what all nodes and all verifiers of a network start from.
//!
//! A TOML file for people, a hash for machines. The hash is over the meaning (the decoded
//! values), not over the text, so comments and order do not matter.

use crate::{
    codec::{codec, read_list, read_text, text_size, write_text},
    digest::GenesisHash,
    keys::PublicKey,
    limits::{MAX_NAME_BYTES, MAX_VALIDATORS},
    time::Timestamp,
    transaction::ServiceId,
};
use bytes::BufMut;
use commonware_codec::{Buf, Encode as _, EncodeSize, Error, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, ops::Deref};

/// The version of the protocol. It is in the genesis hash, and so in everything that is signed on a
/// network: values of two protocols are never taken for one another.
const PROTOCOL: u8 = 1;

/// Largest `config` of a service, as canonical JSON, in bytes.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// Whether clients must sign their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ClientSignatures {
    /// Every operation carries its client's signature.
    #[default]
    Required,
    /// Unsigned operations are taken too; their originator alone vouches for them.
    Optional,
}

/// A node that the genesis names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// A name for people: usually the organization's.
    pub name: String,
    /// The node's key.
    pub key: PublicKey,
}
codec!(Member {
    name: text(MAX_NAME_BYTES),
    key
});

/// What a genesis file says. Read through a [`Genesis`], which dereferences to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// The network's name.
    pub network: String,
    /// When it was made; no block is earlier.
    pub time: Timestamp,
    /// Whether clients must sign.
    #[serde(default)]
    pub clients: ClientSignatures,
    /// The service that the network runs.
    pub service: ServiceId,
    /// The validators, sorted by key in a [`Genesis`].
    pub validators: Vec<Member>,
    /// The session nodes, sorted by key in a [`Genesis`]; they may originate transactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_nodes: Vec<Member>,
    /// What the service's own genesis function is given.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub config: serde_json::Value,
}

/// The start of a network: a valid [`GenesisFile`], which can no longer change, and its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "GenesisFile", try_from = "GenesisFile")]
pub struct Genesis {
    file: GenesisFile,
    hash: GenesisHash,
}

impl Deref for Genesis {
    type Target = GenesisFile;
    fn deref(&self) -> &GenesisFile {
        &self.file
    }
}

impl From<Genesis> for GenesisFile {
    fn from(genesis: Genesis) -> Self {
        genesis.file
    }
}

/// What is wrong with a genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Not TOML, or not a genesis.
    #[error("{0}")]
    Parse(#[from] toml::de::Error),
    /// Too few validators to tolerate a fault, or too many.
    #[error("{0} validators: a network needs 4 to {MAX_VALIDATORS}")]
    Validators(usize),
    /// Too many session nodes.
    #[error("{0} session nodes: a network has at most {MAX_VALIDATORS}")]
    SessionNodes(usize),
    /// A key is there twice.
    #[error("the key {0} is there twice")]
    Duplicate(PublicKey),
    /// A key is no curve point.
    #[error("the key of {0} is not an Ed25519 public key")]
    Key(String),
    /// A name is empty or too long, or no text for people.
    #[error("the name {0:?} must have 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    Name(String),
    /// The service's part is too large.
    #[error("config has {0} bytes as JSON, more than the {MAX_CONFIG_BYTES} allowed")]
    Config(usize),
}

impl TryFrom<GenesisFile> for Genesis {
    type Error = GenesisError;
    fn try_from(mut file: GenesisFile) -> Result<Self, GenesisError> {
        file.check()?;
        file.validators.sort_by_key(|validator| validator.key);
        file.session_nodes.sort_by_key(|node| node.key);
        let hash = GenesisHash::of("plenary genesis", &[&file.encode()]);
        Ok(Self { file, hash })
    }
}

impl GenesisFile {
    fn check(&self) -> Result<(), GenesisError> {
        let validators = self.validators.len();
        if !(4..=MAX_VALIDATORS).contains(&validators) {
            return Err(GenesisError::Validators(validators));
        }
        let session_nodes = self.session_nodes.len();
        if session_nodes > MAX_VALIDATORS {
            return Err(GenesisError::SessionNodes(session_nodes));
        }
        let members = self.validators.iter().chain(&self.session_nodes);
        let mut keys = BTreeSet::new();
        for member in members.clone() {
            if !keys.insert(member.key) {
                return Err(GenesisError::Duplicate(member.key));
            }
            if !member.key.is_valid() {
                return Err(GenesisError::Key(member.name.clone()));
            }
        }
        let names = members.map(|member| &member.name);
        for name in names.chain([&self.network, &self.service.name, &self.service.version]) {
            let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
            if !fits || name.chars().any(char::is_control) {
                return Err(GenesisError::Name(name.clone()));
            }
        }
        let config = canonical_json(&self.config).len();
        if config > MAX_CONFIG_BYTES {
            return Err(GenesisError::Config(config));
        }
        Ok(())
    }
}

impl Genesis {
    /// A genesis of the given parts, validated.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(
        network: impl Into<String>,
        time: Timestamp,
        clients: ClientSignatures,
        service: ServiceId,
        validators: Vec<Member>,
        session_nodes: Vec<Member>,
        config: serde_json::Value,
    ) -> Result<Self, GenesisError> {
        Self::try_from(GenesisFile {
            network: network.into(),
            time,
            clients,
            service,
            validators,
            session_nodes,
            config,
        })
    }

    /// Reads a genesis file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        toml::from_str::<GenesisFile>(text)?.try_into()
    }

    /// The genesis file.
    ///
    /// # Errors
    ///
    /// Where the service's config has something TOML has no word for, such as null.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&self.file)
    }

    /// The network's name among machines.
    pub fn hash(&self) -> GenesisHash {
        self.hash
    }

    /// How many validators may be Byzantine: f = floor((n - 1) / 3).
    pub fn faults(&self) -> usize {
        (self.validators.len() - 1) / 3
    }

    /// How many signatures make a certificate: n - f, at least ceil((2n + 1) / 3).
    pub fn quorum(&self) -> usize {
        self.validators.len() - self.faults()
    }

    /// The validator with this key, with its index.
    pub fn validator(&self, key: &PublicKey) -> Option<(u32, &Member)> {
        let index = self
            .validators
            .binary_search_by_key(key, |validator| validator.key)
            .ok()?;
        Some((index as u32, &self.validators[index]))
    }

    /// Whether this node may originate transactions.
    pub fn is_originator(&self, key: &PublicKey) -> bool {
        self.validator(key).is_some() || self.is_session_node(key)
    }

    /// Whether this is a session node of the network.
    pub fn is_session_node(&self, key: &PublicKey) -> bool {
        let found = self
            .session_nodes
            .binary_search_by_key(key, |node| node.key);
        found.is_ok()
    }
}

/// JSON with every object's members sorted, so that equal values have equal text whatever
/// features other crates switch on in `serde_json`.
fn canonical_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            let members = members.into_iter().map(|(name, value)| {
                format!(
                    "{}:{}",
                    serde_json::Value::from(name.as_str()),
                    canonical_json(value)
                )
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Array(items) => {
            let items = items.iter().map(canonical_json);
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

impl Write for ClientSignatures {
    fn write(&self, buf: &mut impl BufMut) {
        (*self as u8).write(buf);
    }
}

impl Write for GenesisFile {
    fn write(&self, buf: &mut impl BufMut) {
        PROTOCOL.write(buf);
        write_text(&self.network, buf);
        self.time.write(buf);
        self.clients.write(buf);
        self.service.write(buf);
        self.validators.write(buf);
        self.session_nodes.write(buf);
        write_text(&canonical_json(&self.config), buf);
    }
}

impl EncodeSize for GenesisFile {
    fn encode_size(&self) -> usize {
        1 + text_size(&self.network)
            + self.time.encode_size()
            + 1
            + self.service.encode_size()
            + self.validators.encode_size()
            + self.session_nodes.encode_size()
            + text_size(&canonical_json(&self.config))
    }
}

impl Write for Genesis {
    fn write(&self, buf: &mut impl BufMut) {
        self.file.write(buf);
    }
}

impl EncodeSize for Genesis {
    fn encode_size(&self) -> usize {
        self.file.encode_size()
    }
}

impl Read for Genesis {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        if u8::read(buf)? != PROTOCOL {
            return Err(Error::Invalid("Genesis", "unknown protocol version"));
        }
        let network = read_text(buf, MAX_NAME_BYTES)?;
        let time = Timestamp::read(buf)?;
        let clients = match u8::read(buf)? {
            0 => ClientSignatures::Required,
            1 => ClientSignatures::Optional,
            tag => return Err(Error::InvalidEnum(tag)),
        };
        let service = ServiceId::read(buf)?;
        let validators: Vec<Member> = read_list(buf, MAX_VALIDATORS)?;
        let session_nodes: Vec<Member> = read_list(buf, MAX_VALIDATORS)?;
        let json = read_text(buf, MAX_CONFIG_BYTES)?;
        let config = serde_json::from_str(&json)
            .ok()
            .filter(|config| canonical_json(config) == json)
            .ok_or(Error::Invalid("Genesis", "config is not canonical JSON"))?;
        let sorted = |members: &[Member]| members.is_sorted_by_key(|member| member.key);
        if !sorted(&validators) || !sorted(&session_nodes) {
            return Err(Error::Invalid("Genesis", "members are not sorted by key"));
        }
        Self::new(
            network,
            time,
            clients,
            service,
            validators,
            session_nodes,
            config,
        )
        .map_err(|error| Error::Wrapped("Genesis", error.into()))
    }
}
