//! The sessions that a node has.

use crate::session::{Entry, Status};
use parking_lot::Mutex;
use plenary_types::{PublicKey, SessionId};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// Sessions by name, in order.
#[derive(Default)]
pub struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: BTreeMap<SessionId, Arc<Entry>>,
    /// How many of them a node has opened.
    opened: BTreeMap<PublicKey, usize>,
}

impl Table {
    fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        *self.opened.entry(entry.origin).or_default() += 1;
        let earlier = self.entries.insert(entry.id, entry);
        if let Some(earlier) = &earlier {
            self.less(&earlier.origin);
        }
        earlier
    }

    fn remove(&mut self, id: &SessionId) {
        if let Some(entry) = self.entries.remove(id) {
            self.less(&entry.origin);
        }
    }

    fn less(&mut self, origin: &PublicKey) {
        if let Some(count) = self.opened.get_mut(origin) {
            *count -= 1;
        }
    }
}

/// How many sessions there may be for another one to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Of all.
    pub all: usize,
    /// Of those that the same node has opened.
    pub same: usize,
}

impl Sessions {
    /// The session of this name.
    pub fn get(&self, id: &SessionId) -> Option<Arc<Entry>> {
        self.0.lock().entries.get(id).cloned()
    }

    /// The session of this name, or a new one that `origin` has opened and `make` gives, where there
    /// are fewer than `most`.
    pub fn get_or_insert(
        &self,
        id: SessionId,
        origin: PublicKey,
        most: Most,
        make: impl FnOnce() -> Entry,
    ) -> Option<Arc<Entry>> {
        let mut table = self.0.lock();
        if let Some(entry) = table.entries.get(&id) {
            return Some(entry.clone());
        }
        let same = table.opened.get(&origin).copied().unwrap_or_default();
        if table.entries.len() >= most.all || same >= most.same {
            return None;
        }
        let entry = Arc::new(make());
        table.insert(entry.clone());
        Some(entry)
    }

    /// Adds a session; gives the one of the same name that it takes the place of.
    pub fn replace(&self, entry: Entry) -> (Arc<Entry>, Option<Arc<Entry>>) {
        let entry = Arc::new(entry);
        let earlier = self.0.lock().insert(entry.clone());
        (entry, earlier)
    }

    /// Puts a session back that was forgotten before it had a step.
    pub fn keep(&self, entry: &Arc<Entry>) {
        let mut table = self.0.lock();
        if !table.entries.contains_key(&entry.id) {
            table.insert(entry.clone());
        }
    }

    /// Forgets a session.
    pub fn remove(&self, id: &SessionId) {
        self.0.lock().remove(id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// How many of them are open. One whose lock is taken has a step that runs.
    pub fn open(&self) -> usize {
        let all = self.all();
        let open = all.iter().filter(|entry| {
            let live = entry.live.try_lock();
            live.is_none_or(|live| live.status == Status::Open)
        });
        open.count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` of them whose names come after `after`.
    pub fn page(&self, after: Option<SessionId>, limit: usize) -> Vec<Arc<Entry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.0.lock();
        let page = table.entries.range((from, Bound::Unbounded)).take(limit);
        page.map(|(_, entry)| entry.clone()).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.0.lock().entries.values().cloned().collect()
    }
}
