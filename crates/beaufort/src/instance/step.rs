//! What a replica does once it has seen enough: votes, decides, or finds out what it must verify first.

use super::{Context, Entry, Instance, Rule};
use crate::{
    Certificate, Digest, MemberId, Millis, Scheme, Signers,
    vote::{Ballot, Phase},
};

/// How a step ended.
pub(crate) enum Turn {
    /// Nothing more can be done with what is known.
    Rest,
    /// These votes must be verified before anything is decided on them.
    Verify(Vec<Ballot>),
    /// The view is decided, and the next one has begun.
    Decided,
}

impl<S: Scheme> Instance<S> {
    /// Goes as far as the votes allow.
    pub fn step(&mut self, cx: &Context<'_, S>) -> Turn {
        if let Some(turn) = self.decide(cx) {
            return turn;
        }
        if !self.is_open() {
            return Turn::Rest;
        }
        loop {
            if !self.has_voted(cx.me, self.round, Phase::PreCommit) {
                let Some(value) = self.winner(cx, self.round) else {
                    return Turn::Rest;
                };
                self.vote(
                    cx,
                    Ballot {
                        round: self.round,
                        phase: Phase::PreCommit,
                        value,
                    },
                );
            }
            match self.leave_round(cx) {
                Some(turn) => return turn,
                None => self.round += 1,
            }
        }
    }

    /// When the next step is due without further news: the end of waiting for more votes.
    pub fn due(&self, cx: &Context<'_, S>) -> Option<Millis> {
        let (round, since) = self.split?;
        (round == self.round).then(|| since + self.patience(cx))
    }

    /// The COMMIT phase's end: n - f votes to commit one value.
    fn decide(&mut self, cx: &Context<'_, S>) -> Option<Turn> {
        let quorum = cx.members.quorum();
        let full = |(ballot, tally): (&Ballot, &crate::tally::Tally<S>)| {
            (ballot.phase == Phase::Commit && tally.claimed().distinct() >= quorum)
                .then_some(*ballot)
        };
        let ballot = self.tallies.iter().find_map(full)?;
        let tally = &self.tallies[&ballot];
        let Some((signers, signature)) = tally
            .proof(cx.scheme)
            .filter(|(signers, _)| signers.distinct() >= quorum)
        else {
            return Some(Turn::Verify(vec![ballot]));
        };
        // Who voted for a value has seen it, and gossips it.
        let value = self.proposals.get(&ballot.value)?.value.clone();
        let view = self.view();
        let certificate = Certificate {
            view,
            round: ballot.round,
            value: ballot.value,
            signers,
            signature,
        };
        self.enter(
            cx.members,
            Entry {
                view,
                value,
                certificate,
            },
        );
        Some(Turn::Decided)
    }

    /// The PRE-COMMIT phase's end in this round: nothing where the next round begins.
    fn leave_round(&mut self, cx: &Context<'_, S>) -> Option<Turn> {
        let (round, quorum) = (self.round, cx.members.quorum());
        let next_began = self.ballots(round + 1, Phase::PreCommit).next().is_some();
        let full = self
            .ballots(round, Phase::PreCommit)
            .find(|(_, tally)| tally.claimed().distinct() >= quorum);
        if let Some((&ballot, tally)) = full {
            if tally
                .verified()
                .is_none_or(|signers| signers.distinct() < quorum)
            {
                // What is verified is kept, and must be an honest replica's state by itself: who voted in this round is
                // to be known to have voted in those before it.
                let mut unverified = self.unverified_until(round);
                unverified.retain(|other| round > 0 || *other == ballot);
                return Some(Turn::Verify(unverified));
            }
            if !self.has_voted(cx.me, round, Phase::Commit) {
                self.vote(
                    cx,
                    Ballot {
                        phase: Phase::Commit,
                        ..ballot
                    },
                );
                // With one member, or f = 0, this vote may be the last.
                if let Some(turn) = self.decide(cx) {
                    return Some(turn);
                }
            }
            if !next_began {
                return Some(Turn::Rest);
            }
        } else if !next_began && !self.is_over(cx) {
            return Some(Turn::Rest);
        }
        // A new round is a decision on all votes before it.
        let unverified = self.unverified_until(if next_began { round + 1 } else { round });
        if !unverified.is_empty() {
            return Some(Turn::Verify(unverified));
        }
        let counted = self.counted(cx, round);
        (counted < quorum).then_some(Turn::Rest)
    }

