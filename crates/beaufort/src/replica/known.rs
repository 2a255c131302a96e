//! What a neighbour is known to have of each key: what it told, and what it was told.
//!
//! Channels are ordered and lose nothing while they last, so that what was sent need not be sent again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Digest, Members, Millis, Scheme, Signers, digest,
    evidence::Signed,
    instance::{Decision, Instance, State},
    tally::Tally,
    vote::Ballot,
    wire::{KeyState, Salt},
};

/// How long a neighbour is not told little news of a key, in milliseconds.
const PATIENCE: Millis = 400;

/// What a neighbour is known to have of a key.
#[derive(Default)]
pub(super) struct Known {
    view: u64,
    /// When it was last told anything of the key.
    told: Option<Millis>,
    votes: BTreeMap<Ballot, Signers>,
    values: BTreeSet<Digest>,
    /// Whether it sends its votes in this view here.
    is_child: bool,
}

/// A neighbour.
pub(super) struct Peer {
    pub keys: BTreeMap<Vec<u8>, Known>,
    /// When it last sent anything that was new here.
    pub useful: Millis,
    /// What it names values with.
    pub salt: Salt,
    /// What it wants values to be named with, once it said so.
    pub its_salt: Option<Salt>,
}

impl Peer {
    pub fn new(now: Millis, salt: Salt) -> Self {
        Self {
            keys: BTreeMap::new(),
            useful: now,
            salt,
            its_salt: None,
        }
    }

    /// What it is known to have of a key.
    pub fn of(&mut self, key: &[u8]) -> &mut Known {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), Known::default());
        }
        self.keys.get_mut(key).expect("it was just put there")
    }

    /// Forgets what it is known to have of a key, so that it is sent all of it.
    pub fn forget(&mut self, key: &[u8]) {
        self.keys.remove(key);
    }

    /// Whether it lacks anything of a key.
    pub fn is_behind<S: Scheme>(
        &self,
        members: &Members<S>,
        key: &[u8],
        instance: &Instance<S>,
    ) -> bool {
        match self.keys.get(key) {
            Some(known) => known.is_behind(members, instance),
            None => instance.entry().is_some() || instance.is_open(),
        }
    }
}

impl Known {
    /// The view that it is in, or a later one.
    pub fn view(&self) -> u64 {
        self.view
    }

    /// It is in this view at least.
    pub fn enter(&mut self, view: u64) {
        if view > self.view {
            *self = Self {
                view,
                ..Self::default()
            };
        }
    }

    /// Whether it sends its votes in this view here: it heard of it from this replica first.
    pub fn is_child(&self) -> bool {
        self.is_child
    }

    /// Whether it has all values that were proposed.
    pub fn has_all<S: Scheme>(&self, instance: &Instance<S>) -> bool {
        self.view == instance.view() && !self.lacks_value(instance)
    }

    /// Whether it lacks the n - f votes that are verified for a value.
    pub fn waits<S: Scheme>(&self, members: &Members<S>, instance: &Instance<S>) -> bool {
        let quorum = members.quorum();
        let full = |signers: Option<&Signers>| signers.is_some_and(|it| it.distinct() >= quorum);
        let lacks = |(ballot, tally): (&Ballot, &Tally<S>)| {
            full(tally.verified()) && !full(self.votes.get(ballot))
        };
        self.view == instance.view() && instance.tallies().iter().any(lacks)
    }

    /// Whether it may be told again of a key in rounds of this interval.
    pub fn is_due(&self, now: Millis, interval: Millis) -> bool {
        self.told.is_none_or(|told| now >= told + interval)
    }

    /// It sent this.
    pub fn heard(&mut self, state: &State) {
        self.note(state);
        // Who passes a value on sends it; who answers for its own votes has the value from here.
        let answers = state.proposals.is_empty() && !state.votes.is_empty();
        self.is_child |= answers && state.view == self.view;
    }

    /// It has what this state says.
    fn note(&mut self, state: &State) {
        self.enter(state.view);
        if self.view == state.view {
            for Signed {
                ballot, signers, ..
            } in &state.votes
            {
                match self.votes.get_mut(ballot) {
                    Some(known) => known.unite(signers),
                    None => _ = self.votes.insert(*ballot, signers.clone()),
                }
            }
            self.values.extend(
                state
                    .proposals
                    .iter()
                    .map(|value| digest::value(value.as_deref())),
            );
        }
    }

