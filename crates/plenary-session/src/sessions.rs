//! The sessions that a node has.

use crate::session::Entry;
use parking_lot::Mutex;
use plenary_types::SessionId;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

/// Sessions by name, in order.
#[derive(Default)]
pub struct Sessions(Mutex<BTreeMap<SessionId, Arc<Entry>>>);

impl Sessions {
    /// The session of this name.
    pub fn get(&self, id: &SessionId) -> Option<Arc<Entry>> {
        self.0.lock().get(id).cloned()
    }

    /// The session of this name, or a new one that `make` gives where there are fewer than `most`.
    pub fn get_or_insert(
        &self,
        id: SessionId,
        most: usize,
        make: impl FnOnce() -> Entry,
    ) -> Option<Arc<Entry>> {
        let mut sessions = self.0.lock();
        if let Some(entry) = sessions.get(&id) {
            return Some(entry.clone());
        }
        if sessions.len() >= most {
            return None;
        }
        let entry = Arc::new(make());
        sessions.insert(id, entry.clone());
        Some(entry)
    }

    /// Adds a session; gives the one of the same name that it takes the place of.
    pub fn replace(&self, entry: Entry) -> (Arc<Entry>, Option<Arc<Entry>>) {
        let entry = Arc::new(entry);
        let earlier = self.0.lock().insert(entry.id, entry.clone());
        (entry, earlier)
    }

    /// Puts a session back that was forgotten before it had a step.
    pub fn keep(&self, entry: &Arc<Entry>) {
        self.0.lock().entry(entry.id).or_insert(entry.clone());
    }

    /// Forgets a session.
    pub fn remove(&self, id: &SessionId) {
        self.0.lock().remove(id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` of them whose names come after `after`.
    pub fn page(&self, after: Option<SessionId>, limit: usize) -> Vec<Arc<Entry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.0.lock();
        let page = sessions.range((from, Bound::Unbounded)).take(limit);
        page.map(|(_, entry)| entry.clone()).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.0.lock().values().cloned().collect()
    }
}
