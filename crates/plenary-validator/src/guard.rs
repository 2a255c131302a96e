//! The guard: a wall-clock limit on handlers, for the one thing the executor's budget cannot
//! count — a loop that never touches its context.
//!
//! Handlers run on threads of the guard's. Where one does not come back within the limit, the
//! request is given up and its thread is left behind, for nothing can end it; a new thread takes
//! its place. The request never gets into a transaction, so no other node meets it. Its route is
//! refused for a while that grows, by `suspension`; the others go on.
//!
//! See `docs/determinism.md` for how handlers end the same way everywhere.

use crate::{error::Refusal, suspension::Suspensions};
use plenary_service::Route;
use plenary_types::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, oneshot};

/// How long a handler may run.
pub const HANDLER_LIMIT: Duration = Duration::from_secs(2);
/// How many threads may be left behind before the node says that it is not ready.
pub const MOST_ABANDONED: usize = 4;

/// Runs handlers within a time limit.
pub struct Guard {
    permits: Arc<Semaphore>,
    limit: Duration,
    abandoned: AtomicUsize,
    suspensions: Suspensions,
}

impl Guard {
    /// A guard that runs up to `parallel` handlers at a time, each up to `limit`.
    pub fn new(parallel: usize, limit: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(parallel)),
            limit,
            abandoned: AtomicUsize::new(0),
            suspensions: Suspensions::default(),
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

    /// Runs `job`, a handler's execution for `route`. `now` is the node's clock, by which a route
    /// that overran is refused.
    ///
    /// # Errors
    ///
    /// Where the handler overran, now or lately, or the state could not be read.
    pub async fn run<T: Send + 'static>(
        &self,
        route: &Route,
        now: Timestamp,
        job: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::Stopping)?;
        // Only now: those that waited for a handler that did not come back are not to be the next.
        self.suspensions.check(route, now)?;
        let (sender, receiver) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            // Where the request was given up, there is nobody left to tell.
            let _ = sender.send(job());
            // Last, so that who waits for it finds this thread idle and needs no new one.
            drop(permit);
        });
        match tokio::time::timeout(self.limit, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Refusal::Stopping),
            Err(_) => {
                self.abandon();
                self.suspensions.suspend(route, now);
                // The thread that is left behind keeps its permit; another may run in its stead.
                self.permits.add_permits(1);
                let overrun = Refusal::Overrun {
                    route: route.into(),
                    limit_ms: self.limit.as_millis() as u64,
                };
                tracing::error!(%overrun, "a thread is left behind");
                Err(overrun)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use plenary_service::{Context, Executor, Options, Service};
    use plenary_types::Problem;
    use std::sync::mpsc;

    fn answer(_: &mut Context) -> Result<String, Problem> {
        Ok("an answer".into())
    }

    #[tokio::test]
    async fn a_route_that_never_comes_back_is_refused_and_the_others_are_served() {
        let service = Service::new("test", "1").post("/loops", answer);
        let service = service.post("/well", answer);
        let executor = Executor::new(service, Options::default()).unwrap();
        let [loops, well] = executor.service().routes() else {
            panic!("there are two routes")
        };
        let guard = Guard::new(2, Duration::from_millis(10));
        let now = Timestamp(1_000);
        let (release, released) = mpsc::channel::<()>();
        let never = move || {
            // Ends with the test, when the other side is dropped.
            let _ = released.recv();
            Ok(())
        };
        let overrun = guard.run(loops, now, never).await.unwrap_err();
        assert!(matches!(overrun, Refusal::Overrun { .. }), "{overrun}");
        for _ in 0..2 * MOST_ABANDONED {
            let refused = guard.run(loops, now, || Ok(())).await.unwrap_err();
            assert!(matches!(refused, Refusal::Suspended { .. }), "{refused}");
        }
        assert_eq!(guard.abandoned(), 1);
        let patient = Guard {
            limit: HANDLER_LIMIT,
            ..guard
        };
        assert_eq!(patient.run(well, now, || Ok("well")).await.unwrap(), "well");
        drop(release);
    }
}
