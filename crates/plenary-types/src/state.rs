//! State as values: keys, versions, what an operation read and what a transaction changed.
//!
//! State is one ordered map from [`StateKey`] to [`Versioned`] value. A version names the
//! transaction that wrote the value, so that a reader can tell later, without the value, whether
//! what it read is still current.

use crate::{
    codec::{Malformed, codec, read_bytes},
    digest::Digest,
    limits::{MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES},
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, Read as CodecRead, ReadExt, Write};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A table's name and a key in it, as one byte string that sorts by table, then by key.
///
/// Layout: the table's name, a zero byte, the key. A name is text without slashes and control
/// characters, so that it can stand in a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(Bytes);

fn is_table(name: &[u8]) -> bool {
    let text = std::str::from_utf8(name);
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && text.is_ok_and(|text| !text.contains(|c: char| c == '/' || c.is_control()))
}

impl StateKey {
    /// Joins a table's name and a key, or nothing where either is over its bound or the name is
    /// empty or holds a slash or a control character.
    pub fn new(table: &str, key: &[u8]) -> Option<Self> {
        let mut bytes = Vec::with_capacity(table.len() + 1 + key.len());
        bytes.extend_from_slice(table.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(key);
        let fits = is_table(table.as_bytes()) && key.len() <= MAX_KEY_BYTES;
        fits.then_some(Self(bytes.into()))
    }

    /// Reads a key back from the bytes of [`as_bytes`](Self::as_bytes).
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let fits = is_table(&bytes[..end]) && bytes.len() - end - 1 <= MAX_KEY_BYTES;
        fits.then_some(Self(bytes))
    }

    /// The joined bytes, in sort order.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.unwrap_or(self.0.len());
        (&self.0[..end], self.0.get(end + 1..).unwrap_or_default())
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        std::str::from_utf8(self.split().0).unwrap_or_default()
    }

    /// The key within its table.
    pub fn key(&self) -> &[u8] {
        self.split().1
    }
}

/// A table, a slash, and the key: as text where it is text for people, otherwise in hexadecimal
/// after `0x`. The same form in JSON.
impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.table())?;
        match std::str::from_utf8(self.key()) {
            Ok(text) if !text.starts_with("0x") && !text.chars().any(char::is_control) => {
                f.write_str(text)
            }
            _ => write!(f, "0x{}", hex::encode(self.key())),
        }
    }
}

impl FromStr for StateKey {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let key = text.split_once('/').and_then(|(table, key)| {
            match key.strip_prefix("0x") {
                Some(digits) => Self::new(table, &hex::decode(digits).ok()?),
                None => Self::new(table, key.as_bytes()),
            }
            // One text for one key.
            .filter(|key| key.to_string() == text)
        });
        key.ok_or(Malformed {
            what: "a state key",
            rule: "must be table/key, the key as text or, where it is none, as 0x and hexadecimal",
        })
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateKey({self})")
    }
}

impl Serialize for StateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Write for StateKey {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl EncodeSize for StateKey {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl CodecRead for StateKey {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let bytes = read_bytes(buf, MAX_NAME_BYTES + 1 + MAX_KEY_BYTES)?;
        Self::from_bytes(bytes).ok_or(Error::Invalid("StateKey", "not a table and a key"))
    }
}

/// Which transaction wrote a value: height, and index within the block. Genesis wrote at 0, 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// The block's height.
    pub height: u64,
    /// The transaction's index in the block.
    pub index: u32,
}
codec!(Version { height, index });

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.height, self.index)
    }
}

/// A value and the version that wrote it. Its encoding is what the state tree commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Who wrote it.
    pub version: Version,
    /// What was written.
    pub value: Bytes,
}
codec!(Versioned {
    version,
    value: bytes(MAX_VALUE_BYTES)
});

/// What a transaction or a block changed: `None` deletes.
pub type Changes = BTreeMap<StateKey, Option<Versioned>>;

/// One read of an operation, with enough to tell later whether it is still current.
///
/// Reads of what the session itself wrote are not recorded: they cannot become stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// One key; no version means it was absent.
    Key {
        /// The key.
        key: StateKey,
        /// Its version when it was read.
        version: Option<Version>,
    },
    /// All keys from `from` up to, not including, `to`, so that phantoms are seen.
    Range {
        /// First key of the range.
        from: StateKey,
        /// First key after the range.
        to: StateKey,
        /// [`range_digest`] of what it held.
        digest: Digest,
    },
}

/// The digest of what a range held: each key with its version, in order.
pub fn range_digest<'a>(entries: impl IntoIterator<Item = (&'a StateKey, Version)>) -> Digest {
    let mut listing = Vec::new();
    for (key, version) in entries {
        key.write(&mut listing);
        version.write(&mut listing);
    }
    Digest::of("plenary range", &[&listing])
}

impl Write for Read {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Key { key, version } => {
                0u8.write(buf);
                key.write(buf);
                version.write(buf);
            }
            Self::Range { from, to, digest } => {
                1u8.write(buf);
                from.write(buf);
                to.write(buf);
                digest.write(buf);
            }
        }
    }
}

impl EncodeSize for Read {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Key { key, version } => key.encode_size() + version.encode_size(),
            Self::Range { from, to, digest } => {
                from.encode_size() + to.encode_size() + digest.encode_size()
            }
        }
    }
}

impl CodecRead for Read {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Key {
                key: StateKey::read(buf)?,
                version: Option::<Version>::read(buf)?,
            }),
            1 => Ok(Self::Range {
                from: StateKey::read(buf)?,
                to: StateKey::read(buf)?,
                digest: Digest::read(buf)?,
            }),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}
