//! What of the log is still needed: the accounts from which groups are removed or written again.
//!
//! Only in memory, made again from the groups at every start. A group goes once nothing in it is
//! needed. A session that lives long would keep its groups with all that others left in them;
//! groups that are less than half needed are therefore written again, the oldest first, once they
//! take too much together.
//!
//! A forgotten session has a *mark* in a later group for as long as any group has entries of it, so
//! that a restart does not take those for a session. A mark is needed like an entry. It stands in
//! a later group than the entries it is about, so marks never keep each other in a circle.

use super::record::HEADER;
use plenary_types::SessionId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One group on disk.
#[derive(Default)]
struct Group {
    /// Its length.
    bytes: u64,
    /// How much of that is still needed.
    needed: u64,
    /// Whose entries it has, each session once.
    sessions: Vec<SessionId>,
}

/// A forgotten session that has entries on disk yet.
struct Forgotten {
    /// How many groups have some.
    groups: usize,
    /// The group with its mark.
    mark: Option<u64>,
}

/// The accounts of all groups.
#[derive(Default)]
pub(super) struct Space {
    groups: BTreeMap<u64, Group>,
    /// Of every session that is needed: the groups with entries of it, and the bytes of those.
    sessions: HashMap<SessionId, Vec<(u64, u64)>>,
    forgotten: HashMap<SessionId, Forgotten>,
    /// Forgotten since the last write.
    unmarked: Vec<SessionId>,
    /// Groups of which nothing is needed, and less than half.
    unneeded: BTreeSet<u64>,
    sparse: BTreeSet<u64>,
    bytes: u64,
    needed: u64,
    /// How much more than twice what is needed the groups may take, in bytes.
    slack: u64,
}

impl Space {
    /// No groups yet, which may take `slack` bytes more than twice what is needed of them.
    pub(super) fn new(slack: u64) -> Self {
        Self {
            slack,
            ..Self::default()
        }
    }

    /// An entry of `session`, `bytes` long with its header, stands in `group`.
    pub(super) fn add(&mut self, group: u64, session: SessionId, bytes: u64) {
        self.grow(group, bytes, bytes);
        let held = self.sessions.entry(session).or_default();
        match held.last_mut() {
            Some((last, sum)) if *last == group => *sum += bytes,
            _ => {
                held.push((group, bytes));
                if let Some(group) = self.groups.get_mut(&group) {
                    group.sessions.push(session);
                }
            }
        }
    }

    /// The mark of `session`, which is forgotten, stands in `group`.
    pub(super) fn mark(&mut self, group: u64, session: SessionId) {
        let needed = match self.forgotten.get_mut(&session) {
            Some(forgotten) => {
                forgotten.mark = Some(group);
                HEADER as u64
            }
            None => 0,
        };
        self.grow(group, HEADER as u64, needed);
    }

    fn grow(&mut self, at: u64, bytes: u64, needed: u64) {
        let group = self.groups.entry(at).or_default();
        group.bytes += bytes;
        self.bytes += bytes;
        self.set_needed(at, |old| old + needed);
    }

    fn set_needed(&mut self, at: u64, change: impl FnOnce(u64) -> u64) {
        let Some(group) = self.groups.get_mut(&at) else {
            return;
        };
        self.needed -= group.needed;
        group.needed = change(group.needed);
        self.needed += group.needed;
        self.unneeded.remove(&at);
        self.sparse.remove(&at);
        if group.needed == 0 {
            self.unneeded.insert(at);
        } else if group.needed * 2 < group.bytes {
            self.sparse.insert(at);
        }
    }

    /// Nothing of `session` is needed any more.
    pub(super) fn forget(&mut self, session: SessionId) {
        let Some(held) = self.sessions.remove(&session) else {
            return;
        };
        let forgotten = Forgotten {
            groups: held.len(),
            mark: None,
        };
        self.forgotten.insert(session, forgotten);
        self.unmarked.push(session);
        for (group, bytes) in held {
            self.set_needed(group, |needed| needed.saturating_sub(bytes));
        }
    }

    /// Whether `session` is forgotten and has entries on disk yet.
    pub(super) fn is_forgotten(&self, session: &SessionId) -> bool {
        self.forgotten.contains_key(session)
    }

    /// One group less has entries of `session`.
    fn release(&mut self, session: &SessionId) {
        let Some(forgotten) = self.forgotten.get_mut(session) else {
            return;
        };
        forgotten.groups -= 1;
        if forgotten.groups > 0 {
            return;
        }
        let mark = self.forgotten.remove(session).and_then(|gone| gone.mark);
        if let Some(group) = mark {
            self.set_needed(group, |needed| needed.saturating_sub(HEADER as u64));
        }
    }

    /// The sessions that need a mark in the next group.
    pub(super) fn take_unmarked(&mut self) -> Vec<SessionId> {
        let mut unmarked = std::mem::take(&mut self.unmarked);
        unmarked.retain(|session| self.is_forgotten(session));
        unmarked
    }

    /// Whether there is something to write although nothing was appended.
    pub(super) fn is_due(&self) -> bool {
        !self.unmarked.is_empty() || !self.unneeded.is_empty()
    }

    /// Takes a group out of the accounts that nothing in it is needed of; its row is to go.
    pub(super) fn take_unneeded(&mut self) -> Option<u64> {
        let at = self.unneeded.pop_first()?;
        if let Some(group) = self.groups.remove(&at) {
            self.bytes -= group.bytes;
            for session in &group.sessions {
                self.release(session);
            }
        }
        Some(at)
    }

    /// The group to write again next, without what is not needed of it.
    pub(super) fn wasteful(&self) -> Option<u64> {
        let limit = self.needed.saturating_mul(2).saturating_add(self.slack);
        self.sparse.first().copied().filter(|_| self.bytes > limit)
    }

    /// The group was written again, `bytes` long, without what is not needed.
    pub(super) fn rewritten(&mut self, at: u64, bytes: u64) {
        let Some(group) = self.groups.get_mut(&at) else {
            return;
        };
        self.bytes = self.bytes - group.bytes + bytes;
        group.bytes = bytes;
        let forgotten = &self.forgotten;
        let gone: Vec<SessionId> = group
            .sessions
            .extract_if(.., |session| forgotten.contains_key(session))
            .collect();
        for session in &gone {
            self.release(session);
        }
        self.set_needed(at, |needed| needed);
    }
}
