//! The chain behind a wall-clock limit, for the one thing that the executor's budget cannot count:
//! a handler that loops without touching its context.
//!
//! An honest originator never makes a transaction of such a request (its [`guard`](crate::guard)
//! gives the handler up), but a Byzantine one can, and every validator that builds or checks a
//! block with it would stand still. So blocks are built and checked on threads that can be given
//! up: the chain that the thread holds is left to it, and a new one is opened on the store, which
//! has all that is final. The operation that was running is named, so that the node can refuse its
//! route for a while. Making a block final has no limit: a quorum has executed it in time.

use crate::chain::{At, Chain, ChainError, Running};
use parking_lot::Mutex;
use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// How long the execution of one block may take.
pub const BLOCK_LIMIT: Duration = Duration::from_secs(10);
/// How often who waits for the chain looks whether it was given up.
const GLANCE: Duration = Duration::from_millis(50);

/// Work that did not come back within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    /// The operation that was running.
    pub at: Option<At>,
}

/// The chain that work is done on, until it is given up.
struct Current {
    chain: Mutex<Chain>,
    /// The operation that the chain is executing.
    running: Running,
}

impl Current {
    fn new(chain: Chain) -> Arc<Self> {
        Arc::new(Self {
            running: chain.running(),
            chain: Mutex::new(chain),
        })
    }
}

type Open = Box<dyn Fn() -> Result<Chain, ChainError> + Send + Sync>;

/// A chain, and how to open it anew.
pub struct Worker {
    current: Mutex<Arc<Current>>,
    open: Open,
    limit: Duration,
}

impl Worker {
    /// A worker on the chain that `open` gives.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn new(limit: Duration, open: Open) -> Result<Self, ChainError> {
        Ok(Self {
            current: Mutex::new(Current::new(open()?)),
            open,
            limit,
        })
    }

    /// Runs `work` on the chain, on a thread of its own, within the limit.
    ///
    /// # Errors
    ///
    /// Where it does not come back in time, or panics.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Chain) -> T + Send + 'static,
    ) -> Result<T, GivenUp> {
        let current = self.current.lock().clone();
        let held = current.clone();
        let (sender, receiver) = mpsc::channel();
        let started = thread::Builder::new().name("block".into()).spawn(move || {
            let result = work(&mut held.chain.lock());
            // First, so that nothing of the chain outlives the answer.
            drop(held);
            // Whoever gave this up listens no more.
            let _ = sender.send(result);
        });
        if started.is_ok()
            && let Ok(result) = receiver.recv_timeout(self.limit)
        {
            return Ok(result);
        }
        let at = *current.running.lock();
        self.replace(&current);
        Err(GivenUp { at })
    }

    /// Runs `work` on the chain for as long as it takes.
    pub fn finish<T>(&self, work: impl FnOnce(&mut Chain) -> T) -> T {
        loop {
            let current = self.current.lock().clone();
            let chain = current.chain.try_lock_for(GLANCE);
            if let Some(mut chain) = chain.filter(|_| Arc::ptr_eq(&current, &self.current.lock())) {
                return work(&mut chain);
            }
        }
    }

    /// Leaves a chain to the thread that holds it. Only the first who gives it up opens another.
    fn replace(&self, given_up: &Arc<Current>) {
        let mut current = self.current.lock();
        if !Arc::ptr_eq(given_up, &current) {
            return;
        }
        match (self.open)() {
            Ok(chain) => *current = Current::new(chain),
            Err(error) => tracing::error!(%error, "the chain cannot be opened anew"),
        }
    }
}
