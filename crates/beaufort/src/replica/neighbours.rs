//! Whom to be connected to.
//!
//! A replica opens some connections of its own choosing, at random, and accepts others'. While nothing comes of a
//! proposal, and now and then in any case, it gives up the neighbour that has told it nothing for longest and chooses
//! another: so nobody can surround it for long (section 4.1 of the paper). Replicas tell each other whom they are
//! connected to, and choose first among those who are therefore known to be there.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::Rng;

use super::{Output, Replica, known::Peer};
use crate::{
    MemberId, Members, Millis, Scheme,
    wire::{Message, Salt},
};

/// The most connections at a time: what a browser carries well.
const MAX_PEERS: usize = 24;

/// How long opening a connection may take, and how long a member that was not reached is left alone, in milliseconds.
const DIAL: Millis = 10_000;

/// Whom a replica wants to be connected to.
#[derive(Default)]
pub(super) struct Neighbours {
    /// Connections of this replica's own choosing.
    chosen: BTreeSet<MemberId>,
    /// Being opened, until when.
    dialling: BTreeMap<MemberId, Millis>,
    /// Not to be tried again before.
    failed: BTreeMap<MemberId, Millis>,
    /// Others are connected to them.
    online: BTreeSet<MemberId>,
    next_renewal: Option<Millis>,
    /// When anything was decided last, or nothing was open.
    progress: Millis,
}

impl Neighbours {
    /// A neighbour told to whom it is connected.
    pub fn heard<S: Scheme>(&mut self, members: &Members<S>, online: Vec<MemberId>) {
        self.online.extend(
            online
                .into_iter()
                .filter(|&member| members.key(member).is_some()),
        );
    }

    /// Something was decided.
    pub fn progressed(&mut self, now: Millis) {
        self.progress = now;
    }

    /// When nothing has come of what is open for too long.
    pub fn stalled(&self, stall: Millis) -> Millis {
        self.progress + stall
    }

    /// When to look after connections again.
    pub fn next_wake(&self) -> Option<Millis> {
        [self.next_renewal, self.dialling.values().min().copied()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl<S: Scheme> Replica<S> {
    /// A channel to a member is open: authenticated, ordered, and losing nothing while it lasts.
    pub fn connected(&mut self, now: Millis, member: MemberId) {
        if member == self.me
            || self.members.key(member).is_none()
            || self.excluded.contains_key(&member)
        {
            return self.outputs.push(Output::Disconnect(member));
        }
        let mine = self.neighbours.dialling.remove(&member).is_some();
        if self.peers.len() >= MAX_PEERS && !mine {
            return self.outputs.push(Output::Disconnect(member));
        }
        if mine {
            self.neighbours.chosen.insert(member);
        }
        self.neighbours.failed.remove(&member);
        let mut salt = Salt::default();
        self.random.fill_bytes(&mut salt);
        self.peers.insert(member, Peer::new(now, salt));
        self.send(member, &Message::Salt(salt));
        self.doubt_while_alarmed(now, member);
        let neighbours = self.peers.keys().copied().collect();
        self.send(member, &Message::Neighbours(neighbours));
        let evidence: Vec<_> = self.evidence().cloned().collect();
        for evidence in evidence {
            self.send(member, &Message::Evidence(Box::new(evidence)));
        }
        self.compare_with(member);
        let open = self
            .instances
            .iter()
            .filter(|(_, instance)| instance.is_open());
        for (key, _) in open {
            self.hot.insert(key.clone());
            if !self.stages.contains_key(key) {
                self.fresh.insert(key.clone());
            }
        }
    }

    /// The channel to a member is closed, or could not be opened.
    pub fn disconnected(&mut self, now: Millis, member: MemberId) {
        self.peers.remove(&member);
        self.neighbours.chosen.remove(&member);
        self.neighbours.dialling.remove(&member);
        self.neighbours.online.remove(&member);
        self.neighbours.failed.insert(member, now + DIAL);
    }

    /// Looks after connections.
    pub(super) fn tend(&mut self, now: Millis) {
        self.neighbours.failed.retain(|_, until| *until > now);
        let late: Vec<_> = self
            .neighbours
            .dialling
            .iter()
            .filter(|&(_, &until)| until <= now)
            .collect();
        let late: Vec<_> = late.into_iter().map(|(&member, _)| member).collect();
        for member in late {
            self.disconnected(now, member);
        }
        if !self.has_waiting() && self.dirty.is_empty() && !self.has_open() {
            self.neighbours.progressed(now);
        }
        let renewal = *self
            .neighbours
            .next_renewal
            .get_or_insert(now + self.settings.renewal);
        let stalled = now >= self.neighbours.stalled(self.settings.stall);
        if now >= renewal || stalled {
            self.neighbours.next_renewal = Some(now + self.settings.renewal);
            self.neighbours.progressed(now);
            self.exchange(now);
            let neighbours = self.peers.keys().copied().collect();
            self.broadcast(&Message::Neighbours(neighbours));
        }
        while self.neighbours.chosen.len() + self.neighbours.dialling.len() < self.settings.degree {
            let Some(member) = self.candidate() else {
                break;
            };
            self.neighbours.dialling.insert(member, now + DIAL);
            self.outputs.push(Output::Connect(member));
        }
    }

    /// Gives up the neighbour that was useful least recently, where another can be had for it.
    fn exchange(&mut self, now: Millis) {
        if self.candidate().is_none() || self.neighbours.chosen.len() < self.settings.degree {
            return;
        }
        let chosen = |member: &&MemberId| self.neighbours.chosen.contains(member);
        let least = self
            .peers
            .keys()
            .filter(chosen)
            .min_by_key(|member| self.peers[member].useful)
            .copied();
        if let Some(member) = least {
            self.outputs.push(Output::Disconnect(member));
            self.disconnected(now, member);
        }
    }

    /// A member to connect to: one of those who are known to be there, if possible.
    fn candidate(&mut self) -> Option<MemberId> {
        let free = |member: &MemberId| {
            *member != self.me
                && !self.peers.contains_key(member)
                && !self.excluded.contains_key(member)
                && !self.neighbours.dialling.contains_key(member)
                && !self.neighbours.failed.contains_key(member)
        };
        let all: Vec<_> = self.members.ids().filter(free).collect();
        let online: Vec<_> = all
            .iter()
            .copied()
            .filter(|member| self.neighbours.online.contains(member))
            .collect();
        let from = if online.is_empty() { all } else { online };
        let drawn = self.random.next_u64() as usize;
        (!from.is_empty()).then(|| from[drawn % from.len()])
    }
}
