//! Telling neighbours what is new to them.
//!
//! A replica keeps of each neighbour what it was told and what it told: channels are ordered and lose nothing while they
//! last, so that nothing need be sent twice. News are gathered for a moment and go to a few neighbours at a time, drawn
//! anew each time; the others get them later, added up with whatever else arrived, or have heard of them elsewhere by
//! then and need nothing. That keeps the traffic small and costs little time, for news reach everybody over many paths.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::Rng;

use super::{Exclusion, Output, Replica};
use crate::{
    Digest, MemberId, Members, Millis, Scheme, Signers,
    evidence::Signed,
    instance::{Instance, Merged, State},
    tally::Source,
    vote::{Ballot, Phase},
    wire::{self, KeyState, MAX_MESSAGE, Message},
};

/// Bytes of states that go into one message, before the last of them.
const BATCH: usize = 48 * 1024;

/// The most keys whose whole state a neighbour may ask for at a time.
const MAX_WANTED: usize = 1024;

/// What a neighbour is known to have of a key.
#[derive(Default)]
struct Known {
    view: u64,
    votes: BTreeMap<Ballot, Signers>,
    values: BTreeSet<Digest>,
}

/// A neighbour.
pub(super) struct Peer {
    keys: BTreeMap<Vec<u8>, Known>,
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

    /// Forgets what it is known to have of a key, so that it is sent all of it.
    pub fn forget(&mut self, key: &[u8]) {
        self.keys.remove(key);
    }
}

impl Known {
    fn enter(&mut self, view: u64) {
        if view > self.view {
            *self = Self {
                view,
                ..Self::default()
            };
        }
    }

    fn note(&mut self, state: &State) {
        self.enter(state.view);
        if self.view == state.view {
            for vote in &state.votes {
                self.add(vote.ballot, &vote.signers);
            }
            self.values.extend(
                state
                    .proposals
                    .iter()
                    .map(|value| crate::digest::value(value.as_deref())),
            );
        }
    }

    fn add(&mut self, ballot: Ballot, signers: &Signers) {
        match self.votes.get_mut(&ballot) {
            Some(known) if known.members() == signers.members() => known.unite(signers),
            _ => _ = self.votes.insert(ballot, signers.clone()),
        }
    }

    /// Whether these votes would tell the neighbour anything. More than n - f it does not need.
    fn lacks(&self, ballot: &Ballot, claimed: &Signers, quorum: usize) -> bool {
        match self.votes.get(ballot) {
            Some(known) => known.distinct() < quorum && claimed.exceeds(known),
            None => claimed.distinct() > 0,
        }
    }

    /// What to tell the neighbour of a key, if anything; it is then known to have that.
    fn news<S: Scheme>(
        &mut self,
        scheme: &S,
        members: &Members<S>,
        instance: &mut Instance<S>,
    ) -> Option<(State, bool)> {
        let view = instance.view();
        if self.view > view || !self.is_behind(members, instance) {
            return None;
        }
        let entry = if self.view < view {
            instance.entry().cloned()
        } else {
            None
        };
        self.enter(view);
        let whole = self.votes.is_empty();
        let known = |digest: &Digest| self.values.contains(digest);
        let proposals = instance
            .proposals()
            .iter()
            .filter(|(digest, _)| !known(digest));
        let proposals: Vec<_> = proposals
            .map(|(_, proposal)| proposal.value.clone())
            .collect();
        let mut vouched = true;
        let mut votes = Vec::new();
        for (&ballot, tally) in instance.tallies_mut() {
            if self.lacks(&ballot, tally.claimed(), members.quorum()) {
                vouched &= tally.is_verified();
                if let Some((signers, signature)) = tally.total(scheme) {
                    votes.push(Signed {
                        ballot,
                        signers: signers.clone(),
                        signature,
                    });
                }
            }
        }
        let state = State {
            view,
            whole,
            entry,
            proposals,
            votes,
        };
        self.note(&state);
        Some((state, vouched))
    }

    /// Whether the neighbour lacks anything of a key.
    fn is_behind<S: Scheme>(&self, members: &Members<S>, instance: &Instance<S>) -> bool {
        let view = instance.view();
        if self.view != view {
            return self.view < view && (instance.entry().is_some() || instance.is_open());
        }
        let lacks = |(ballot, tally): (&Ballot, &crate::tally::Tally<S>)| {
            self.lacks(ballot, tally.claimed(), members.quorum())
        };
        instance.tallies().iter().any(lacks)
            || instance
                .proposals()
                .keys()
                .any(|digest| !self.values.contains(digest))
    }
}

