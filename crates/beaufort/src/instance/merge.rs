//! Taking in what a neighbour knows.
//!
//! The state of a key is a CRDT: votes are sets that only grow, and a later view takes the place of an earlier one once
//! its entry's certificate has been verified. Nothing is merged that cannot be an honest replica's state.

use std::collections::BTreeSet;

use super::{Context, Entry, Instance, Invalid, validity};
use crate::{
    Certificate, MemberId, Members, Scheme, digest,
    evidence::Signed,
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
    /// It cannot be understood without what its sender left out.
    Incomplete,
    /// No honest replica says this.
    Invalid(Invalid),
}

/// The most values a view may have votes for, for each member: an honest one votes for one in each round.
const BALLOTS_PER_MEMBER: usize = 4;

impl<S: Scheme> Instance<S> {
    /// Merges what a neighbour sent.
    pub fn merge(&mut self, cx: &Context<'_, S>, from: Source, state: State) -> Merged {
        if state.view < self.view() {
            return Merged::Known;
        }
        if state.view > self.view() {
            return self.keep_ahead(cx, from, state);
        }
        let (n, quorum) = (cx.members.len(), cx.members.quorum());
        let mut votes = validity::Votes::new();
        for vote in &state.votes {
            if vote.signers.members() != n {
                return Merged::Invalid(Invalid::OtherMembers);
            }
            votes
                .entry(vote.ballot)
                .or_insert_with(|| vote.signers.clone())
                .unite(&vote.signers);
        }
        if state.whole {
            if let Err(invalid) = validity::check(&votes, n, quorum) {
                return Merged::Invalid(invalid);
            }
        } else {
            for (&ballot, tally) in self.tallies() {
                votes
                    .entry(ballot)
                    .or_insert_with(|| tally.claimed().clone())
                    .unite(tally.claimed());
            }
            if validity::check(&votes, n, quorum).is_err() {
                return Merged::Incomplete;
            }
        }
        self.add_votes(cx, from, state)
    }

    fn add_votes(&mut self, cx: &Context<'_, S>, from: Source, state: State) -> Merged {
        let mut news = false;
        for Signed {
            ballot,
            signers,
            signature,
        } in state.votes
        {
            let is_new = !self.tallies.contains_key(&ballot);
            let counts = signers
                .iter()
                .any(|(member, _)| !cx.excluded.contains(&member));
            if is_new && (!counts || self.tallies.len() >= BALLOTS_PER_MEMBER * cx.members.len()) {
                continue;
            }
            let tally = self
                .tallies
                .entry(ballot)
                .or_insert_with(|| Tally::new(cx.members.len()));
            news |= tally.merge(from, &signers, signature);
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

    /// The latest entry that waits holds, or does not; its sender is named in that case.
    pub fn settle_ahead(&mut self, cx: &Context<'_, S>, holds: bool) -> Result<(), MemberId> {
        let latest = (0..self.ahead.len()).max_by_key(|&index| self.ahead[index].1.view);
        let Some((from, mut state)) = latest.map(|index| self.ahead.swap_remove(index)) else {
            return Ok(());
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
        self.merge(cx, from, state);
        for (from, state) in std::mem::take(&mut self.ahead) {
            if state.view == view {
                self.merge(cx, from, state);
            }
        }
        Ok(())
    }

    /// These votes were verified and hold.
    pub fn confirm(&mut self, cx: &Context<'_, S>, ballot: &Ballot) {
        if let Some(tally) = self.tallies.get_mut(ballot) {
            tally.confirm(cx.scheme);
        }
    }

    /// These votes do not hold as they are: what `holds` finds good is kept of them. Everything else that is not
    /// verified goes too, for it may have come with what was bad. Returns from whom the bad votes came.
    pub fn refute(
        &mut self,
        scheme: &S,
        members: &Members<S>,
        ballot: &Ballot,
        holds: &mut dyn FnMut(&crate::Signers, &S::Point) -> bool,
    ) -> Vec<Source> {
        let mut culprits = Vec::new();
        if let Some(tally) = self.tallies.get_mut(ballot) {
            let before = tally.clone();
            culprits = tally.sift(scheme, holds);
            let votes: validity::Votes = self
                .tallies
                .iter()
                .filter_map(|(&ballot, tally)| Some((ballot, tally.verified()?.clone())))
                .collect();
            if validity::check(&votes, members.len(), members.quorum()).is_err() {
                self.tallies.insert(*ballot, before);
            }
        }
        self.tallies.retain(|_, tally| tally.forget_unverified());
        let backed: BTreeSet<_> = self.tallies.keys().map(|ballot| ballot.value).collect();
        self.proposals.retain(|digest, _| backed.contains(digest));
        culprits
    }
}
