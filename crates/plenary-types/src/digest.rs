//! SHA-256 digests, and the typed hashes made of them.
//!
//! A digest is always taken under a domain, so that no value of one kind can stand for one of
//! another.

use bytes::BufMut;
use commonware_codec::{Buf, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// Why a text is not a digest or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal characters, got `{found}`")]
pub struct HexError {
    /// How many characters were expected.
    pub expected: usize,
    /// What was given, cut to a readable length.
    pub found: String,
}

pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError {
        expected: N * 2,
        found: text.chars().take(80).collect(),
    })?;
    Ok(bytes)
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Hashes `parts` under `domain`. Parts are not delimited: callers pass at most one
            /// of variable length, last.
            pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
                let mut hasher = Sha256::new();
                hasher.update([domain.len() as u8]);
                hasher.update(domain.as_bytes());
                for part in parts {
                    hasher.update(part);
                }
                Self(hasher.finalize().into())
            }

            /// The bytes of the digest.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Write for $name {
            fn write(&self, buf: &mut impl BufMut) {
                buf.put_slice(&self.0);
            }
        }

        impl FixedSize for $name {
            const SIZE: usize = 32;
        }

        impl Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
                Ok(Self(<[u8; 32]>::read(buf)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &hex::encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// A SHA-256 digest of anything that has no type of its own: a root, a response, a body.
    Digest
}
digest_type! {
    /// The hash of a block's [`Header`](crate::Header); what the validators sign.
    BlockHash
}
digest_type! {
    /// The hash of a whole encoded [`Transaction`](crate::Transaction).
    TransactionHash
}
digest_type! {
    /// The hash of the [`Genesis`](crate::Genesis): the name of a network.
    GenesisHash
}
digest_type! {
    /// Names one client request for ever: derived from the client's key and nonce, so a retry
    /// has the same, wherever it is sent.
    OperationId
}
digest_type! {
    /// Names a session: the [`OperationId`] of the operation that opened it.
    SessionId
}

impl From<OperationId> for SessionId {
    fn from(id: OperationId) -> Self {
        Self(id.0)
    }
}
