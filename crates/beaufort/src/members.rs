//! Who agrees: a fixed set of members, each known by its public key.
//!
//! Every replica sorts the same keys in the same way, so that a member's place in the list stands for it everywhere.
//! Changing the set is outside of the protocol (section 3.1 of the paper): the network stops and starts with another.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

#[cfg(test)]
use crate::bls::{Bls, SecretKey};
use crate::{
    MAX_MEMBERS, Scheme,
    digest::{Digest, hash},
    signers::quorum,
};

/// A member: its place in the sorted list of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub u16);

/// Why keys do not make a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// Nobody is there to agree.
    #[error("a network needs at least one member")]
    None,
    /// More than the encodings hold.
    #[error("{0} members are too many: a network has at most {MAX_MEMBERS}")]
    TooMany(usize),
    /// One key is listed twice.
    #[error("two members have the same public key; each needs one of its own")]
    Twice,
}

/// The members of a network.
pub struct Members<S: Scheme> {
    keys: Vec<S::PublicKey>,
    network: Digest,
    verifier: OnceLock<S::Verifier>,
}

impl<S: Scheme> Members<S> {
    /// The network of these keys, in whatever order they come.
    ///
    /// # Errors
    ///
    /// When there are none or too many, or one is listed twice.
    pub fn new(mut keys: Vec<S::PublicKey>) -> Result<Self, MembersError> {
        if keys.is_empty() {
            return Err(MembersError::None);
        }
        if keys.len() > MAX_MEMBERS {
            return Err(MembersError::TooMany(keys.len()));
        }
        keys.sort();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(MembersError::Twice);
        }
        let encoded: Vec<_> = keys.iter().map(S::encode_key).collect();
        let parts: Vec<_> = encoded.iter().map(Vec::as_slice).collect();
        let network = hash("beaufort 2026 network", &parts);
        Ok(Self {
            keys,
            network,
            verifier: OnceLock::new(),
        })
    }

    /// How many there are: n.
    #[allow(clippy::len_without_is_empty, reason = "a network has members")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many may be Byzantine: f, the largest with n >= 3f + 1.
    pub fn faults(&self) -> usize {
        self.len() - self.quorum()
    }

    /// How many votes decide: n - f.
    pub fn quorum(&self) -> usize {
        quorum(self.len())
    }

    /// All of them, in order.
    pub fn ids(&self) -> impl Iterator<Item = MemberId> + use<S> {
        (0..self.keys.len() as u16).map(MemberId)
    }

    /// All keys, in order.
    pub fn keys(&self) -> &[S::PublicKey] {
        &self.keys
    }

    /// A member's key.
    pub fn key(&self, id: MemberId) -> Option<&S::PublicKey> {
        self.keys.get(usize::from(id.0))
    }

    /// The member that has a key.
    pub fn find(&self, key: &S::PublicKey) -> Option<MemberId> {
        self.keys
            .binary_search(key)
            .ok()
            .map(|index| MemberId(index as u16))
    }

    /// All keys, prepared for verification; done when it is asked for first.
    pub fn verifier(&self, scheme: &S) -> &S::Verifier {
        self.verifier.get_or_init(|| scheme.verifier(&self.keys))
    }

    /// What stands for this set of members in everything they sign.
    pub fn network(&self) -> Digest {
        self.network
    }
}

/// So many members, and their secret keys in the same order.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) fn network(n: u8) -> (Members<Bls>, Vec<SecretKey>) {
    let mut secrets: Vec<_> = (0..n)
        .map(|seed| SecretKey::from_seed(&[seed; 32]))
        .collect();
    secrets.sort_by(|one, other| one.public().cmp(other.public()));
    let keys = secrets.iter().map(|secret| secret.public().clone());
    (Members::new(keys.collect()).unwrap(), secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each check of a certificate prepared the members' keys anew, which took longer than the check itself.
    #[test]
    fn keys_are_prepared_once() {
        let (members, _) = network(4);
        assert!(std::ptr::eq(members.verifier(&Bls), members.verifier(&Bls)));
    }
}