    /// What to tell the neighbour of a key, if anything. It is then known to have that. Of what is only proposed it is told
    /// nothing that was not verified, if that says anything.
    pub fn news<S: Scheme>(
        &mut self,
        now: Millis,
        scheme: &S,
        members: &Members<S>,
        instance: &mut Instance<S>,
        is_proposed: bool,
        salt: Option<&Salt>,
    ) -> Option<KeyState> {
        if !self.is_behind(members, instance) {
            return None;
        }
        let (before, had) = (self.view, self.values.clone());
        let has = |view, digest: &Digest| view == before && had.contains(digest);
        let view = instance.view();
        let mut decision = instance.decision().filter(|_| before < view);
        if let Some(Decision { certificate, value }) = &mut decision
            && has(certificate.view, &certificate.value)
        {
            *value = None;
        }
        self.enter(view);
        let whole = self.votes.is_empty();
        let unknown = instance
            .proposals()
            .iter()
            .filter(|(digest, _)| !self.values.contains(*digest));
        let proposals: Vec<_> = unknown
            .map(|(_, proposal)| proposal.value.clone())
            .collect();
        let mut votes =
            |is_proposed| self.new_votes(scheme, members.quorum(), instance, is_proposed);
        let (votes, vouched) = match votes(is_proposed) {
            (none, _) if none.is_empty() && is_proposed => votes(false),
            votes => votes,
        };
        let state = State {
            view,
            whole,
            decision,
            proposals,
            votes,
        };
        self.note(&state);
        self.told = Some(now);
        let mut state = KeyState::new(instance.key(), state, vouched);
        if let Some(salt) = salt {
            state.shorten(salt, has);
        }
        Some(state)
    }

    /// The votes that the neighbour lacks, and whether all of them are verified: all that there are for a value with
    /// n - f of them, or to begin with, and else only what is new.
    fn new_votes<S: Scheme>(
        &self,
        scheme: &S,
        quorum: usize,
        instance: &mut Instance<S>,
        is_proposed: bool,
    ) -> (Vec<Signed>, bool) {
        let (mut votes, mut vouched) = (Vec::new(), true);
        for (&ballot, tally) in instance.tallies_mut() {
            if !self.lacks(&ballot, tally.claimed(), quorum) {
                continue;
            }
            let known = self.votes.get(&ballot);
            let is_verified_only = is_proposed && known.is_none();
            vouched &= is_verified_only || tally.is_verified();
            let sums = match known {
                None if is_verified_only => tally.kept(scheme).collect(),
                Some(known) if tally.claimed().distinct() < quorum => tally.news(scheme, known),
                known => {
                    let is_new =
                        |signers: &Signers| known.is_none_or(|known| signers.exceeds(known));
                    let sums = tally.total(scheme).filter(|(signers, _)| is_new(signers));
                    sums.map(|(signers, signature)| (signers.clone(), signature))
                        .collect()
                }
            };
            votes.extend(sums.into_iter().map(|(signers, signature)| Signed {
                ballot,
                signers,
                signature,
            }));
        }
        (votes, vouched)
    }

    /// Whether what the neighbour lacks of an open view is worth a message: at least half as many votes as it has, the
    /// last ones of n - f, or anything it was not told of for long.
    pub fn is_worth<S: Scheme>(
        &self,
        now: Millis,
        members: &Members<S>,
        instance: &Instance<S>,
    ) -> bool {
        if self.view != instance.view() {
            return self.view < instance.view();
        }
        let quorum = members.quorum();
        let is_late = self.told.is_none_or(|told| now >= told + PATIENCE);
        let worth = |(ballot, tally): (&Ballot, &Tally<S>)| {
            let known = self.votes.get(ballot);
            let has = known.map_or(0, Signers::distinct);
            let is_new = |member| known.is_none_or(|known| !known.contains(member));
            let more = tally
                .claimed()
                .iter()
                .filter(|&(member, _)| is_new(member))
                .count();
            has < quorum
                && more > 0
                && (2 * more >= has || tally.claimed().distinct() >= quorum || is_late)
        };
        instance.tallies().iter().any(worth) || self.lacks_value(instance)
    }

    /// Whether these votes would tell the neighbour anything. More than n - f it does not need.
    fn lacks(&self, ballot: &Ballot, claimed: &Signers, quorum: usize) -> bool {
        match self.votes.get(ballot) {
            Some(known) => known.distinct() < quorum && claimed.exceeds(known),
            None => claimed.distinct() > 0,
        }
    }

    fn lacks_value<S: Scheme>(&self, instance: &Instance<S>) -> bool {
        instance
            .proposals()
            .keys()
            .any(|digest| !self.values.contains(digest))
    }

    /// Whether the neighbour lacks anything of the key.
    pub fn is_behind<S: Scheme>(&self, members: &Members<S>, instance: &Instance<S>) -> bool {
        let view = instance.view();
        if self.view != view {
            return self.view < view && (instance.entry().is_some() || instance.is_open());
        }
        let lacks = |(ballot, tally): (&Ballot, &Tally<S>)| {
            self.lacks(ballot, tally.claimed(), members.quorum())
        };
        instance.tallies().iter().any(lacks) || self.lacks_value(instance)
    }
}
