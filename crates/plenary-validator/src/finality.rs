//! Who waits for what to become final: for one transaction's outcome, or for the next height.

use parking_lot::Mutex;
use plenary_store::Location;
use plenary_types::{Outcome, TransactionHash};
use std::collections::HashMap;
use tokio::sync::{oneshot, watch};

/// Where a transaction is in the ledger, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The block's height.
    pub height: u64,
    /// The transaction's index in it.
    pub index: u32,
    /// Its outcome.
    pub outcome: Outcome,
}

impl Landed {
    /// The place in the ledger.
    pub fn location(&self) -> Location {
        Location {
            height: self.height,
            index: self.index,
        }
    }
}

/// How waiting for a transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is in a final block.
    Landed(Landed),
    /// It never will be: its operation was committed in another transaction, or it grew too old.
    Superseded,
}

/// The waiters of a node.
pub struct Finality {
    height: watch::Sender<u64>,
    waiters: Mutex<HashMap<TransactionHash, Vec<oneshot::Sender<Ending>>>>,
}

impl Finality {
    /// Nobody waits; the finalized height is `height`.
    pub fn new(height: u64) -> Self {
        Self {
            height: watch::Sender::new(height),
            waiters: Mutex::default(),
        }
    }

    /// Follows the finalized height.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// Waits for a transaction. Register first, then submit or look it up: what ends before the
    /// registration is not reported.
    pub fn wait(&self, hash: TransactionHash) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters.lock();
        let waiting = waiters.entry(hash).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(sender);
        receiver
    }

    /// Forgets waiters that have gone away, for a transaction that may never end.
    pub fn forget(&self, hash: &TransactionHash) {
        let mut waiters = self.waiters.lock();
        if let Some(waiting) = waiters.get_mut(hash) {
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.is_empty() {
                waiters.remove(hash);
            }
        }
    }

    /// A transaction is in a final block.
    pub fn land(&self, hash: TransactionHash, landed: Landed) {
        self.end(&hash, &Ending::Landed(landed));
    }

    /// A transaction will never be in a block.
    pub fn supersede(&self, hash: &TransactionHash) {
        self.end(hash, &Ending::Superseded);
    }

    fn end(&self, hash: &TransactionHash, ending: &Ending) {
        let waiting = self.waiters.lock().remove(hash).unwrap_or_default();
        for waiter in waiting {
            // A waiter that gave up has gone; the outcome stays in the ledger.
            let _ = waiter.send(ending.clone());
        }
    }

    /// A height is final.
    pub fn advance(&self, height: u64) {
        self.height.send_replace(height);
    }
}
