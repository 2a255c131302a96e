//! Agreement on one key: algorithm 1 of the paper, repaired.
//!
//! A key's values are decided one after the other, each in a *view* of its own. In a view, members vote in rounds:
//!
//! 1. **PRE-COMMIT.** In round 0 a member votes for its own proposal or for the winner among those it has heard of, in
//!    every later round for the winner as it sees it then: the value with most votes in round 0, ties broken by hash.
//!    n - f votes for one value in a round lead to the next phase; n - f votes without that lead to the next round.
//! 2. **COMMIT.** Who saw n - f votes for one value says so with a second vote. n - f of these are the certificate that
//!    decides the view.
//!
//! Nobody leads: the whole of this state is gossiped, and every replica does what it says as soon as it has seen enough.
//! The state only grows within a view, and a later view takes the place of an earlier one ([`merge`]).
//!
//! Where this deviates from algorithm 1:
//!
//! - **Locks.** As published, a member that voted to commit falls back when others begin a new round, and votes there for
//!   the winner of round 0. By then the winner may be another value, and two values get decided in one view, even
//!   without a Byzantine member. Here the value for which n - f votes were seen in the latest round wins before round 0
//!   is asked: `docs/beaufort/safety.md` has the counterexample and the argument.
//! - **Votes to commit stay** when a new round begins: with the lock they cannot contradict a later round's.
//! - **Lingering.** n - f votes that are split begin a new round at once only if no value can win this one any more;
//!   otherwise the replica waits for further votes for a while. Without that, one Byzantine vote that comes first could
//!   split every round.
//! - Votes for a value that access control refuses count for nothing.

mod merge;
#[cfg(test)]
mod safety;
mod step;
mod validity;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use merge::{Decision, Merged, State};
pub(crate) use step::Turn;
pub use validity::Invalid;

use crate::{
    Access, Certificate, Digest, MemberId, Members, Millis, Scheme, Signed, Signers, digest,
    sums::Sum,
    tally::{Source, Tally},
    vote::{Ballot, Phase, Scope},
};

/// A key's value, and the proof that it was decided.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Which of the key's views decided it; the first is 1.
    pub view: u64,
    /// The value, or nothing where the key was deleted.
    pub value: Option<Vec<u8>>,
    /// The votes that decided it.
    pub certificate: Certificate,
}

/// What decides for which value a member votes after round 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// The value of the latest round in which n - f votes for one value were seen, else the winner of round 0.
    #[default]
    Locked,
    /// The winner of round 0, as algorithm 1 says. Not safe: it is here to show that.
    #[cfg(any(test, feature = "simulation"))]
    AsPublished,
}

/// What an instance needs to know of its replica.
pub(crate) struct Context<'a, S: Scheme> {
    pub scheme: &'a S,
    pub members: &'a Members<S>,
    pub me: MemberId,
    pub secret: &'a S::SecretKey,
    /// Members whose votes count for nothing.
    pub excluded: &'a BTreeSet<MemberId>,
    pub access: &'a dyn Access,
    pub now: Millis,
    /// How long a split round waits for further votes, at first.
    pub linger: Millis,
    pub rule: Rule,
    /// Nobody else knows it: what the length of waiting is drawn from.
    pub seed: &'a [u8; 32],
}

/// A value that somebody proposed in this view.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub value: Option<Vec<u8>>,
    /// What access control said.
    pub allowed: bool,
}

/// One key's agreement.
pub(crate) struct Instance<S: Scheme> {
    key: Vec<u8>,
    /// What the last view decided.
    entry: Option<Entry>,
    scope: Scope,
    proposals: BTreeMap<Digest, Proposal>,
    tallies: BTreeMap<Ballot, Tally<S>>,
    /// What neighbours sent that are in later views, until the entries that it begins with are verified.
    ahead: Vec<(Source, State)>,
    /// The round in which this replica votes.
    round: u32,
    /// The round that is split, and since when.
    split: Option<(u32, Millis)>,
    /// How many votes this replica has cast for the key.
    cast: u64,
}

impl<S: Scheme> Clone for Instance<S> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            entry: self.entry.clone(),
            scope: self.scope,
            proposals: self.proposals.clone(),
            tallies: self.tallies.clone(),
            ahead: self.ahead.clone(),
            round: self.round,
            split: self.split,
            cast: self.cast,
        }
    }
}

impl<S: Scheme> Instance<S> {
    /// A key of which nothing is known.
    pub fn new(members: &Members<S>, key: &[u8]) -> Self {
        Self {
            key: key.into(),
            entry: None,
            scope: Scope::new(&members.network(), key, 1),
            proposals: BTreeMap::new(),
            tallies: BTreeMap::new(),
            ahead: Vec::new(),
            round: 0,
            split: None,
            cast: 0,
        }
    }

