//! What a vote says, and the bytes that its signature covers.
//!
//! All votes for one value in one round are one message, so that their signatures add up to one. The voter's own
//! identity, which algorithm 1 signs too, is therefore not in it: its key stands for it.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, hash};

/// Which of the two steps to agreement a vote belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The voter takes this value for the round's winner.
    PreCommit,
    /// The voter saw n - f votes for this value in this round.
    Commit,
}

/// What is voted on: one value, in one round and phase of a key's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// The round, from zero.
    pub round: u32,
    /// The phase.
    pub phase: Phase,
    /// The value's digest.
    pub value: Digest,
}

/// A key's view in a network: what all votes in it have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Digest);

impl Scope {
    /// A view of a key.
    pub fn new(network: &Digest, key: &[u8], view: u64) -> Self {
        Self(hash(
            "beaufort 2026 scope",
            &[network, key, &view.to_le_bytes()],
        ))
    }

    /// What a voter signs.
    pub fn message(&self, ballot: &Ballot) -> Digest {
        let phase = match ballot.phase {
            Phase::PreCommit => [0],
            Phase::Commit => [1],
        };
        hash(
            "beaufort 2026 vote",
            &[&self.0, &ballot.round.to_le_bytes(), &phase, &ballot.value],
        )
    }
}
