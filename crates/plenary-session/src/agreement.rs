//! Who stands for a step: its originator's disk, and other session nodes.

use crate::feed::{Event, Feed};
use parking_lot::Mutex;
use plenary_types::{Endorsement, PublicKey};
use std::sync::Arc;

/// What a step waits for before it is answered.
#[derive(Debug)]
pub struct Agreement {
    sequence: u32,
    /// How many others must endorse it.
    needed: usize,
    reached: Mutex<Reached>,
    feed: Arc<Feed>,
}

#[derive(Debug, Default)]
struct Reached {
    durable: bool,
    endorsements: Vec<Endorsement>,
    /// As many have agreed as are needed, so that it may have been answered.
    agreed: bool,
    /// Somebody relies on the step that this node cannot ask: see [`rival`](crate::rival).
    firm: bool,
    /// Another step has taken its place.
    void: bool,
}

impl Agreement {
    /// Nothing is reached yet.
    pub fn new(sequence: u32, needed: usize, feed: Arc<Feed>) -> Self {
        Self {
            sequence,
            needed,
            reached: Mutex::new(Reached {
                agreed: needed == 0,
                ..Reached::default()
            }),
            feed,
        }
    }

    /// The step is on this node's disk.
    pub fn durable(&self) {
        self.reached.lock().durable = true;
        self.feed.push(Event::Simulated {
            sequence: self.sequence,
        });
    }

    /// Another node has the step and agrees. Each counts once.
    pub fn endorse(&self, endorsement: Endorsement) {
        let mut reached = self.reached.lock();
        let known = |other: &Endorsement| other.key == endorsement.key;
        if reached.endorsements.iter().any(known) {
            return;
        }
        reached.endorsements.push(endorsement);
        reached.agreed |= reached.endorsements.len() >= self.needed && !reached.void;
        let replicated = reached.endorsements.len() == self.needed.max(1);
        drop(reached);
        if replicated {
            self.feed.push(Event::Replicated {
                sequence: self.sequence,
            });
        }
    }

    /// Whether the step is on this node's disk.
    pub fn is_durable(&self) -> bool {
        self.reached.lock().durable
    }

    /// Whether the step may be answered.
    pub fn holds(&self) -> bool {
        let reached = self.reached.lock();
        reached.durable && reached.endorsements.len() >= self.needed && !reached.void
    }

    /// Whether as many others agree as are needed.
    pub fn is_endorsed(&self) -> bool {
        let reached = self.reached.lock();
        reached.endorsements.len() >= self.needed && !reached.void
    }

    /// From now on another node, or this one before a crash, may rely on the step.
    pub fn stand_firm(&self) {
        self.reached.lock().firm = true;
    }

    /// Whether somebody may rely on the step: another node, or the client that was answered.
    pub fn is_firm(&self) -> bool {
        let reached = self.reached.lock();
        reached.firm || reached.agreed
    }

    /// Gives the step up for another one, unless as many have agreed as are needed: then it may have
    /// been answered. Says whether it is given up.
    pub fn give_way(&self) -> bool {
        let mut reached = self.reached.lock();
        reached.void |= !reached.agreed;
        let void = reached.void;
        drop(reached);
        self.feed.bell.ring();
        void
    }

    /// Whether another step has taken its place.
    pub fn is_void(&self) -> bool {
        self.reached.lock().void
    }

    /// Whether a node has endorsed it.
    pub fn has(&self, key: &PublicKey) -> bool {
        let reached = self.reached.lock();
        reached.endorsements.iter().any(|one| one.key == *key)
    }

    /// Whether at least one other node has it.
    pub fn is_replicated(&self) -> bool {
        !self.reached.lock().endorsements.is_empty()
    }

    /// Takes those endorsements away that do not hold: they count for nothing any more.
    pub fn retain(&self, holds: impl FnMut(&Endorsement) -> bool) {
        self.reached.lock().endorsements.retain(holds);
    }

    /// The endorsements so far.
    pub fn endorsements(&self) -> Vec<Endorsement> {
        self.reached.lock().endorsements.clone()
    }
}
