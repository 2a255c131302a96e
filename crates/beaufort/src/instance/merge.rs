//! Taking in what a neighbour knows.
//!
//! The state of a key is a CRDT: votes are sets that only grow, and a later view takes the place of an earlier one once
//! its entry's certificate has been verified. Nothing is merged that cannot be an honest replica's state.

use std::collections::BTreeSet;

use super::{Context, Entry, Instance, Invalid, validity};
use crate::{
    Certificate, Digest, MemberId, Members, Scheme, Signers, digest,
    evidence::Signed,
    sums::{Holds, Sum},
    tally::{Source, Tally},
    vote::{Ballot, Phase},
};

/// What a view decided, as one replica tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The proof.
    pub certificate: Certificate,
    /// The value, unless the receiver has it since it was proposed.
    pub value: Option<Option<Vec<u8>>>,
}

/// What one replica tells another of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The view that its sender is in.
    pub view: u64,
    /// Whether nothing is left out that the receiver is known to have.
    pub whole: bool,
    /// What the view before decided, where the receiver may not know.
    pub decision: Option<Decision>,
    /// Values that were proposed in this view.
    pub proposals: Vec<Option<Vec<u8>>>,
    /// Votes in this view.
    pub votes: Vec<Signed>,
}

/// What came of merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Nothing was new.
    Known,
    /// Something was.
    News,
    /// It cannot be taken in without what its sender left out, or before its sender has verified it.
    Incomplete,
    /// No honest replica says this.
    Invalid(Invalid),
}

/// What came of votes that did not hold.
pub(crate) struct Refuted {
    /// Whence a false one came, if anybody is to blame for it.
    pub culprit: Option<Source>,
    /// Whether others that are not verified went with it.
    pub lost_others: bool,
}

/// The most ballots of a view that a member's votes are taken in for: further ones of its own say nothing new.
const BALLOTS_PER_MEMBER: usize = 64;

/// Who is said to have voted for what, in a network of `n` members, where sums are such as honest replicas pass on.
fn claimed(votes: &[Signed], n: usize) -> Result<validity::Votes, Invalid> {
    let mut claimed = validity::Votes::new();
    for Signed {
        ballot, signers, ..
    } in votes
    {
        if signers.members() != n {
            return Err(Invalid::OtherMembers);
        }
        if !signers.is_joinable() {
            return Err(Invalid::Inflated(ballot.round));
        }
        claimed
            .entry(*ballot)
            .or_insert_with(|| Signers::none(n))
            .unite(signers);
    }
    Ok(claimed)
}

impl<S: Scheme> Instance<S> {
    /// Merges what a neighbour sent.
    pub fn merge(&mut self, cx: &Context<'_, S>, from: Source, state: State) -> Merged {
        if state.view < self.view() {
            return Merged::Known;
        }
        if state.view > self.view() {
            return self.keep_ahead(cx, from, state);
        }
        if let Some(round) = self.unseen(&state) {
            return match state.whole {
                true => Merged::Invalid(Invalid::Unseen(round)),
                false => Merged::Incomplete,
            };
        }
        let (n, quorum) = (cx.members.len(), cx.members.quorum());
        let mut votes = match claimed(&state.votes, n) {
            Ok(votes) => votes,
            Err(invalid) => return Merged::Invalid(invalid),
        };
        let refused = self.refused(cx, &state);
        let refused = |value: &Digest| refused.contains(value);
        if state.whole
            && let Err(invalid) = validity::check(&votes, n, quorum, &refused)
        {
            return Merged::Invalid(invalid);
        }
        for (&ballot, tally) in self.tallies() {
            votes
                .entry(ballot)
                .or_insert_with(|| tally.claimed().clone())
                .unite(tally.claimed());
        }
        if !state.whole && validity::check(&votes, n, quorum, &refused).is_err() {
            return Merged::Incomplete;
        }
        let mut needed = votes.clone();
        self.spare(cx, &mut needed);
        if validity::check(&needed, n, quorum, &refused).is_ok() {
            votes = needed;
        } else if needed.len() < votes.len() && !from.vouched {
            // Others' votes are said to rest on what nobody needs: only who answers for that is believed.
            return Merged::Incomplete;
        }
        self.add_votes(cx, from, state, &votes)
    }

    /// The values that access control refuses, where that matters: in round 0 anybody may vote for anything. It is asked
    /// once for each value that is new, for a message can have thousands of them.
    fn refused(&self, cx: &Context<'_, S>, state: &State) -> BTreeSet<Digest> {
        let told = state.votes.iter().map(|vote| &vote.ballot);
        if !told
            .chain(self.tallies.keys())
            .any(|ballot| ballot.round > 0)
        {
            return BTreeSet::new();
        }
        let old = self.entry.as_ref().and_then(|entry| entry.value.as_deref());
        let shown = state.proposals.iter().filter_map(|value| {
            let digest = digest::value(value.as_deref());
            let is_new = !self.proposals.contains_key(&digest);
            let is_refused = is_new && !cx.access.allows(&self.key, old, value.as_deref());
            is_refused.then_some(digest)
        });
        let known = self.proposals.iter();
        let known = known.filter(|(_, proposal)| !proposal.allowed);
        known.map(|(digest, _)| *digest).chain(shown).collect()
    }

