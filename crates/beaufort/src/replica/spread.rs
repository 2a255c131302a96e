//! When to tell neighbours what is new, and which of them.
//!
//! Each view grows a tree of its own over the connections, with nobody in charge of it:
//!
//! - **A proposal floods.** Who makes it tells all its neighbours at once, who hears of it first passes it on to a few,
//!   drawn at random. Whoever told a replica first is its *parent* in this view.
//! - **Votes go up.** Every [`Settings::interval`](crate::Settings::interval) the parent gets the replica's own and those
//!   that came from below since: sums that do not overlap. They meet at the proposer.
//! - **n - f votes and decisions come down** at once, to the *children*: the neighbours that sent their votes here. Whoever
//!   sends them later is answered with that.
//!
//! Only speed rests on that tree. Once a view has not come further for a while, its parent is gone, or several values were
//! proposed, its votes go every interval to a neighbour or a few, drawn anew, as far as they are worth a message. Whoever
//! may not have heard of a decision after a while is told the key and its view only, and asks for the rest if need be. A
//! replica that hears nothing more of a view names it, too, and is told if others are further.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::Rng;

use super::{
    Replica,
    gossip::MAX_NAMED,
    known::{Known, Peer},
};
use crate::{MemberId, Millis, Scheme, instance::Instance, tally::Tally, wire::Message};

/// How often views are told by name, in milliseconds.
const NAMING: Millis = 1_000;

/// How long after the last change of a key it is taken to be stuck, in milliseconds.
const STUCK: Millis = 1_000;

/// Keys.
type Keys = BTreeSet<Vec<u8>>;

/// How far a key has come.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    view: u64,
    step: Step,
    /// Whether its view has votes.
    is_open: bool,
    /// Whether several values were proposed in it.
    is_split: bool,
    /// From whom the view was heard of first; the replica itself, where it proposed first.
    parent: Option<MemberId>,
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

/// From whom a view was heard of first.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    pub view: u64,
    pub member: MemberId,
}

impl<S: Scheme> Replica<S> {
    /// Tells neighbours what it is time to tell them.
    pub(super) fn spread(&mut self, now: Millis) {
        if self.peers.is_empty() {
            return;
        }
        self.tell_milestones(now);
        if now >= self.next_round && self.has_open() {
            self.next_round = now + self.settings.interval;
            self.tell_votes(now);
        }
        if now >= self.next_naming {
            self.next_naming = now + NAMING;
            self.name_decisions(now);
        }
        self.ask(now);
    }

    /// What has just come a step further: proposals go to a few neighbours, the rest to those who wait for it.
    fn tell_milestones(&mut self, now: Millis) {
        let (proposed, further) = self.advanced(now);
        let own = std::mem::take(&mut self.announced);
        let waiting = std::mem::take(&mut self.waiting);
        if [&proposed, &further, &own]
            .into_iter()
            .all(BTreeSet::is_empty)
            && waiting.is_empty()
        {
            return;
        }
        let (upward, _) = self.upward(now);
        let mut missing = self.missing(&proposed);
        for member in self.shuffled_peers() {
            let known = |key: &Vec<u8>| self.peers[&member].keys.get(key);
            let is_child = |key: &&Vec<u8>| known(key).is_some_and(Known::is_child);
            let mut keys: Keys = further.iter().filter(is_child).cloned().collect();
            let answers = waiting.iter().filter(|(to, _)| *to == member);
            keys.extend(answers.map(|(_, key)| key.clone()));
            let mut proposals = own.clone();
            for (key, left) in &mut missing {
                if *left > 0 && known(key).is_none_or(|known| !known.has_all(&self.instances[key]))
                {
                    *left -= 1;
                    proposals.insert(key.clone());
                }
            }
            if !(keys.is_empty() && proposals.is_empty())
                && let Some(votes) = upward.get(&member)
            {
                // They need no message of their own then.
                let interval = self.settings.interval;
                let is_due =
                    |key: &&Vec<u8>| known(key).is_none_or(|known| known.is_due(now, interval));
                keys.extend(votes.iter().filter(is_due).cloned());
            }
            self.tell_and_propose(now, member, &keys, &proposals);
        }
    }

    /// To how many more neighbours each of these proposals goes: fewer where some have shown that they have it.
    fn missing(&self, proposed: &Keys) -> BTreeMap<Vec<u8>, usize> {
        let missing = |key: &Vec<u8>| {
            let parent = self.stages.get(key).and_then(|stage| stage.parent);
            let has = |(member, peer): (&MemberId, &Peer)| {
                Some(*member) != parent
                    && peer
                        .keys
                        .get(key)
                        .is_some_and(|known| known.has_all(&self.instances[key]))
            };
            let have = self.peers.iter().filter(|&peer| has(peer)).count();
            (key.clone(), self.settings.burst.saturating_sub(have))
        };
        proposed.iter().map(missing).collect()
    }

