//! The guard: a wall-clock limit on handlers, for the one thing the executor's budget cannot
//! count — a loop that never touches its context.
//!
//! Handlers run on threads of the guard's. Where one does not come back within the limit, the
//! request is given up and its thread is left behind, for nothing can end it; a new thread takes
//! its place. The request never gets into a transaction, so no other node meets it. A path that
//! was given up is not tried again for a while, and after too many threads were left behind the
//! node says that it is not ready.
//!
//! See `docs/determinism.md` for how handlers end the same way everywhere.

use crate::error::Refusal;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, oneshot};

/// How long a handler may run.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a request that was given up is refused unseen.
const QUARANTINE: Duration = Duration::from_secs(60);
/// How many threads may be left behind before the node is no longer ready.
pub const MOST_ABANDONED: usize = 4;

/// Runs handlers within a time limit.
pub struct Guard {
    permits: Arc<Semaphore>,
    abandoned: AtomicUsize,
    quarantine: Mutex<HashMap<String, Instant>>,
}

impl Guard {
    /// A guard that runs up to `parallel` handlers at a time.
    pub fn new(parallel: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(parallel)),
            abandoned: AtomicUsize::new(0),
            quarantine: Mutex::default(),
        }
    }

    /// Counts a handler that did not come back.
    pub(crate) fn abandon(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// How many handlers did not come back.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Runs `job`, a handler's execution for `route`.
    ///
    /// # Errors
    ///
    /// Where the handler overran, now or lately, or the state could not be read.
    pub async fn run<T: Send + 'static>(
        &self,
        route: String,
        job: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let overrun = |route: String| Refusal::Overrun {
            route,
            limit_ms: LIMIT.as_millis() as u64,
        };
        if self.quarantined(&route) || self.abandoned() >= MOST_ABANDONED {
            return Err(overrun(route));
        }
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::Stopping)?;
        let (sender, receiver) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let result = job();
            drop(permit);
            // The request was given up; there is nobody left to tell.
            let _ = sender.send(result);
        });
        match tokio::time::timeout(LIMIT, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::Stopping),
            Err(_) => {
                self.abandon();
                // The thread that is left behind keeps its permit; another may run in its stead.
                self.permits.add_permits(1);
                self.quarantine.lock().insert(route.clone(), Instant::now());
                tracing::error!(%route, "a handler ran over its time and was given up");
                Err(overrun(route))
            }
        }
    }

    fn quarantined(&self, route: &str) -> bool {
        let mut quarantine = self.quarantine.lock();
        quarantine.retain(|_, since| since.elapsed() < QUARANTINE);
        quarantine.contains_key(route)
    }
}