    /// Whether a round that has no winner is not worth waiting for any longer.
    fn is_over(&mut self, cx: &Context<'_, S>) -> bool {
        let (round, quorum) = (self.round, cx.members.quorum());
        if self.counted(cx, round) < quorum {
            return false;
        }
        let voters = self
            .voters(cx.members.len(), round, Phase::PreCommit)
            .distinct();
        let outstanding = cx.members.len() - voters;
        let most = self
            .ballots(round, Phase::PreCommit)
            .map(|(_, tally)| tally.claimed().distinct())
            .max();
        if most.is_none_or(|most| most + outstanding < quorum) {
            return true;
        }
        if self.split.is_none_or(|(split, _)| split != round) {
            self.split = Some((round, cx.now));
        }
        self.due(cx).is_some_and(|due| cx.now >= due)
    }

    /// How long this round waits for more votes: twice as long each round, so that there are few rounds however long
    /// somebody is away, and never as long as anyone could foresee.
    fn patience(&self, cx: &Context<'_, S>) -> Millis {
        let drawn = crate::digest::hash(
            "beaufort 2026 patience",
            &[cx.seed, &self.key, &self.round.to_le_bytes()],
        );
        let fraction = Millis::from(drawn[0]);
        let doubled = cx.linger << self.round.min(8);
        doubled + cx.linger * fraction / 256
    }

    /// How many members voted in a round whose votes count.
    fn counted(&self, cx: &Context<'_, S>, round: u32) -> usize {
        let voters = self.voters(cx.members.len(), round, Phase::PreCommit);
        voters
            .iter()
            .filter(|(member, _)| !cx.excluded.contains(member))
            .count()
    }

    /// The votes up to a round of which not all are verified, earlier rounds first.
    ///
    /// Nothing is verified before all that it rests on: if that turned out to be false later, this replica would hold
    /// votes that no honest one has, and pass for Byzantine.
    pub fn unverified_until(&self, round: u32) -> Vec<Ballot> {
        let open = |(ballot, tally): (&Ballot, &crate::tally::Tally<S>)| {
            (ballot.phase == Phase::PreCommit && ballot.round <= round && !tally.is_verified())
                .then_some(*ballot)
        };
        self.tallies.iter().filter_map(open).collect()
    }

    /// The value to vote for in a round, if any that may be voted for is known.
    fn winner(&self, cx: &Context<'_, S>, round: u32) -> Option<Digest> {
        let locked = match cx.rule {
            Rule::Locked => self.lock(cx.members.quorum(), round),
            #[cfg(any(test, feature = "simulation"))]
            Rule::AsPublished => None,
        };
        locked.or_else(|| {
            let eligible = |(ballot, tally): (&Ballot, &crate::tally::Tally<S>)| {
                let allowed = self.proposals.get(&ballot.value)?.allowed;
                // In round 0 nobody has decided anything yet; later, only what is verified counts.
                let voters = if round == 0 {
                    Some(tally.claimed())
                } else {
                    tally.verified()
                }?;
                let votes = voters
                    .iter()
                    .filter(|(member, _)| !cx.excluded.contains(member))
                    .count();
                (allowed && votes > 0).then_some((votes, ballot.value))
            };
            self.ballots(0, Phase::PreCommit)
                .filter_map(eligible)
                .max()
                .map(|(_, value)| value)
        })
    }

    /// The value of the latest round before this one that is known to have n - f votes for it.
    ///
    /// Votes of members that were excluded since count here: others may have committed on the strength of them.
    fn lock(&self, quorum: usize, round: u32) -> Option<Digest> {
        let locks = |(ballot, tally): (&Ballot, &crate::tally::Tally<S>)| {
            let full = tally
                .verified()
                .is_some_and(|signers| signers.distinct() >= quorum);
            (ballot.phase == Phase::PreCommit && ballot.round < round && full)
                .then_some((ballot.round, ballot.value))
        };
        self.tallies
            .iter()
            .filter_map(locks)
            .max()
            .map(|(_, value)| value)
    }

    /// Two votes of one other member for different values in the same round and phase, if any are said to exist.
    pub fn double_vote(
        &self,
        me: MemberId,
        excluded: &std::collections::BTreeSet<MemberId>,
    ) -> Option<(MemberId, [Ballot; 2])> {
        let mut seen: Option<(Ballot, &Signers)> = None;
        let mut earlier: Vec<(Ballot, &Signers)> = Vec::new();
        for (&ballot, tally) in &self.tallies {
            if seen.is_none_or(|(last, _)| (last.round, last.phase) != (ballot.round, ballot.phase))
            {
                earlier.clear();
            }
            for &(other, signers) in &earlier {
                let both = |&(member, _): &(MemberId, u16)| {
                    member != me && signers.contains(member) && !excluded.contains(&member)
                };
                if let Some((culprit, _)) = tally.claimed().iter().find(both) {
                    return Some((culprit, [other, ballot]));
                }
            }
            earlier.push((ballot, tally.claimed()));
            seen = Some((ballot, tally.claimed()));
        }
        None
    }
}
