//! What happened in a session, in order, for whoever follows it.

use crate::{bell::Bell, message::Given};
use parking_lot::Mutex;
use plenary_types::TransactionHash;
use serde::Serialize;

/// Something that happened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum Event {
    /// A step is durable at its originator.
    Simulated {
        /// The step.
        sequence: u32,
    },
    /// As many other session nodes as the participation asks for have the step and agree; at least
    /// one.
    Replicated {
        /// The step.
        sequence: u32,
    },
    /// The session's transaction is on its way to layer 1.
    Submitted {
        /// The transaction.
        transaction: TransactionHash,
    },
    /// It is committed.
    Final {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block.
        height: u64,
    },
    /// Others changed what it had read.
    Conflict {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block.
        height: u64,
    },
    /// Layer 1 found a response in it wrong, or will have it in no block.
    Rejected {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block, where it is in one.
        #[serde(skip_serializing_if = "Option::is_none")]
        height: Option<u64>,
    },
    /// Its requests were run again after a conflict.
    Rebased,
    /// Its owner gave it up.
    Aborted,
    /// Its time was over.
    Expired,
}

impl Event {
    /// Its name, as server-sent events have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Simulated { .. } => "simulated",
            Self::Replicated { .. } => "replicated",
            Self::Submitted { .. } => "submitted",
            Self::Final { .. } => "final",
            Self::Conflict { .. } => "conflict",
            Self::Rejected { .. } => "rejected",
            Self::Rebased => "rebased",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing can follow it.
    pub fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Final { .. } | Self::Rejected { .. } | Self::Aborted | Self::Expired
        )
    }
}

impl From<Given> for Event {
    fn from(given: Given) -> Self {
        match given {
            Given::Aborted => Self::Aborted,
            Given::Expired => Self::Expired,
        }
    }
}

/// A session's events so far, and a bell that rings at each.
#[derive(Debug, Default)]
pub struct Feed {
    events: Mutex<Vec<Event>>,
    /// Rings when something in the session has changed.
    pub bell: Bell,
}

impl Feed {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        self.events.lock().push(event);
        self.bell.ring();
    }

    /// The event at a place, where there is one already.
    pub fn at(&self, index: usize) -> Option<Event> {
        self.events.lock().get(index).copied()
    }

    /// What to tell next to whoever has been told so many, where there is something: what nothing can
    /// follow is told once more.
    pub fn after(&self, told: usize) -> Option<Event> {
        let last = || self.events.lock().last().copied();
        self.at(told).or_else(|| last().filter(Event::is_last))
    }
}
