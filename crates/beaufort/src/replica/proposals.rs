//! What the application set or deleted, until its view is decided.
//!
//! A replica votes once in a view. A write that comes too late for one waits for the next, and is then proposed; whether
//! it won shows when its view is decided.

use std::collections::{BTreeMap, VecDeque};

use super::{Output, Replica, SetError, spread::Parent};
use crate::{
    Entry, Millis, Scheme, digest,
    instance::Instance,
    wire::{MAX_KEY, MAX_VALUE},
};

/// The most writes of one key that wait.
const MAX_WAITING: usize = 64;

/// Stands for one write until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

struct Write {
    ticket: Ticket,
    value: Option<Vec<u8>>,
    /// In which view it was proposed.
    view: Option<u64>,
}

/// Writes that are not settled.
#[derive(Default)]
pub(super) struct Proposals {
    waiting: BTreeMap<Vec<u8>, VecDeque<Write>>,
    last: u64,
}

impl<S: Scheme> Replica<S> {
    /// Proposes a value. [`Output::Settled`] says what became of it.
    ///
    /// # Errors
    ///
    /// When the key or value is out of bounds, access control refuses it, or too many writes of the key wait.
    pub fn set(&mut self, now: Millis, key: &[u8], value: Vec<u8>) -> Result<Ticket, SetError> {
        if value.len() > MAX_VALUE {
            return Err(SetError::Value(value.len()));
        }
        self.write(now, key, Some(value))
    }

    /// Proposes to delete a key's value. [`Output::Settled`] says what became of it.
    ///
    /// # Errors
    ///
    /// As for [`Self::set`].
    pub fn delete(&mut self, now: Millis, key: &[u8]) -> Result<Ticket, SetError> {
        self.write(now, key, None)
    }

    fn write(
        &mut self,
        now: Millis,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<Ticket, SetError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(SetError::Key(key.len()));
        }
        let old = self.get(key).and_then(|entry| entry.value.as_deref());
        if !self.access.allows(key, old, value.as_deref()) {
            return Err(SetError::Denied);
        }
        let waiting = self.proposals.waiting.entry(key.into()).or_default();
        if waiting.len() >= MAX_WAITING {
            return Err(SetError::Busy(waiting.len()));
        }
        self.proposals.last += 1;
        let ticket = Ticket(self.proposals.last);
        waiting.push_back(Write {
            ticket,
            value,
            view: None,
        });
        let (cx, instances) = self.split(now);
        instances
            .entry(key.into())
            .or_insert_with(|| Instance::new(cx.members, key));
        self.propose_next(now, key);
        Ok(ticket)
    }

    /// Proposes the first write that waits, where this replica has not voted in the view yet.
    pub(super) fn propose_next(&mut self, now: Millis, key: &[u8]) {
        let Some(write) = self.proposals.waiting.get(key).and_then(VecDeque::front) else {
            return;
        };
        let (view, value) = (write.view, write.value.clone());
        let (cx, instances) = self.split(now);
        let Some(instance) = instances.get_mut(key).filter(|_| view.is_none()) else {
            return;
        };
        let proposed = instance.view();
        if instance.propose(&cx, value) {
            if let Some(write) = self
                .proposals
                .waiting
                .get_mut(key)
                .and_then(VecDeque::front_mut)
            {
                write.view = Some(proposed);
            }
            let top = Parent {
                view: proposed,
                member: self.me,
            };
            self.parents.insert(key.into(), top);
            self.unsaved.insert(key.into());
            self.announced.insert(key.into());
            self.touch(key);
        }
    }

    /// Settles the writes that a view's decision settles, and proposes the next.
    pub(super) fn settle(&mut self, now: Millis, key: &[u8], entry: &Entry) {
        let Some(waiting) = self.proposals.waiting.get_mut(key) else {
            return;
        };
        if waiting
            .front()
            .is_some_and(|write| write.view.is_some_and(|view| view <= entry.view))
            && let Some(write) = waiting.pop_front()
        {
            let won = write.view == Some(entry.view)
                && digest::value(write.value.as_deref()) == entry.certificate.value;
            self.outputs.push(Output::Settled {
                ticket: write.ticket,
                won,
                entry: entry.clone(),
            });
        }
        // The new value may forbid what was allowed when it was asked for.
        while let Some(write) = self
            .proposals
            .waiting
            .get_mut(key)
            .and_then(|waiting| waiting.front())
        {
            if self
                .access
                .allows(key, entry.value.as_deref(), write.value.as_deref())
            {
                break;
            }
            let ticket = write.ticket;
            self.outputs.push(Output::Settled {
                ticket,
                won: false,
                entry: entry.clone(),
            });
            if let Some(waiting) = self.proposals.waiting.get_mut(key) {
                waiting.pop_front();
            }
        }
        if self
            .proposals
            .waiting
            .get(key)
            .is_some_and(VecDeque::is_empty)
        {
            self.proposals.waiting.remove(key);
        }
        self.propose_next(now, key);
    }

    /// Whether any write waits to be decided.
    pub(super) fn has_waiting(&self) -> bool {
        !self.proposals.waiting.is_empty()
    }
}
