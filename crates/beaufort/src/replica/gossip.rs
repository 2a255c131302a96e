//! Telling neighbours what is new to them.
//!
//! What is new reaches the others in three ways:
//!
//! - **Milestones at once.** A proposal that was not known, n - f votes for a value, a decision: each goes to a few
//!   neighbours, drawn at random, without delay; this replica's own proposals go to all.
//! - **Votes in rounds.** Every [`Settings::interval`](crate::Settings::interval) a neighbour or a few, drawn anew, get
//!   what was added up since, as far as it is worth a message. The others get it later with what arrived in between, or
//!   have it from elsewhere by then.
//! - **Views by name.** Whoever may not have heard of a decision after a while is told the key and its view only, and
//!   asks for the rest if need be. A replica that hears nothing more of a view names it, too, and is told if others are
//!   further.

use std::collections::BTreeSet;

use rand_chacha::rand_core::Rng;

use super::{Exclusion, Output, Replica};
use crate::{
    Digest, MemberId, Millis, Scheme,
    evidence::Signed,
    instance::{Decision, Instance, Merged, State},
    tally::Source,
    vote::Phase,
    wire::{self, KeyState, MAX_KEY, MAX_MESSAGE, Message},
};

/// Bytes of states that go into one message, before the last of them.
const BATCH: usize = 48 * 1024;

/// The most keys whose whole state a neighbour may ask for at a time, or be told the names of.
const MAX_NAMED: usize = 512;

/// How often views are told by name, in milliseconds.
const NAMING: Millis = 1_000;

/// How long after the last change of a key it is taken to be stuck, in milliseconds.
const STUCK: Millis = 400;

/// How far a key has come.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    view: u64,
    step: Step,
    /// When it came there.
    since: Millis,
    /// When anything changed, or a neighbour was asked about it.
    changed: Millis,
}

