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
}

/// A neighbour.
pub(super) struct Peer {
    pub keys: BTreeMap<Vec<u8>, Known>,
    /// When it last sent anything that was new here.
    pub useful: Millis,
}

impl Peer {
    pub fn new(now: Millis) -> Self {
        Self {
            keys: BTreeMap::new(),
            useful: now,
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

    /// It has what this state says.
    pub fn note(&mut self, state: &State) {
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

    /// What to tell the neighbour of a key, if anything, and whether all of it was verified. It is then known to have
    /// that.
    pub fn news<S: Scheme>(
        &mut self,
        now: Millis,
        scheme: &S,
        members: &Members<S>,
        instance: &mut Instance<S>,
    ) -> Option<(State, bool)> {
        if !self.is_behind(members, instance) {
            return None;
        }
        let view = instance.view();
        let mut decision = if self.view < view {
            instance.decision()
        } else {
            None
        };
        if let Some(Decision { certificate, value }) = &mut decision
            && self.view == certificate.view
            && self.values.contains(&certificate.value)
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
        let mut vouched = true;
        let mut votes = Vec::new();
        for (&ballot, tally) in instance.tallies_mut() {
            if self.lacks(&ballot, tally.claimed(), members.quorum()) {
                vouched &= tally.is_verified();
                let known = self.votes.get(&ballot);
                let sums = tally.total(scheme);
                let new =
                    sums.filter(|(signers, _)| known.is_none_or(|known| signers.exceeds(known)));
                votes.extend(new.map(|(signers, signature)| Signed {
                    ballot,
                    signers: signers.clone(),
                    signature,
                }));
            }
        }
        let state = State {
            view,
            whole,
            decision,
            proposals,
            votes,
        };
        self.note(&state);
        self.told = Some(now);
        Some((state, vouched))
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