    /// The keys that came further since this was asked last: those with a new proposal, and those with n - f votes or a
    /// decision.
    fn advanced(&mut self, now: Millis) -> (Keys, Keys) {
        let (mut proposed, mut further) = (Keys::new(), Keys::new());
        for key in std::mem::take(&mut self.fresh) {
            let Some(instance) = self.instances.get(&key) else {
                continue;
            };
            let (view, step) = (instance.view(), step(instance, self.members.quorum()));
            let new = Stage {
                view: 0,
                step,
                is_open: false,
                is_split: false,
                parent: None,
                since: now,
                changed: now,
            };
            let stage = self.stages.entry(key.clone()).or_insert(new);
            if view > stage.view {
                stage.parent = None;
            }
            let parent = self.parents.remove(&key);
            if let Some(parent) = parent.filter(|parent| parent.view == view) {
                stage.parent = Some(parent.member);
            }
            stage.is_open = instance.is_open();
            stage.is_split = instance.proposals().len() > 1;
            stage.changed = now;
            if (view, step) > (stage.view, stage.step) {
                (stage.view, stage.step, stage.since) = (view, step, now);
                let keys = match step {
                    Step::Proposed => &mut proposed,
                    Step::Begun | Step::Prepared => &mut further,
                };
                keys.insert(key);
            }
        }
        (proposed, further)
    }

    /// The open keys by the neighbour that their votes go up to, and those whose votes go to anybody: the latter beside the
    /// former where a view is late. At the top of its tree a key is in neither.
    fn upward(&self, now: Millis) -> (BTreeMap<MemberId, Keys>, Keys) {
        let (mut upward, mut astray) = (BTreeMap::<_, Keys>::new(), Keys::new());
        for (key, stage) in self.stages.iter().filter(|(_, stage)| stage.is_open) {
            let is_there =
                |&member: &MemberId| member == self.me || self.peers.contains_key(&member);
            let parent = stage.parent.filter(is_there).filter(|_| !stage.is_split);
            if parent.is_none() || now >= stage.since + self.settings.patience {
                astray.insert(key.clone());
            }
            if let Some(parent) = parent.filter(|&parent| parent != self.me) {
                upward.entry(parent).or_default().insert(key.clone());
            }
        }
        (upward, astray)
    }

    /// Votes go up, or to neighbours drawn at random as far as they are worth it.
    fn tell_votes(&mut self, now: Millis) {
        let (upward, astray) = self.upward(now);
        for (member, keys) in upward {
            self.tell(now, member, &keys);
        }
        let mut left = self.settings.fanout;
        for member in self.shuffled_peers() {
            if left == 0 {
                break;
            }
            let Some(peer) = self.peers.get(&member) else {
                continue;
            };
            let worth = |key: &&Vec<u8>| match peer.keys.get(*key) {
                Some(known) => known.is_worth(now, &self.members, &self.instances[*key]),
                None => true,
            };
            let keys: Keys = astray.iter().filter(worth).cloned().collect();
            if !keys.is_empty() {
                self.tell(now, member, &keys);
                left -= 1;
            }
        }
    }

    /// Names decisions to all who may not have heard of them.
    fn name_decisions(&mut self, now: Millis) {
        let is_settled = |key: &&Vec<u8>| {
            let stage = self.stages.get(*key);
            stage.is_none_or(|stage| now >= stage.since + STUCK)
        };
        let view = |key| {
            let instance = self.instances.get(key)?;
            (!instance.is_open()).then(|| (key, instance.view()))
        };
        let settled = self.hot.iter().filter(is_settled).filter_map(view);
        let settled: Vec<(&Vec<u8>, u64)> = settled.collect();
        let mut messages = Vec::new();
        for (&member, peer) in &mut self.peers {
            let mut views = Vec::new();
            for &(key, view) in &settled {
                let known = peer.of(key);
                if known.view() < view && views.len() < MAX_NAMED {
                    known.enter(view);
                    views.push((key.clone(), view));
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
        let is_stuck = |stage: &Stage| stage.is_open && now >= stage.changed + STUCK;
        let stuck = self.stages.iter_mut().filter(|(_, stage)| is_stuck(stage));
        let mut views = Vec::new();
        for (key, stage) in stuck.take(MAX_NAMED) {
            if let Some(instance) = self.instances.get(key) {
                stage.changed = now;
                views.push((key.clone(), instance.view()));
            }
        }
        if views.is_empty() {
            return;
        }
        let Some(&member) = self.shuffled_peers().first() else {
            return;
        };
        if self.doubts.contains_key(&member) {
            // What it told unasked was not believed.
            views.iter().for_each(|(key, _)| self.want(member, key));
        }
        self.send(member, &Message::Views(views));
    }

    /// Whether any view has votes and no decision.
    pub(super) fn has_open(&self) -> bool {
        self.stages.values().any(|stage| stage.is_open)
    }

    /// When neighbours are to be told something again.
    pub(super) fn next_telling(&self) -> Option<Millis> {
        if self.peers.is_empty() || self.hot.is_empty() {
            return None;
        }
        let round = self.has_open().then_some(self.next_round);
        Some(round.map_or(self.next_naming, |round| round.min(self.next_naming)))
    }

    /// Lets go of keys of which every neighbour knows everything.
    fn cool(&mut self) {
        let (peers, instances, members) = (&self.peers, &self.instances, &self.members);
        let stages = &mut self.stages;
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
}

fn step<S: Scheme>(instance: &Instance<S>, quorum: usize) -> Step {
    let full = |tally: &Tally<S>| {
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
