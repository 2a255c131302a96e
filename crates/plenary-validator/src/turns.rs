//! Turns at contended keys.
//!
//! Of the operations in one block that read and write one key, one is committed and the others
//! conflict. A validator's own clients would go on defeating each other; so a request that met a
//! conflict waits for its turn at the key before it is run again, and only validators compete.

use plenary_types::StateKey;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use tokio::sync::{Mutex, MutexGuard};

/// How many keys can have turns of their own; others share.
const QUEUES: usize = 256;

/// The queues at contended keys.
pub struct Turns(Vec<Mutex<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..QUEUES).map(|_| Mutex::new(())).collect())
    }
}

impl Turns {
    /// Waits for the turn at the first of the keys; it lasts until the guard is dropped.
    pub async fn take(&self, keys: &[StateKey]) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        keys.first().hash(&mut hasher);
        self.0[hasher.finish() as usize % QUEUES].lock().await
    }
}
