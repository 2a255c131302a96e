//! What replicas tell each other of their keys: taking it in, and sending what is new to a neighbour.
//!
//! When, and to whom, is `spread`'s to say; what a neighbour has already, `known`'s.

use std::collections::BTreeSet;

use super::{Exclusion, Output, Replica, spread::Parent};
use crate::{
    Digest, MemberId, Millis, Scheme,
    evidence::Signed,
    instance::{Instance, Merged},
    tally::Source,
    vote::Phase,
    wire::{self, KeyState, MAX_KEY, MAX_MESSAGE, Message},
};

/// Bytes of states that go into one message, before the last of them.
const BATCH: usize = 48 * 1024;

/// The most keys whose whole state a neighbour may ask for at a time, or be told the names of.
pub(super) const MAX_NAMED: usize = 512;

impl<S: Scheme> Replica<S> {
    /// States of keys came from a neighbour.
    pub(super) fn receive_states(&mut self, now: Millis, from: MemberId, states: Vec<KeyState>) {
        let mut wanted = Vec::new();
        for mut state in states {
            let Some(peer) = self.peers.get_mut(&from) else {
                return;
            };
            if let Some(instance) = self.instances.get(&state.key)
                && state.view < instance.view()
            {
                peer.of(&state.key).enter(state.view);
                self.waiting.insert((from, state.key));
                continue;
            }
            let instance = self.instances.get(&state.key);
            let salt = peer.salt;
            let find =
                |view, name| instance?.find(view, |digest| wire::short_name(&salt, digest) == name);
            if !state.resolve(find) {
                wanted.push(state.key);
                continue;
            }
            let vouched = state.is_vouched();
            let Ok((key, mut state)) = state.into_state() else {
                return self.exclude(from, Exclusion::Malformed);
            };
            let fits = |vote: &Signed| vote.signers.members() == self.members.len();
            if state.votes.iter().all(fits) {
                peer.of(&key).heard(&state);
            }
            // What a member alone signed it answers for itself.
            let alone = |vote: &Signed| vote.signers.distinct() == 1 && vote.signers.contains(from);
            if !vouched && self.is_distrusted(from) {
                let before = state.votes.len();
                state.votes.retain(alone);
                state.whole &= state.votes.len() == before;
            }
            let source = Source {
                member: from,
                vouched: vouched || state.votes.iter().all(alone),
            };
            let (cx, instances) = self.split(now);
            let instance = instances
                .entry(key.clone())
                .or_insert_with(|| Instance::new(cx.members, &key));
            let was_open = instance.is_open();
            let merged = instance.merge(&cx, source, state);
            let (view, is_empty) = (instance.view(), instance.is_empty());
            let is_new = !was_open && instance.is_open();
            let known = self.peers.get(&from).and_then(|peer| peer.keys.get(&key));
            if known.is_some_and(|known| known.waits(&self.members, &self.instances[&key])) {
                self.waiting.insert((from, key.clone()));
            }
            if is_new {
                let member = from;
                self.parents.insert(key.clone(), Parent { view, member });
            }
            match merged {
                Merged::Known if is_empty => self.drop_key(&key),
                Merged::Known => {}
                Merged::News => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.useful = now;
                    }
                    self.touch(&key);
                }
                Merged::Incomplete => {
                    if is_empty {
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

    /// A message in which values that its receiver has are named in full, as far as they are known here.
    #[cfg(feature = "simulation")]
    pub(crate) fn in_full(&self, to: MemberId, bytes: &[u8]) -> Vec<u8> {
        let Ok(Message::States(mut states)) = wire::decode(bytes) else {
            return bytes.to_vec();
        };
        let Some(salt) = self.peers.get(&to).and_then(|peer| peer.its_salt) else {
            return bytes.to_vec();
        };
        for state in &mut states {
            if let Some(instance) = self.instances.get(&state.key) {
                state.resolve(|view, name| {
                    instance.find(view, |digest| wire::short_name(&salt, digest) == name)
                });
            }
        }
        wire::encode(&Message::States(states))
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
                if peer.keys.get(&key).is_some_and(|known| known.view() > view) {
                    peer.forget(&key);
                }
                behind.insert(key);
            }
        }
        self.tell(now, from, &behind);
        if !wanted.is_empty() {
            self.send(from, &Message::Want(wanted));
        }
    }

    /// A neighbour says how values are to be named to it.
    pub(super) fn receive_salt(&mut self, from: MemberId, salt: wire::Salt) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.its_salt = Some(salt);
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

    /// Sends a neighbour what is new to it of some keys.
    pub(super) fn tell(&mut self, now: Millis, to: MemberId, keys: &BTreeSet<Vec<u8>>) {
        self.tell_and_propose(now, to, keys, &BTreeSet::new());
    }

    /// The same, and of proposals only votes that are verified, such as this replica's own, if there are any: whoever spoils
    /// others' must not have them spread with every proposal.
    pub(super) fn tell_and_propose(
        &mut self,
        now: Millis,
        to: MemberId,
        keys: &BTreeSet<Vec<u8>>,
        proposals: &BTreeSet<Vec<u8>>,
    ) {
        // What this replica voted must not be forgotten once others know it.
        self.save();
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let salt = peer.its_salt;
        let mut messages = Vec::new();
        let (mut batch, mut size) = (Vec::new(), 0);
        for key in keys.union(proposals) {
            let Some(instance) = self.instances.get_mut(key) else {
                continue;
            };
            let known = peer.of(key);
            let is_proposed = proposals.contains(key);
            let (scheme, members) = (&self.scheme, &self.members);
            let news = known.news(now, scheme, members, instance, is_proposed, salt.as_ref());
            let Some(state) = news else {
                continue;
            };
            size += state.weight();
            batch.push(state);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Certificate, Settings, Signers,
        bls::{Bls, SecretKey},
        instance::{Decision, State},
        members,
    };

    const NEIGHBOUR: MemberId = MemberId(1);

    fn replica() -> Replica<Bls> {
        let (members, mut secrets) = members::network(4);
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
        for view in [0, 1] {
            let views = Message::Views(keys().map(|key| (key, view)).collect());
            replica.receive(0, NEIGHBOUR, &wire::encode(&views));
            assert!(replica.peers[&NEIGHBOUR].keys.is_empty(), "view {view}");
        }
        // Votes for a value that was never sent cannot be understood.
        let ballot = crate::Ballot {
            round: 0,
            phase: Phase::PreCommit,
            value: [7; 32],
        };
        let signers = Signers::one(4, NEIGHBOUR);
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

    /// A false decision of a key that nobody had ever set was compared with a neighbour before it was verified. The key
    /// stayed in the tree, and the replica's root differed from everybody's for ever.
    #[test]
    fn a_key_of_which_only_something_false_was_said_leaves_no_trace() {
        let mut replica = replica();
        let before = replica.root();
        let three = (0..3).map(|member| Signers::one(4, MemberId(member)));
        let signers = three.reduce(|all, one| all.plus(&one).unwrap()).unwrap();
        let point = Bls.sign(&SecretKey::from_seed(&[1; 32]), &[7; 32]);
        let certificate = Certificate {
            view: 1,
            round: 0,
            value: crate::digest::value(None),
            signers,
            signature: Bls.encode(&point),
        };
        let value = Some(None);
        let state = State {
            view: 2,
            whole: true,
            decision: Some(Decision { certificate, value }),
            ..State::default()
        };
        let states = Message::States(vec![KeyState::new(b"key", state, false)]);
        replica.receive(0, NEIGHBOUR, &wire::encode(&states));
        assert_ne!(replica.root(), before, "it waits to be verified");
        replica.poll(1_000);
        assert!(replica.excluded.contains_key(&NEIGHBOUR));
        assert_eq!(replica.root(), before);
    }

    /// A proposal went out with others' votes that nobody had verified, and yet as verified: its receiver took the honest
    /// replica that sent it for Byzantine.
    #[test]
    fn only_what_was_verified_goes_out_as_verified() {
        let mut replica = replica();
        let other = MemberId(2);
        replica.connected(0, other);
        let point = Bls.sign(&SecretKey::from_seed(&[1; 32]), &[7; 32]);
        let value = Some(b"value".to_vec());
        let ballot = crate::Ballot {
            round: 0,
            phase: Phase::PreCommit,
            value: crate::digest::value(value.as_deref()),
        };
        for from in [NEIGHBOUR, other] {
            let vote = Signed {
                ballot,
                signers: Signers::one(4, from),
                signature: Bls.encode(&point),
            };
            let state = State {
                view: 1,
                whole: true,
                proposals: vec![value.clone()],
                votes: vec![vote],
                ..State::default()
            };
            let states = Message::States(vec![KeyState::new(b"key", state, false)]);
            replica.receive(0, from, &wire::encode(&states));
        }
        replica.outputs.clear();
        let key = BTreeSet::from([b"key".to_vec()]);
        replica.tell_and_propose(0, NEIGHBOUR, &BTreeSet::new(), &key);
        let Some(Output::Send { bytes, .. }) = replica.outputs.pop() else {
            panic!("the other vote is new to the neighbour");
        };
        let Ok(Message::States(states)) = wire::decode(&bytes) else {
            panic!("states were sent");
        };
        assert!(!states[0].is_vouched());
    }

    /// Access control was asked for each value again with each vote of a later round, and all values were hashed for that: one
    /// message kept its receiver busy for minutes.
    #[test]
    fn access_control_is_asked_once_for_each_value() {
        const VALUES: u16 = 100;
        let asked = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = asked.clone();
        let access = move |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| {
            counted.set(counted.get() + 1);
            true
        };
        let (members, mut secrets) = members::network(4);
        let secret = secrets.remove(0);
        let settings = Settings::default();
        let access = Box::new(access);
        let mut replica =
            Replica::new(Bls, members, secret, settings, access, [0; 32], []).unwrap();
        replica.connected(0, NEIGHBOUR);
        let all = (0..4).map(|member| Signers::one(4, MemberId(member)));
        let all = all.reduce(|all, one| all.plus(&one).unwrap()).unwrap();
        let proposals: Vec<_> = (0..VALUES)
            .map(|value| Some(value.to_le_bytes().to_vec()))
            .collect();
        let mut votes = Vec::new();
        for round in [0, 1] {
            for value in &proposals {
                let ballot = crate::Ballot {
                    round,
                    phase: Phase::PreCommit,
                    value: crate::digest::value(value.as_deref()),
                };
                votes.push(Signed {
                    ballot,
                    signers: all.clone(),
                    signature: crate::Signature([0; 48]),
                });
            }
        }
        let state = State {
            view: 1,
            whole: true,
            proposals,
            votes,
            ..State::default()
        };
        let states = Message::States(vec![KeyState::new(b"key", state, false)]);
        replica.receive(0, NEIGHBOUR, &wire::encode(&states));
        assert_eq!(asked.get(), VALUES);
    }

    /// Evidence that proves nothing cost its receiver two verifications, as often as somebody sent it.
    #[test]
    fn who_shows_evidence_that_proves_nothing_is_excluded() {
        let mut replica = replica();
        let vote = |value| Signed {
            ballot: crate::Ballot {
                round: 0,
                phase: Phase::PreCommit,
                value: [value; 32],
            },
            signers: Signers::one(4, MemberId(2)),
            signature: Bls.encode(&Bls.sign(&SecretKey::from_seed(&[1; 32]), &[7; 32])),
        };
        let evidence = crate::Evidence {
            culprit: MemberId(2),
            key: b"key".to_vec(),
            view: 1,
            votes: [vote(1), vote(2)],
        };
        let evidence = Message::Evidence(Box::new(evidence));
        replica.receive(0, NEIGHBOUR, &wire::encode(&evidence));
        let excluded: Vec<_> = replica.excluded.iter().collect();
        assert_eq!(excluded, [(&NEIGHBOUR, &Exclusion::FalseSignature)]);
    }

    /// A neighbour that was behind said so between two turns. Nobody was to poll for it, and it waited for seconds.
    #[test]
    fn who_waits_for_an_answer_has_it_with_the_next_turn() {
        let mut replica = replica();
        replica.poll(0);
        replica.waiting.insert((NEIGHBOUR, b"key".to_vec()));
        assert_eq!(replica.next_wake(), Some(Settings::default().turn));
    }

    /// Between its turns a replica decides nothing, but said that it was to be polled again at once: its driver kept a
    /// processor busy.
    #[test]
    fn a_replica_is_not_to_be_polled_before_its_turn() {
        let mut replica = replica();
        replica.set(0, b"key", b"value".to_vec()).unwrap();
        for now in 0..10 {
            replica.poll(now);
        }
        assert!(
            replica.next_wake().unwrap() >= Settings::default().turn,
            "{:?}",
            replica.next_wake()
        );
    }
}