    /// In which round there is a vote for a value that is not known, if in any: nobody votes for what it has not seen, and
    /// none is chosen here that would have to be waited for.
    fn unseen(&self, state: &State) -> Option<u32> {
        let proposed: BTreeSet<_> = state
            .proposals
            .iter()
            .map(|value| digest::value(value.as_deref()))
            .collect();
        let seen = |value| self.proposals.contains_key(value) || proposed.contains(value);
        let mut votes = state.votes.iter().map(|vote| &vote.ballot);
        votes
            .find(|ballot| !seen(&ballot.value))
            .map(|ballot| ballot.round)
    }

    /// Leaves out what is new and nobody voted for but members that are excluded, or have voted for enough already.
    fn spare(&self, cx: &Context<'_, S>, votes: &mut validity::Votes) {
        let mut ballots = vec![0; cx.members.len()];
        let mut count = |signers: &Signers| {
            let has_room = signers.iter().any(|(member, _)| {
                ballots[usize::from(member.0)] < BALLOTS_PER_MEMBER
                    && !cx.excluded.contains(&member)
            });
            for (member, _) in signers.iter() {
                ballots[usize::from(member.0)] += 1;
            }
            has_room
        };
        let is_known = |ballot: &Ballot| self.tallies.contains_key(ballot);
        for (_, signers) in votes.iter().filter(|(ballot, _)| is_known(ballot)) {
            count(signers);
        }
        votes.retain(|ballot, signers| is_known(ballot) || count(signers));
    }

    /// Adds the votes for those ballots that are wanted.
    fn add_votes(
        &mut self,
        cx: &Context<'_, S>,
        from: Source,
        state: State,
        wanted: &validity::Votes,
    ) -> Merged {
        // Honest replicas send sums that they can read themselves. All are read before any is merged, for a part of a
        // valid state may not be valid.
        let mut sums = Vec::new();
        for Signed {
            ballot,
            signers,
            signature,
        } in state.votes
        {
            let is_new = self
                .tallies
                .get(&ballot)
                .is_none_or(|tally| tally.wants(&signers));
            if wanted.contains_key(&ballot) && is_new {
                let Some(point) = cx.scheme.decode(&signature) else {
                    return Merged::Invalid(Invalid::Unreadable);
                };
                sums.push((ballot, Sum { signers, point }));
            }
        }
        let mut news = !sums.is_empty();
        for (ballot, sum) in sums {
            let tally = self
                .tallies
                .entry(ballot)
                .or_insert_with(|| Tally::new(cx.members.len()));
            tally.merge(cx.scheme, from, sum);
        }
        for value in state.proposals {
            let digest = digest::value(value.as_deref());
            let ballot = Ballot {
                round: 0,
                phase: Phase::PreCommit,
                value: digest,
            };
            if self.tallies.contains_key(&ballot) && !self.proposals.contains_key(&digest) {
                self.learn(cx, digest, value);
                news = true;
            }
        }
        if news { Merged::News } else { Merged::Known }
    }

    /// Keeps what comes from a later view until the decision that it begins with is verified.
    fn keep_ahead(&mut self, cx: &Context<'_, S>, from: Source, mut state: State) -> Merged {
        let Some(Decision { certificate, value }) = &mut state.decision else {
            return Merged::Incomplete;
        };
        if value.is_none() && certificate.view == self.view() {
            *value = self
                .proposals
                .get(&certificate.value)
                .map(|proposal| proposal.value.clone());
        }
        let Some(value) = value else {
            return Merged::Incomplete;
        };
        let proven = certificate.value == digest::value(value.as_deref())
            && certificate.view.checked_add(1) == Some(state.view)
            && certificate.check_signers(cx.members).is_ok();
        if !proven {
            return Merged::Invalid(Invalid::Certificate);
        }
        self.ahead.retain(|(other, _)| other.member != from.member);
        self.ahead.push((from, state));
        Merged::News
    }

    /// The latest entry that waits to be verified.
    pub fn latest_ahead(&self) -> Option<&Certificate> {
        let (_, state) = self.ahead.iter().max_by_key(|(_, state)| state.view)?;
        state
            .decision
            .as_ref()
            .map(|decision| &decision.certificate)
    }

