//! Who can hold points: whoever has an Ed25519 key, customers and shops alike.
//!
//! A public key is written as a *code* with a checksum, so that points do not go to a key that nobody has because
//! somebody mistyped it. Signatures are verified by the rules of ZIP 215, under which all shops agree on every input.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_zebra::{SigningKey, VerificationKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_big_array::BigArray;

/// Bytes of a code's checksum.
const CHECK: usize = 4;

/// A public key. In texts and JSON it is its code, otherwise its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(pub [u8; 32]);

/// Why a text is not the code of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a wallet's or shop's code: it has 48 characters and was perhaps not copied whole"
)]
pub struct CodeError;

impl Holder {
    /// Whether anybody can have the private key to it.
    pub fn is_key(&self) -> bool {
        VerificationKey::try_from(self.0).is_ok()
    }

    /// Whether this holder signed this message.
    pub fn has_signed(&self, message: &[u8; 32], signature: &Signature) -> bool {
        VerificationKey::try_from(self.0)
            .is_ok_and(|key| key.verify(&signature.0.into(), message).is_ok())
    }

    fn check(&self) -> [u8; CHECK] {
        let mut check = [0; CHECK];
        check.copy_from_slice(&blake3::derive_key("loyalty 2026 code", &self.0)[..CHECK]);
        check
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.0[..], &self.check()].concat();
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holder({})", hex::encode(&self.0[..4]))
    }
}

impl FromStr for Holder {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CodeError)?;
        let (key, check) = bytes.split_first_chunk().ok_or(CodeError)?;
        let holder = Self(*key);
        (check == holder.check()).then_some(holder).ok_or(CodeError)
    }
}

impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            Serialize::serialize(&self.0, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Holder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let code = String::deserialize(deserializer)?;
            code.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32] as Deserialize>::deserialize(deserializer).map(Self)
        }
    }
}

/// A holder's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(#[serde(with = "BigArray")] pub [u8; 64]);

/// A holder's private key. Its `Debug` shows the public half only.
pub struct HolderKey(SigningKey);

impl HolderKey {
    /// The key of a seed, which the caller must draw at random and keep to itself.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from(seed))
    }

    /// The key of a shop's till: made from the private key with which the shop is a member of the network, so that it
    /// has one secret to keep and not two.
    pub fn till(member: &[u8; 32]) -> Self {
        Self::from_seed(blake3::derive_key("loyalty 2026 till", member))
    }

    /// The public half.
    pub fn holder(&self) -> Holder {
        Holder(VerificationKey::from(&self.0).into())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8; 32]) -> Signature {
        Signature(self.0.sign(message).into())
    }
}

impl fmt::Debug for HolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderKey(of {:?})", self.holder())
    }
}
