//! Proofs that a key has a value in the state, or has none, checkable with the state root alone.
//!
//! The state root is that of a Jellyfish Merkle tree (Gao, Hu, Wu: "Jellyfish Merkle Tree", 2021)
//! over SHA-256: a sparse binary tree with one leaf a key, at the place that the bits of the hash
//! of the key name, where a subtree of a single leaf is that leaf and an empty one is a
//! placeholder. A leaf commits to the key and to the encoding of its [`Versioned`] value. A proof
//! is the hashes beside the way from the root to the key's place, and what is found there: the
//! key's leaf, another key's leaf, or nothing.

use crate::{
    digest::Digest,
    limits::MAX_VALUE_BYTES,
    state::{StateKey, Version, Versioned},
};
use commonware_codec::Encode as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The version of the proof's form.
const FORM: u8 = 1;
/// The tree is as deep as a key's hash has bits.
const MAX_SIBLINGS: usize = 256;

/// The hash of an empty subtree, and so the root of the empty state.
pub const EMPTY: Digest = Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest(hasher.finalize().into())
}

/// The place of a key in the tree, from its first bit down.
pub fn place(key: &StateKey) -> Digest {
    sha256(&[key.as_bytes()])
}

/// The hash of the node over two subtrees.
pub fn branch(left: &Digest, right: &Digest) -> Digest {
    sha256(&[b"JMT::IntrnalNode", &left.0, &right.0])
}

/// A leaf of the state tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateLeaf {
    /// The [`place`] of its key.
    pub place: Digest,
    /// The SHA-256 of its value's encoding.
    pub value: Digest,
}

impl StateLeaf {
    /// The leaf of `key` with `value`.
    pub fn new(key: &StateKey, value: &Versioned) -> Self {
        Self {
            place: place(key),
            value: sha256(&[&value.encode()]),
        }
    }

    /// The leaf's hash.
    pub fn hash(&self) -> Digest {
        sha256(&[b"JMT::LeafNode", &self.place.0, &self.value.0])
    }
}

/// A proof of what one key has in the state under some root. Any part that is changed makes it
/// fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// The form of this proof: 1.
    pub version: u8,
    /// The key's value, or nothing where the proof is that it has none.
    #[serde(with = "value")]
    pub value: Option<Versioned>,
    /// Where the key has no value but its place is within the subtree of a single other leaf:
    /// that leaf.
    pub other: Option<StateLeaf>,
    /// The hashes beside the way from the place up to the root.
    #[serde(deserialize_with = "siblings")]
    pub siblings: Vec<Digest>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// The form is not known.
    #[error("state proof version {0} is not known to this program, which reads version {FORM}")]
    Version(u8),
    /// Longer than the tree is deep.
    #[error("{0} siblings are more than the {MAX_SIBLINGS} a proof may have")]
    Siblings(usize),
    /// The other leaf says nothing about the key: it is the key's own, lies elsewhere, or stands
    /// beside a value.
    #[error("the other leaf in the proof says nothing about {0}")]
    Other(StateKey),
    /// The way does not lead to the root.
    #[error(
        "the proof of {key} leads to {found}, not to the state root {expected}: key, value or path was altered, or the root is of another height"
    )]
    Root {
        /// The key asked about.
        key: StateKey,
        /// The root asked about.
        expected: Digest,
        /// Where the proof leads.
        found: Digest,
    },
}

/// Whether the bit at `index`, counted from the first byte's highest, is set.
fn bit(place: &Digest, index: usize) -> bool {
    place.0[index / 8] >> (7 - index % 8) & 1 == 1
}

impl StateProof {
    /// A proof of its parts; `siblings` from the place up to the root.
    pub fn new(value: Option<Versioned>, other: Option<StateLeaf>, siblings: Vec<Digest>) -> Self {
        Self {
            version: FORM,
            value,
            other,
            siblings,
        }
    }

    /// Checks the proof against a state root, as a certified header holds it, and gives what
    /// `key` has there: its value, or nothing.
    ///
    /// # Errors
    ///
    /// The first reason the proof proves nothing about `key`.
    pub fn verify(
        &self,
        root: &Digest,
        key: &StateKey,
    ) -> Result<Option<&Versioned>, StateProofError> {
        if self.version != FORM {
            return Err(StateProofError::Version(self.version));
        }
        let depth = self.siblings.len();
        if depth > MAX_SIBLINGS {
            return Err(StateProofError::Siblings(depth));
        }
        let place = place(key);
        let found = match (&self.value, &self.other) {
            (Some(value), None) => StateLeaf::new(key, value).hash(),
            (None, None) => EMPTY,
            (None, Some(other))
                if other.place != place
                    && (0..depth).all(|index| bit(&other.place, index) == bit(&place, index)) =>
            {
                other.hash()
            }
            _ => return Err(StateProofError::Other(key.clone())),
        };
        let ways = self.siblings.iter().zip((0..depth).rev());
        let found = ways.fold(found, |below, (sibling, index)| {
            if bit(&place, index) {
                branch(sibling, &below)
            } else {
                branch(&below, sibling)
            }
        });
        if found != *root {
            return Err(StateProofError::Root {
                key: key.clone(),
                expected: *root,
                found,
            });
        }
        Ok(self.value.as_ref())
    }
}

fn siblings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
    struct Bounded;
    impl<'de> serde::de::Visitor<'de> for Bounded {
        type Value = Vec<Digest>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MAX_SIBLINGS} digests")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut items: A,
        ) -> Result<Vec<Digest>, A::Error> {
            let mut siblings = Vec::new();
            while let Some(sibling) = items.next_element()? {
                if siblings.len() == MAX_SIBLINGS {
                    return Err(serde::de::Error::invalid_length(MAX_SIBLINGS + 1, &self));
                }
                siblings.push(sibling);
            }
            Ok(siblings)
        }
    }
    deserializer.deserialize_seq(Bounded)
}

/// A value as JSON: who wrote it, and its bytes in hexadecimal.
mod value {
    use super::{
        Deserialize, Deserializer, MAX_VALUE_BYTES, Serialize, Serializer, Version, Versioned,
    };

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        version: Version,
        bytes: String,
    }

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Versioned>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let form = value.as_ref().map(|value| Form {
            version: value.version,
            bytes: hex::encode(&value.value),
        });
        form.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Versioned>, D::Error> {
        use serde::de::Error;
        let Some(form) = Option::<Form>::deserialize(deserializer)? else {
            return Ok(None);
        };
        if form.bytes.len() > 2 * MAX_VALUE_BYTES {
            return Err(D::Error::custom(format_args!(
                "a value has at most {MAX_VALUE_BYTES} bytes"
            )));
        }
        let value = hex::decode(&form.bytes)
            .map_err(|_| D::Error::custom("expected a value's bytes in hexadecimal"))?;
        Ok(Some(Versioned {
            version: form.version,
            value: value.into(),
        }))
    }
}