    /// A key of which this replica itself kept what it had verified; nothing where that is damaged.
    pub fn restored(cx: &Context<'_, S>, key: &[u8], state: State) -> Option<Self> {
        let mut instance = Self::new(cx.members, key);
        if let Some(Decision { certificate, value }) = state.decision {
            instance.enter(
                cx.members,
                Entry {
                    view: certificate.view,
                    value: value?,
                    certificate,
                },
            );
        }
        for value in state.proposals {
            instance.learn(cx, digest::value(value.as_deref()), value);
        }
        for Signed {
            ballot,
            signers,
            signature,
        } in state.votes
        {
            if signers.contains(cx.me) {
                instance.round = instance.round.max(ballot.round);
            }
            if !signers.is_joinable() {
                return None;
            }
            let sum = Sum {
                point: cx.scheme.decode(&signature)?,
                signers,
            };
            let tally = instance
                .tallies
                .entry(ballot)
                .or_insert_with(|| Tally::new(cx.members.len()));
            tally.add(cx.scheme, &sum);
        }
        Some(instance)
    }

    /// What is agreed on.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The view that is to be decided.
    pub fn view(&self) -> u64 {
        self.entry.as_ref().map_or(1, |entry| entry.view + 1)
    }

    /// What was decided last.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Whether nothing is known of the key: what was said of it turned out to be false.
    pub fn is_empty(&self) -> bool {
        self.entry.is_none() && self.tallies.is_empty() && self.ahead.is_empty()
    }

    /// Whether anybody has proposed anything in this view.
    pub fn is_open(&self) -> bool {
        !self.tallies.is_empty()
    }

    /// What was proposed in this view and arrived here.
    pub fn proposals(&self) -> &BTreeMap<Digest, Proposal> {
        &self.proposals
    }

    /// The value of this view, or of the one before, that is meant, if there is one and no other.
    pub fn find(&self, view: u64, is_meant: impl Fn(&Digest) -> bool) -> Option<Digest> {
        if view.checked_add(1) == Some(self.view()) {
            let decided = self.entry.as_ref()?.certificate.value;
            return is_meant(&decided).then_some(decided);
        }
        let mut found = self.proposals.keys().filter(|digest| is_meant(digest));
        let first = found.next().filter(|_| view == self.view())?;
        found.next().is_none().then_some(*first)
    }

    /// All votes, by what they are for.
    pub fn tallies(&self) -> &BTreeMap<Ballot, Tally<S>> {
        &self.tallies
    }

    /// All votes, to be added up or verified.
    pub fn tallies_mut(&mut self) -> &mut BTreeMap<Ballot, Tally<S>> {
        &mut self.tallies
    }

    /// The votes of which not all are verified.
    pub fn unverified(&self) -> impl Iterator<Item = Ballot> {
        self.tallies
            .iter()
            .filter(|(_, tally)| !tally.is_verified())
            .map(|(ballot, _)| *ballot)
    }

    /// How many votes this replica has cast: what must not be forgotten.
    pub fn cast(&self) -> u64 {
        self.cast
    }

    /// What this view's votes sign.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Proposes a value, unless this replica has voted in this view already. Returns whether it did.
    pub fn propose(&mut self, cx: &Context<'_, S>, value: Option<Vec<u8>>) -> bool {
        if self.has_voted(cx.me, 0, Phase::PreCommit) {
            return false;
        }
        let digest = digest::value(value.as_deref());
        self.learn(cx, digest, value);
        self.vote(
            cx,
            Ballot {
                round: 0,
                phase: Phase::PreCommit,
                value: digest,
            },
        );
        true
    }

    /// Keeps a proposed value with what access control says of it.
    fn learn(&mut self, cx: &Context<'_, S>, digest: Digest, value: Option<Vec<u8>>) {
        if !self.proposals.contains_key(&digest) {
            let old = self.entry.as_ref().and_then(|entry| entry.value.as_deref());
            let allowed = cx.access.allows(&self.key, old, value.as_deref());
            self.proposals.insert(digest, Proposal { value, allowed });
        }
    }

    fn vote(&mut self, cx: &Context<'_, S>, ballot: Ballot) {
        self.cast += 1;
        let n = cx.members.len();
        let point = cx.scheme.sign(cx.secret, &self.scope.message(&ballot));
        let sum = Sum {
            signers: Signers::one(n, cx.me),
            point,
        };
        self.tallies
            .entry(ballot)
            .or_insert_with(|| Tally::new(n))
            .add(cx.scheme, &sum);
    }

    fn has_voted(&self, me: MemberId, round: u32, phase: Phase) -> bool {
        self.ballots(round, phase)
            .any(|(_, tally)| tally.verified().is_some_and(|signers| signers.contains(me)))
    }

    /// The votes of one round and phase.
    fn ballots(&self, round: u32, phase: Phase) -> impl Iterator<Item = (&Ballot, &Tally<S>)> {
        let at = |value| Ballot {
            round,
            phase,
            value,
        };
        self.tallies.range(at([0; 32])..=at([0xff; 32]))
    }

    /// Everybody who is said to have voted in a round and phase.
    fn voters(&self, n: usize, round: u32, phase: Phase) -> Signers {
        let mut all = Signers::none(n);
        for (_, tally) in self.ballots(round, phase) {
            all.unite(tally.claimed());
        }
        all
    }

    /// Moves to the view after the one that this entry decided.
    fn enter(&mut self, members: &Members<S>, entry: Entry) {
        assert!(entry.view >= self.view(), "a key's views only go forward");
        self.entry = Some(entry);
        self.scope = Scope::new(&members.network(), &self.key, self.view());
        self.proposals.clear();
        self.tallies.clear();
        self.round = 0;
        self.split = None;
    }
}
