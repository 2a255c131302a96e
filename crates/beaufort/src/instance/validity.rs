//! Which votes can be the state of an honest replica.
//!
//! A replica that votes keeps what it voted on, and gossips all of it. So votes that come without what must have led
//! to them are not an honest replica's state, and whoever sends them as its whole state is Byzantine (section 3.2.4 of
//! the paper). Votes are checked as they are claimed, before any signature is.
//!
//! The rules hold for the union of two states wherever they hold for both: a replica that merges valid states into
//! its own never becomes invalid by it. Exclusion does not matter to them, for who had voted when cannot be known.

use std::collections::BTreeMap;

use crate::{
    Digest, Signers,
    vote::{Ballot, Phase},
};

/// Why votes are no honest replica's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Signers are counted for another number of members.
    #[error("votes are counted for another number of members")]
    OtherMembers,
    /// A round began although too few had voted in the one before.
    #[error("round {0} began before n - f members had voted in the one before it")]
    TooEarly(u32),
    /// A round began although all had voted for one value.
    #[error("round {0} began although all votes in the one before it were for one value")]
    Needless(u32),
    /// Somebody voted in a round without having voted in the one before.
    #[error("somebody voted in round {0}, but not in the one before it")]
    Skipped(u32),
    /// A vote for a value that no honest replica could have taken for the winner.
    #[error("a vote in round {0} is for a value that cannot have won")]
    Unsupported(u32),
    /// Somebody voted to commit a value for which too few had voted.
    #[error("a vote to commit in round {0}, without n - f votes for the value")]
    Unprepared(u32),
    /// A vote for a value that does not come with it.
    #[error("a vote in round {0} is for a value that its sender does not show")]
    Unseen(u32),
    /// A sum that could not be joined with others.
    #[error("somebody is counted too often among the votes in round {0} for others to be added")]
    Inflated(u32),
    /// Signatures that are no points of the curve.
    #[error("signatures that cannot be read")]
    Unreadable,
    /// An entry whose certificate is not one.
    #[error("an entry that its certificate does not prove")]
    Certificate,
}

/// Who is said to have voted for what.
pub(crate) type Votes = BTreeMap<Ballot, Signers>;

/// Checks that votes can be an honest replica's, in a network of `n` members of which `quorum` decide, with access
/// control that refuses some values: those cannot win, whatever votes they have.
pub(crate) fn check(
    votes: &Votes,
    n: usize,
    quorum: usize,
    refused: &dyn Fn(&Digest) -> bool,
) -> Result<(), Invalid> {
    if votes.values().any(|signers| signers.members() != n) {
        return Err(Invalid::OtherMembers);
    }
    let mut rounds: BTreeMap<u32, Signers> = BTreeMap::new();
    for (ballot, signers) in votes
        .iter()
        .filter(|(ballot, _)| ballot.phase == Phase::PreCommit)
    {
        rounds
            .entry(ballot.round)
            .or_insert_with(|| Signers::none(n))
            .unite(signers);
    }
    // Looked up for each vote after round 0, and there may be thousands of either.
    let first: Vec<_> = values(votes, 0)
        .map(|(value, votes)| (value, votes, refused(&value)))
        .collect();
    let mut locked: BTreeMap<Digest, u32> = BTreeMap::new();
    for (ballot, signers) in votes {
        let round = ballot.round;
        if ballot.phase == Phase::Commit {
            let prepared = votes.get(&Ballot {
                phase: Phase::PreCommit,
                ..*ballot
            });
            if prepared.is_none_or(|prepared| prepared.distinct() < quorum) {
                return Err(Invalid::Unprepared(round));
            }
            if rounds
                .get(&round)
                .is_none_or(|voters| signers.exceeds(voters))
            {
                return Err(Invalid::Skipped(round));
            }
        } else if round > 0 {
            let Some(before) = rounds
                .get(&(round - 1))
                .filter(|before| before.distinct() >= quorum)
            else {
                return Err(Invalid::TooEarly(round));
            };
            if signers.exceeds(before) {
                return Err(Invalid::Skipped(round));
            }
            if values(votes, round - 1).nth(1).is_none() {
                return Err(Invalid::Needless(round));
            }
            let is_locked = locked.get(&ballot.value).is_some_and(|&at| at < round);
            if !could_win(&first, &ballot.value, quorum, is_locked) {
                return Err(Invalid::Unsupported(round));
            }
        }
        if ballot.phase == Phase::PreCommit && signers.distinct() >= quorum {
            locked.entry(ballot.value).or_insert(round);
        }
    }
    Ok(())
}

/// The values with votes in a round, each with how many.
fn values(votes: &Votes, round: u32) -> impl Iterator<Item = (Digest, usize)> {
    let at = |value| Ballot {
        round,
        phase: Phase::PreCommit,
        value,
    };
    let range = votes.range(at([0; 32])..=at([0xff; 32]));
    range
        .map(|(ballot, signers)| (ballot.value, signers.distinct()))
        .filter(|&(_, votes)| votes > 0)
}

/// Whether some replica that knew a part of these votes could have taken a value for the winner: because n - f had
/// voted for it in an earlier round, or because it won among some n - f votes of round 0. `first` are that round's
/// values, each with its votes and whether access control refuses it.
fn could_win(
    first: &[(Digest, usize, bool)],
    winner: &Digest,
    quorum: usize,
    is_locked: bool,
) -> bool {
    let Ok(found) = first.binary_search_by_key(winner, |&(value, ..)| value) else {
        return false;
    };
    let (_, support, _) = first[found];
    // Against each other value, as many votes may be known as still lose; against one that cannot win, all.
    let losing = |&(value, votes, is_refused): &(Digest, usize, bool)| {
        if value == *winner {
            support
        } else if is_refused {
            votes
        } else {
            votes.min(support - usize::from(value > *winner))
        }
    };
    is_locked || first.iter().map(losing).sum::<usize>() >= quorum
}
