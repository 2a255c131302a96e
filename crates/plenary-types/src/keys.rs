//! Ed25519 keys and signatures (RFC 8032), verified by the rules of ZIP 215.
//!
//! ZIP 215 makes verification one at a time and in batches agree on every input, which validators
//! need: `ed25519-zebra` implements it, and the ordering engine's own verifier follows the same
//! rules.

use crate::digest::{HexError, parse_hex};
use bytes::BufMut;
use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
use commonware_codec::{Buf, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

macro_rules! bytes_type {
    ($name:ident, $size:expr) => {
        impl Write for $name {
            fn write(&self, buf: &mut impl BufMut) {
                buf.put_slice(&self.0);
            }
        }
        impl FixedSize for $name {
            const SIZE: usize = $size;
        }
        impl Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
                Ok(Self(<[u8; $size]>::read(buf)?))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..4]))
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

/// The public key of a client, a session node or a validator. Any 32 bytes decode; a key that is
/// no curve point verifies nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);
bytes_type!(PublicKey, 32);

impl PublicKey {
    /// Whether these bytes are a curve point, so that there can be signatures by it.
    pub fn is_valid(&self) -> bool {
        ed25519_zebra::VerificationKey::try_from(self.0).is_ok()
    }

    /// Whether `signature` is this key's over exactly `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        ed25519_zebra::VerificationKey::try_from(self.0)
            .is_ok_and(|key| key.verify(&signature.0.into(), message).is_ok())
    }
}

/// A signature with what it must be over: what is to be verified, alone or with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Whose signature it must be.
    pub key: PublicKey,
    /// The signature.
    pub signature: Signature,
    /// What exactly it must be over.
    pub message: Vec<u8>,
}

impl Signed {
    /// Whether the signature is the key's over the message.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.key.verify(&self.message, &self.signature)
    }
}

/// Whether every signature is its key's over its message, for less than the price of verifying each:
/// true exactly where [`Signed::verify`] is true of each.
///
/// A batch is checked with random coefficients. They are drawn from a hash of the batch itself (the
/// Fiat-Shamir heuristic), so this crate needs no source of randomness, and nobody can choose
/// signatures after the coefficients.
#[must_use]
pub fn verify_batch<'a>(signatures: impl IntoIterator<Item = &'a Signed>) -> bool {
    let mut batch = ed25519_zebra::batch::Verifier::new();
    let mut transcript = Sha256::new();
    for Signed {
        key,
        signature,
        message,
    } in signatures
    {
        transcript.update(key.0);
        transcript.update(signature.0);
        transcript.update(Sha256::digest(message));
        batch.queue((key.0.into(), signature.0.into(), message));
    }
    batch
        .verify(ChaCha20Rng::from_seed(transcript.finalize().into()))
        .is_ok()
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);
bytes_type!(Signature, 64);

/// A private key. Its `Debug` shows the public half only.
#[derive(Clone, Copy)]
pub struct PrivateKey(ed25519_zebra::SigningKey);

impl PrivateKey {
    /// The key of a 32-byte seed (RFC 8032's private key), which the caller must draw at random.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_zebra::SigningKey::from(seed))
    }

    /// The seed, for keeping the key.
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.into()
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(ed25519_zebra::VerificationKey::from(&self.0).into())
    }

    /// Signs exactly `message`; callers put a domain of their own in front of it.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).into())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public_key())
    }
}