impl<S: Scheme> Replica<S> {
    /// States of keys came from a neighbour.
    pub(super) fn receive_states(&mut self, now: Millis, from: MemberId, states: Vec<KeyState>) {
        let mut wanted = Vec::new();
        for state in states {
            let vouched = state.vouched;
            let Ok((key, state)) = state.into_state() else {
                return self.exclude(from, Exclusion::Malformed);
            };
            let Some(peer) = self.peers.get_mut(&from) else {
                return;
            };
            if state
                .votes
                .iter()
                .all(|vote| vote.signers.members() == self.members.len())
            {
                peer.keys.entry(key.clone()).or_default().note(&state);
            }
            // What a member alone signed it answers for itself.
            let alone = |vote: &Signed| vote.signers.distinct() == 1 && vote.signers.contains(from);
            let source = Source {
                member: from,
                vouched: vouched || state.votes.iter().all(alone),
            };
            let (cx, instances) = self.split(now);
            let instance = instances
                .entry(key.clone())
                .or_insert_with(|| Instance::new(cx.members, &key));
            match instance.merge(&cx, source, state) {
                Merged::Known => {}
                Merged::News => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.useful = now;
                    }
                    self.touch(&key);
                }
                Merged::Incomplete => wanted.push(key),
                Merged::Invalid(invalid) => return self.exclude(from, Exclusion::Invalid(invalid)),
            }
        }
        if !wanted.is_empty() {
            self.send(from, &Message::Want(wanted));
        }
    }

    /// A neighbour asks for all that is known of some keys.
    pub(super) fn receive_want(&mut self, from: MemberId, keys: Vec<Vec<u8>>) {
        for key in keys.into_iter().take(MAX_WANTED) {
            if !self.instances.contains_key(&key) {
                continue;
            }
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.forget(&key);
            }
            self.careful.insert(key.clone());
            self.touch(&key);
        }
    }

    /// Notes that a key changed.
    pub(super) fn touch(&mut self, key: &[u8]) {
        for keys in [&mut self.dirty, &mut self.hot, &mut self.stale] {
            if !keys.contains(key) {
                keys.insert(key.into());
            }
        }
    }

    /// Sends news to some neighbours, once they were gathered for long enough.
    pub(super) fn flush(&mut self, now: Millis) {
        if now < self.next_flush || self.hot.is_empty() || self.peers.is_empty() {
            return;
        }
        self.next_flush = now + self.settings.interval;
        let mut to: Vec<_> = self.peers.keys().copied().collect();
        for last in (1..to.len()).rev() {
            to.swap(last, self.random.next_u64() as usize % (last + 1));
        }
        let mut sent = 0;
        for member in to {
            if sent == self.settings.fanout {
                break;
            }
            sent += usize::from(self.tell(member));
        }
        self.cool();
    }

    /// Sends a neighbour all that is new to it. Returns whether there was anything.
    pub(super) fn tell(&mut self, to: MemberId) -> bool {
        // What this replica voted must not be forgotten once others know it.
        self.save();
        let Some(peer) = self.peers.get_mut(&to) else {
            return false;
        };
        let mut messages = Vec::new();
        let (mut batch, mut size) = (Vec::new(), 0);
        for key in &self.hot {
            let Some(instance) = self.instances.get_mut(key) else {
                continue;
            };
            if !peer.keys.contains_key(key) {
                peer.keys.insert(key.clone(), Known::default());
            }
            let known = peer.keys.get_mut(key).expect("it was just put there");
            let Some((state, vouched)) = known.news(&self.scheme, &self.members, instance) else {
                continue;
            };
            size += weight(key, &state);
            batch.push(KeyState::new(key, state, vouched));
            if size > BATCH {
                messages.push(std::mem::take(&mut batch));
                size = 0;
            }
        }
        messages.extend((!batch.is_empty()).then_some(batch));
        let any = !messages.is_empty();
        for states in messages {
            self.send(to, &Message::States(states));
        }
        any
    }

    /// Lets go of keys of which every neighbour knows everything.
    fn cool(&mut self) {
        let (peers, instances, members) = (&self.peers, &self.instances, &self.members);
        self.hot.retain(|key| {
            instances.get(key).is_some_and(|instance| {
                let behind = |peer: &Peer| match peer.keys.get(key) {
                    Some(known) => known.is_behind(members, instance),
                    None => Known::default().is_behind(members, instance),
                };
                peers.values().any(behind)
            })
        });
    }

    /// Tells every neighbour again all that is verified of a key, and asks them for what they have: what was exchanged
    /// before was not all true.
    pub(super) fn start_over(&mut self, key: &[u8]) {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for member in peers {
            self.want(member, key);
        }
        self.touch(key);
    }

    /// Asks a neighbour for all that it knows of a key, once it has verified that.
    pub(super) fn want(&mut self, from: MemberId, key: &[u8]) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.forget(key);
            self.send(from, &Message::Want(vec![key.into()]));
        }
    }

    pub(super) fn send(&mut self, to: MemberId, message: &Message) {
        let bytes = wire::encode(message);
        assert!(
            bytes.len() <= MAX_MESSAGE,
            "a message to a neighbour is cut to size before it is encoded"
        );
        self.outputs.push(Output::Send { to, bytes });
    }

    pub(super) fn broadcast(&mut self, message: &Message) {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for member in peers {
            self.send(member, message);
        }
    }
}

/// About how many bytes a state takes.
fn weight(key: &[u8], state: &State) -> usize {
    let values = state
        .proposals
        .iter()
        .flatten()
        .map(|value| value.len() + 8)
        .sum::<usize>();
    let entry = state
        .entry
        .as_ref()
        .map_or(0, |entry| 128 + entry.value.as_ref().map_or(0, Vec::len));
    let votes: usize = state
        .votes
        .iter()
        .map(|vote| 96 + vote.signers.members())
        .sum();
    key.len() + values + entry + votes + 16
}

/// What stands for a key's state in the tree: the same wherever the same is known.
pub(super) fn state_digest<S: Scheme>(instance: &Instance<S>) -> Digest {
    let mut bytes = instance.view().to_le_bytes().to_vec();
    if let Some(entry) = instance.entry() {
        bytes.extend(entry.certificate.value);
    }
    for (ballot, tally) in instance.tallies() {
        bytes.extend(ballot.round.to_le_bytes());
        bytes.push(u8::from(ballot.phase == Phase::Commit));
        bytes.extend(ballot.value);
        bytes.extend(
            tally
                .claimed()
                .iter()
                .flat_map(|(member, _)| member.0.to_le_bytes()),
        );
        bytes.extend([0xff; 2]);
    }
    crate::digest::hash("beaufort 2026 state", &[&bytes])
}