    /// The latest entry that waits holds, or does not; its sender is named in that case. Where it does, those are named
    /// whose votes could not be taken in, to be asked again.
    pub fn settle_ahead(
        &mut self,
        cx: &Context<'_, S>,
        holds: bool,
    ) -> Result<Vec<MemberId>, MemberId> {
        let latest = (0..self.ahead.len()).max_by_key(|&index| self.ahead[index].1.view);
        let Some((from, mut state)) = latest.map(|index| self.ahead.swap_remove(index)) else {
            return Ok(Vec::new());
        };
        if !holds {
            return Err(from.member);
        }
        if let Some(Decision {
            certificate,
            value: Some(value),
        }) = state.decision.take()
            && certificate.view >= self.view()
        {
            self.enter(
                cx.members,
                Entry {
                    view: certificate.view,
                    value,
                    certificate,
                },
            );
        }
        let view = self.view();
        let mut incomplete = Vec::new();
        let waiting = std::mem::take(&mut self.ahead);
        for (from, state) in std::iter::once((from, state)).chain(waiting) {
            if state.view == view && self.merge(cx, from, state) == Merged::Incomplete {
                incomplete.push(from.member);
            }
        }
        Ok(incomplete)
    }

    /// These votes were verified and hold. They are dropped all the same where votes that must have come before them
    /// turned out to be false in the meantime: what is verified is an honest replica's state by itself. Returns whether they
    /// stay.
    pub fn confirm(&mut self, cx: &Context<'_, S>, ballot: &Ballot) -> bool {
        let Some(tally) = self.tallies.get(ballot) else {
            return true;
        };
        let mut votes: validity::Votes = self
            .verified()
            .filter(|(ballot, _)| ballot.phase == Phase::PreCommit)
            .collect();
        votes.insert(*ballot, tally.claimed().clone());
        let late = ballot.phase == Phase::PreCommit && ballot.round > 0;
        let holds = !late || self.is_valid(&votes, cx.members);
        if !holds {
            self.forget_unverified();
        } else if let Some(tally) = self.tallies.get_mut(ballot) {
            tally.confirm(cx.scheme);
        }
        holds
    }

    fn is_valid(&self, votes: &validity::Votes, members: &Members<S>) -> bool {
        let refused = |value: &Digest| {
            self.proposals
                .get(value)
                .is_some_and(|proposal| !proposal.allowed)
        };
        validity::check(votes, members.len(), members.quorum(), &refused).is_ok()
    }

    /// Drops all votes that are not known to hold, and values that nobody is known to have voted for.
    fn forget_unverified(&mut self) {
        self.tallies.retain(|_, tally| tally.forget_unverified());
        self.forget_unbacked();
    }

    /// All votes that are known to hold.
    fn verified(&self) -> impl Iterator<Item = (Ballot, Signers)> {
        let verified =
            |(&ballot, tally): (&Ballot, &Tally<S>)| Some((ballot, tally.verified()?.clone()));
        self.tallies.iter().filter_map(verified)
    }

    /// These votes do not hold as they are: drops a part of them that `holds` finds false. Where others rest on that, all that
    /// is not verified goes, for it may have come with what was bad.
    pub fn refute(
        &mut self,
        members: &Members<S>,
        ballot: &Ballot,
        holds: &mut Holds<'_, S::Point>,
    ) -> Refuted {
        let tally = self.tallies.get_mut(ballot);
        let culprit = tally.and_then(|tally| tally.drop_false(holds));
        let lost_others = self.tidy(members);
        Refuted {
            culprit,
            lost_others,
        }
    }

    /// Drops all that a neighbour passed on and does not answer for, or that as well. Returns whether there was anything.
    pub fn disown(&mut self, members: &Members<S>, member: MemberId, vouched: bool) -> bool {
        let mut is_less = false;
        for tally in self.tallies.values_mut() {
            is_less |= tally.disown(member, vouched);
        }
        if is_less {
            self.tidy(members);
        }
        is_less
    }

    /// Votes were dropped: drops what rested on them. Returns whether that took all others that are not verified along.
    fn tidy(&mut self, members: &Members<S>) -> bool {
        self.tallies
            .retain(|_, tally| tally.claimed().distinct() > 0);
        let claimed = |(&ballot, tally): (&Ballot, &Tally<S>)| (ballot, tally.claimed().clone());
        let lost_others = !self.is_valid(&self.tallies.iter().map(claimed).collect(), members);
        if lost_others {
            self.forget_unverified();
        } else {
            self.forget_unbacked();
        }
        lost_others
    }

    /// Drops values that nobody is said to have voted for.
    fn forget_unbacked(&mut self) {
        let backed: BTreeSet<_> = self.tallies.keys().map(|ballot| ballot.value).collect();
        self.proposals.retain(|digest, _| backed.contains(digest));
    }
}