/// Where in a view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Begun,
    Proposed,
    Prepared,
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
                peer.of(&key).note(&state);
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
                Merged::Known if instance.is_empty() => self.drop_key(&key),
                Merged::Known => {}
                Merged::News => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.useful = now;
                    }
                    self.touch(&key);
                }
                Merged::Incomplete => {
                    if instance.is_empty() {
                        self.drop_key(&key);
                    }
                    wanted.push(key);
                }
                Merged::Invalid(invalid) => return self.exclude(from, Exclusion::Invalid(invalid)),
            }
        }
        if !wanted.is_empty() {
            self.send(from, &Message::Want(wanted));
        }
    }

    /// A neighbour asks for all that is known of some keys.
    pub(super) fn receive_want(&mut self, now: Millis, from: MemberId, keys: Vec<Vec<u8>>) {
        let known = |key: &Vec<u8>| self.instances.contains_key(key);
        let keys: BTreeSet<_> = keys.into_iter().take(MAX_NAMED).filter(known).collect();
        for key in &keys {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.forget(key);
            }
            if self.instances[key].is_open() {
                // Something of it may have been false: it is verified first.
                self.careful.insert(key.clone());
            }
            self.touch(key);
        }
        self.decide(now);
        self.tell(now, from, &keys);
    }

    /// A neighbour says in which views it is.
    pub(super) fn receive_views(
        &mut self,
        now: Millis,
        from: MemberId,
        views: Vec<(Vec<u8>, u64)>,
    ) {
        let (mut wanted, mut behind) = (Vec::new(), BTreeSet::new());
        for (key, view) in views
            .into_iter()
            .take(MAX_NAMED)
            .filter(|(key, _)| key.len() <= MAX_KEY)
        {
            let mine = self.instances.get(&key).map_or(1, Instance::view);
            let Some(peer) = self.peers.get_mut(&from) else {
                return;
            };
            if view > mine {
                wanted.push(key);
            } else if view == mine {
                if self.instances.contains_key(&key) {
                    peer.of(&key).enter(view);
                }
            } else {
                peer.forget(&key);
                behind.insert(key);
            }
        }
        self.tell(now, from, &behind);
        if !wanted.is_empty() {
            self.send(from, &Message::Want(wanted));
        }
    }

    /// Notes that a key changed.
    pub(super) fn touch(&mut self, key: &[u8]) {
        for keys in [
            &mut self.dirty,
            &mut self.hot,
            &mut self.stale,
            &mut self.fresh,
        ] {
            if !keys.contains(key) {
                keys.insert(key.into());
            }
        }
    }

    /// Tells neighbours what it is time to tell them.
    pub(super) fn gossip(&mut self, now: Millis) {
        if self.peers.is_empty() {
            return;
        }
        self.tell_milestones(now);
        if now >= self.next_round && !self.hot.is_empty() {
            self.next_round = now + self.settings.interval;
            self.tell_votes(now);
            self.cool();
        }
        if now >= self.next_naming {
            self.next_naming = now + NAMING;
            self.name_decisions(now);
        }
        self.ask(now);
    }

    /// What has just come a step further goes to a few neighbours at once.
    fn tell_milestones(&mut self, now: Millis) {
        let mut reached = BTreeSet::new();
        for key in std::mem::take(&mut self.fresh) {
            let Some(instance) = self.instances.get(&key) else {
                continue;
            };
            let (view, step) = (instance.view(), step(instance, self.members.quorum()));
            let new = Stage {
                view: 0,
                step,
                since: now,
                changed: now,
            };
            let stage = self.stages.entry(key.clone()).or_insert(new);
            stage.changed = now;
            if (view, step) > (stage.view, stage.step) {
                (stage.view, stage.step, stage.since) = (view, step, now);
                reached.insert(key);
            }
        }
        let own = std::mem::take(&mut self.announced);
        for (index, member) in self.shuffled_peers().into_iter().enumerate() {
            let keys = if index < self.settings.burst {
                &reached
            } else {
                &own
            };
            self.tell(now, member, keys);
        }
    }

    /// Votes go to neighbours drawn at random, as far as they are worth it.
    fn tell_votes(&mut self, now: Millis) {
        let mut left = self.settings.fanout;
        for member in self.shuffled_peers() {
            if left == 0 {
                break;
            }
            let Some(peer) = self.peers.get(&member) else {
                continue;
            };
            let worth = |key: &&Vec<u8>| {
                let instance = self
                    .instances
                    .get(*key)
                    .filter(|instance| instance.is_open());
                instance.is_some_and(|instance| match peer.keys.get(*key) {
                    Some(known) => known.is_worth(now, &self.members, instance),
                    None => true,
                })
            };
            let keys: BTreeSet<_> = self.hot.iter().filter(worth).cloned().collect();
            if !keys.is_empty() {
                self.tell(now, member, &keys);
                left -= 1;
            }
        }
    }

    /// Names decisions to all who may not have heard of them.
    fn name_decisions(&mut self, now: Millis) {
        let mut messages = Vec::new();
        for (&member, peer) in &mut self.peers {
            let mut views = Vec::new();
            for key in &self.hot {
                let Some(instance) = self
                    .instances
                    .get(key)
                    .filter(|instance| !instance.is_open())
                else {
                    continue;
                };
                let settled = self
                    .stages
                    .get(key)
                    .is_none_or(|stage| now >= stage.since + STUCK);
                let known = peer.of(key);
                if settled && known.view() < instance.view() && views.len() < MAX_NAMED {
                    known.enter(instance.view());
                    views.push((key.clone(), instance.view()));
                }
            }
            if !views.is_empty() {
                messages.push((member, Message::Views(views)));
            }
        }
        for (member, message) in messages {
            self.send(member, &message);
        }
        self.cool();
    }

    /// Asks a neighbour about views of which nothing was heard for a while.
    fn ask(&mut self, now: Millis) {
        let mut views = Vec::new();
        for (key, stage) in &mut self.stages {
            let open = self
                .instances
                .get(key)
                .filter(|instance| instance.is_open());
            if now >= stage.changed + STUCK
                && views.len() < MAX_NAMED
                && let Some(instance) = open
            {
                stage.changed = now;
                views.push((key.clone(), instance.view()));
            }
        }
        if !views.is_empty()
            && let Some(&member) = self.shuffled_peers().first()
        {
            self.send(member, &Message::Views(views));
        }
    }

    /// Sends a neighbour what is new to it of some keys.
    pub(super) fn tell(&mut self, now: Millis, to: MemberId, keys: &BTreeSet<Vec<u8>>) {
        // What this replica voted must not be forgotten once others know it.
        self.save();
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let mut messages = Vec::new();
        let (mut batch, mut size) = (Vec::new(), 0);
        for key in keys {
            let Some(instance) = self.instances.get_mut(key) else {
                continue;
            };
            let known = peer.of(key);
            let Some((state, vouched)) = known.news(now, &self.scheme, &self.members, instance)
            else {
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
        for states in messages {
            self.send(to, &Message::States(states));
        }
    }

    /// Lets go of keys of which every neighbour knows everything.
    fn cool(&mut self) {
        let (peers, instances, members, stages) = (
            &self.peers,
            &self.instances,
            &self.members,
            &mut self.stages,
        );
        self.hot.retain(|key| {
            let behind = instances.get(key).is_some_and(|instance| {
                instance.is_open()
                    || peers
                        .values()
                        .any(|peer| peer.is_behind(members, key, instance))
            });
            if !behind {
                stages.remove(key);
            }
            behind
        });
    }

    fn shuffled_peers(&mut self) -> Vec<MemberId> {
        let mut peers: Vec<_> = self.peers.keys().copied().collect();
        for last in (1..peers.len()).rev() {
            peers.swap(last, self.random.next_u64() as usize % (last + 1));
        }
        peers
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
        // Only a view with many of the longest values at once comes to that. It waits until one of them is decided.
        if bytes.len() <= MAX_MESSAGE {
            self.outputs.push(Output::Send { to, bytes });
        }
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
    let decided =
        |decision: &Decision| 128 + decision.value.iter().flatten().map(Vec::len).sum::<usize>();
    let entry = state.decision.as_ref().map_or(0, decided);
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

fn step<S: Scheme>(instance: &Instance<S>, quorum: usize) -> Step {
    let full = |tally: &crate::tally::Tally<S>| {
        tally
            .verified()
            .is_some_and(|signers| signers.distinct() >= quorum)
    };
    if instance.tallies().values().any(full) {
        Step::Prepared
    } else if instance.proposals().is_empty() {
        Step::Begun
    } else {
        Step::Proposed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Members, Settings,
        bls::{Bls, SecretKey},
    };

    const NEIGHBOUR: MemberId = MemberId(1);

    fn replica() -> Replica<Bls> {
        let mut secrets: Vec<_> = (0..4)
            .map(|seed| SecretKey::from_seed(&[seed; 32]))
            .collect();
        secrets.sort_by(|one, other| one.public().cmp(other.public()));
        let members = Members::new(
            secrets
                .iter()
                .map(|secret| secret.public().clone())
                .collect(),
        )
        .unwrap();
        let access = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
        let (settings, secret) = (Settings::default(), secrets.remove(0));
        let mut replica = Replica::new(
            Bls,
            members,
            secret,
            settings,
            Box::new(access),
            [0; 32],
            [],
        )
        .unwrap();
        replica.connected(0, NEIGHBOUR);
        replica
    }

    /// A neighbour named keys that nobody had ever set, and each of them was kept.
    #[test]
    fn what_a_neighbour_says_of_unknown_keys_is_not_kept() {
        let mut replica = replica();
        let keys = || (0..100u8).map(|key| vec![key]);
        let views = Message::Views(keys().map(|key| (key, 1)).collect());
        replica.receive(0, NEIGHBOUR, &wire::encode(&views));
        // Votes for a value that was never sent cannot be understood.
        let ballot = crate::Ballot {
            round: 0,
            phase: Phase::PreCommit,
            value: [7; 32],
        };
        let signers = crate::Signers::one(4, NEIGHBOUR);
        let vote = Signed {
            ballot,
            signers,
            signature: crate::Signature([0; 48]),
        };
        let state = State {
            view: 1,
            votes: vec![vote],
            ..State::default()
        };
        let states = Message::States(
            keys()
                .map(|key| KeyState::new(&key, state.clone(), false))
                .collect(),
        );
        replica.receive(0, NEIGHBOUR, &wire::encode(&states));
        assert!(
            replica.excluded.is_empty(),
            "an honest replica may send that"
        );
        assert!(replica.instances.is_empty());
        assert!(replica.peers[&NEIGHBOUR].keys.is_empty());
    }

    /// Between its turns a cautious replica does nothing, but said that it was to be polled again at once: its driver
    /// kept a processor busy.
    #[test]
    fn a_cautious_replica_is_not_to_be_polled_before_its_turn() {
        let mut replica = replica();
        replica.set(0, b"key", b"value".to_vec()).unwrap();
        replica.cautious_until = Some(10_000);
        for now in 0..90 {
            replica.poll(now);
        }
        assert!(
            replica.next_wake().unwrap() >= 100,
            "{:?}",
            replica.next_wake()
        );
    }
}
