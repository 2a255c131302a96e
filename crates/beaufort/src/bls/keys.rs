//! Keys of members.
//!
//! Figure 4 of the paper raises each member's key to t = H1(pk) before keys are added, against rogue keys: keys made
//! from those of others so that they cancel them out. That stops one rogue key and not many: who chooses 17 keys can
//! choose counts with which the factors cancel as well (docs/beaufort/signatures.md; `attacks.rs` does it). So a
//! public key here carries a proof of possession, the key's own signature over itself, which only who has the secret
//! can make, and no key without a valid one can be had.

use std::{fmt, str::FromStr};

use blst::{
    blst_p2_affine, blst_scalar,
    min_sig::{self, AggregatePublicKey},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    possession::{self, Claimed},
    raw,
};

/// Bytes of a compressed point of G2.
pub(super) const POINT: usize = 96;
/// Bytes of a public key: the point, and the proof of possession, a compressed point of G1.
pub(super) const KEY: usize = POINT + 48;

const FACTOR: &[u8] = b"BEAUFORT-V01-FACTOR-BLS12381FR_XMD:SHA-256_";

/// Why bytes or a text are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another number of bytes.
    #[error("a public key has {KEY} bytes, this has {0}; was it copied whole?")]
    Length(usize),
    /// Other letters than those of hexadecimal digits, or an odd number.
    #[error("a public key is written as {} hexadecimal digits, which this is not; was it copied whole?", 2 * KEY)]
    Hex,
    /// No element of the group, or its neutral one.
    #[error(
        "the public key is not a point of the group; it was not made by this program, or has been changed"
    )]
    Point,
    /// A proof of possession that does not belong to the key.
    #[error(
        "the public key comes without a proof that its owner has the secret key; who gave it must not be a member"
    )]
    Possession,
    /// A secret that is zero, or not below the order of the group.
    #[error(
        "the secret key is not a number from one to the order of the group; it has been changed"
    )]
    Secret,
}

/// t = H1(pk), the factor by which figure 4 makes each member's key its own. Nothing for the input, which nobody
/// knows, that hashes to zero.
pub(super) fn factor(point: &[u8; POINT]) -> Option<blst_scalar> {
    blst_scalar::hash_to(point, FACTOR)
}

/// A member's public key, with the proof that its owner has the secret key.
///
/// As bytes and in order: the compressed point and then the proof; as text: their hexadecimal digits.
#[derive(Clone)]
pub struct PublicKey {
    pub(super) encoded: [u8; KEY],
    /// The key raised to its factor, which is all that verification needs.
    pub(super) weighted: blst_p2_affine,
}

impl PublicKey {
    /// The key that these bytes are.
    ///
    /// # Errors
    ///
    /// When they are not the canonical encoding of a point of the group, or its owner has not proven to have the secret.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let claimed = claimed(bytes)?;
        match possession::find_false(std::slice::from_ref(&claimed)) {
            None => Ok(Self::of(&claimed)),
            Some(_) => Err(KeyError::Possession),
        }
    }

    /// The keys that these texts are, in less than half of the time that each takes by itself.
    ///
    /// # Errors
    ///
    /// One that is none, and its place among them.
    pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Self>, (usize, KeyError)> {
        let parse = |(place, text): (usize, &T)| {
            let bytes = hex::decode(text.as_ref()).map_err(|_| (place, KeyError::Hex))?;
            claimed(&bytes).map_err(|error| (place, error))
        };
        let claimed: Vec<_> = texts
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<_, _>>()?;
        match possession::find_false(&claimed) {
            None => Ok(claimed.iter().map(Self::of).collect()),
            Some(place) => Err((place, KeyError::Possession)),
        }
    }

    /// The key, whose proof must hold.
    fn of(claimed: &Claimed) -> Self {
        let weighted = AggregatePublicKey::from(claimed.weighted).to_public_key();
        Self {
            encoded: claimed.encoded,
            weighted: weighted.into(),
        }
    }

    /// A key whose owner proves nothing, for attacks.
    #[cfg(test)]
    pub(super) fn unproven(key: &min_sig::PublicKey, weighted: blst_p2_affine) -> Self {
        let mut encoded = [0; KEY];
        encoded[..POINT].copy_from_slice(&key.compress());
        Self { encoded, weighted }
    }

    /// The bytes of the key, the same for everyone.
    pub fn to_bytes(&self) -> [u8; KEY] {
        self.encoded
    }
}

/// A point of the group, with what is said to be the proof.
pub(super) fn claimed(bytes: &[u8]) -> Result<Claimed, KeyError> {
    let encoded: [u8; KEY] = bytes
        .try_into()
        .map_err(|_| KeyError::Length(bytes.len()))?;
    let (point, proof) = encoded
        .split_first_chunk::<POINT>()
        .ok_or(KeyError::Length(bytes.len()))?;
    let key = min_sig::PublicKey::uncompress(point).map_err(|_| KeyError::Point)?;
    key.validate().map_err(|_| KeyError::Point)?;
    let factor = factor(point).ok_or(KeyError::Point)?;
    let proof = min_sig::Signature::uncompress(proof).map_err(|_| KeyError::Possession)?;
    Ok(Claimed {
        encoded,
        weighted: raw::raise(AggregatePublicKey::from_public_key(&key).into(), &factor),
        proof: proof.into(),
    })
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.encoded.cmp(&other.encoded)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.encoded[..4]))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.encoded))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex::decode(text).map_err(|_| KeyError::Hex)?)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A member's secret key. Overwritten when dropped, and never shown by `Debug`.
pub struct SecretKey {
    secret: min_sig::SecretKey,
    /// The secret times the factor of its public key: what the member signs with.
    pub(super) exponent: blst_scalar,
    public: PublicKey,
}

impl SecretKey {
    /// The key of a seed, which the caller must draw at random and keep to itself.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = min_sig::SecretKey::key_gen(seed, b"beaufort")
            .expect("a seed of 32 bytes is long enough");
        Self::new(secret).expect("a hash of the seed, not zero, times a hash of the key")
    }

    /// The key whose bytes [`Self::expose_bytes`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are not a secret key.
    pub fn from_exposed_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        min_sig::SecretKey::from_bytes(bytes)
            .ok()
            .and_then(Self::new)
            .ok_or(KeyError::Secret)
    }

    /// The secret itself, for keeping it. Who sees these bytes can sign as this member for ever.
    pub fn expose_bytes(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    fn new(secret: min_sig::SecretKey) -> Option<Self> {
        let point = secret.sk_to_pk().compress();
        let exponent = raw::product((&secret).into(), &factor(&point)?)?;
        let signing: &min_sig::SecretKey = (&exponent).try_into().ok()?;
        let weighted = signing.sk_to_pk().into();
        let proof = signing.sign(&point, possession::DOMAIN, &[]).compress();
        let mut encoded = [0; KEY];
        encoded[..POINT].copy_from_slice(&point);
        encoded[POINT..].copy_from_slice(&proof);
        Some(Self {
            secret,
            exponent,
            public: PublicKey { encoded, weighted },
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public)
    }
}
