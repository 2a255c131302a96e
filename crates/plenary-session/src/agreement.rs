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
}

impl Agreement {
    /// Nothing is reached yet.
    pub fn new(sequence: u32, needed: usize, feed: Arc<Feed>) -> Self {
        Self {
            sequence,
            needed,
            reached: Mutex::default(),
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
        reached.durable && reached.endorsements.len() >= self.needed
    }

    /// Whether as many others agree as are needed.
    pub fn is_endorsed(&self) -> bool {
        self.reached.lock().endorsements.len() >= self.needed
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
