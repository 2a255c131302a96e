//! Time for the engine: it passes only while there is something to decide.
//!
//! A consensus engine at rest would time out every view, forever: messages, votes on disk, and
//! state that is not pruned before the next finalization. So the engine runs on a clock that
//! stands still while the validator has nothing to commit and knows of no proposal that is
//! neither final nor given up. Everything else in it is driven by messages, and works as ever.
//!
//! Nobody outside can tell: a clock that stands still is a slow validator, and while there is
//! something to commit every correct validator knows of it and its clock runs.

use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, Metrics, Name, Spawner, Storage, Supervisor, signal,
    telemetry::metrics::{Metric, Registered},
};
use parking_lot::Mutex;
use rand_core::{TryCryptoRng, TryRng};
use std::{
    convert::Infallible,
    fmt::Display,
    future::Future,
    ops::RangeInclusive,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// Whether time passes, and how long it has not.
#[derive(Debug)]
struct Pause {
    /// When the clock was stopped, in real time.
    since: Option<SystemTime>,
    /// How long it stood still before that.
    total: Duration,
    demand: bool,
    undecided: bool,
}

/// Lets the engine's time pass, or not.
#[derive(Debug)]
pub(crate) struct Gate {
    pause: Mutex<Pause>,
    changed: Notify,
}

impl Gate {
    /// A gate that is closed from `now` on.
    pub(crate) fn closed(now: SystemTime) -> Arc<Self> {
        Arc::new(Self {
            pause: Mutex::new(Pause {
                since: Some(now),
                total: Duration::ZERO,
                demand: false,
                undecided: false,
            }),
            changed: Notify::new(),
        })
    }

    /// Whether the application has something to commit.
    pub(crate) fn set_demand(&self, now: SystemTime, demand: bool) {
        self.update(now, |pause| pause.demand = demand);
    }

    /// Whether some proposal is neither final nor given up.
    pub(crate) fn set_undecided(&self, now: SystemTime, undecided: bool) {
        self.update(now, |pause| pause.undecided = undecided);
    }

    /// Whether some proposal is neither final nor given up.
    pub(crate) fn is_undecided(&self) -> bool {
        self.pause.lock().undecided
    }

    /// Waits until time passes.
    pub(crate) async fn opened(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.pause.lock().since.is_none() {
                return;
            }
            changed.await;
        }
    }

    fn update(&self, now: SystemTime, change: impl FnOnce(&mut Pause)) {
        let mut pause = self.pause.lock();
        change(&mut pause);
        match (pause.demand || pause.undecided, pause.since) {
            (true, Some(since)) => {
                pause.total += now.duration_since(since).unwrap_or_default();
                pause.since = None;
            }
            (false, None) => pause.since = Some(now),
            _ => return,
        }
        drop(pause);
        self.changed.notify_waiters();
    }

    /// The engine's time, and whether it stands still.
    fn time(&self, now: SystemTime) -> (SystemTime, bool) {
        let pause = self.pause.lock();
        let real = pause.since.unwrap_or(now);
        let time = real
            .checked_sub(pause.total)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        (time, pause.since.is_some())
    }
}

/// A runtime's context with a clock that a [`Gate`] stops.
pub(crate) struct Paced<E> {
    inner: E,
    clock: Arc<E>,
    gate: Arc<Gate>,
}

impl<E: Clock + Supervisor> Paced<E> {
    pub(crate) fn new(inner: E, gate: Arc<Gate>) -> Self {
        let clock = Arc::new(inner.child("clock"));
        Self { inner, clock, gate }
    }
}

async fn sleep_until<E: Clock>(clock: Arc<E>, gate: Arc<Gate>, deadline: SystemTime) {
    loop {
        // Registered before the gate is read, so that no change between the two is missed.
        let mut changed = pin!(gate.changed.notified());
        changed.as_mut().enable();
        let (time, paused) = gate.time(clock.current());
        let Ok(left) = deadline.duration_since(time) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        if paused {
            changed.await;
        } else {
            futures::future::select(changed, pin!(clock.sleep(left))).await;
        }
    }
}

impl<E: Clock> Clock for Paced<E> {
    fn current(&self) -> SystemTime {
        self.gate.time(self.clock.current()).0
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        let deadline = self.current().checked_add(duration);
        self.sleep_until(deadline.unwrap_or_else(|| self.current()))
    }

    fn sleep_until(
        &self,
        deadline: SystemTime,
    ) -> impl Future<Output = ()> + Send + 'static + use<E> {
        sleep_until(self.clock.clone(), self.gate.clone(), deadline)
    }
}

impl<E: Clock> governor::clock::Clock for Paced<E> {
    type Instant = SystemTime;
    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl<E: Clock> governor::clock::ReasonablyRealtime for Paced<E> {}

// Everything below passes through to the runtime's own context.

impl<E> Paced<E> {
    fn with(&self, inner: E) -> Self {
        Self {
            inner,
            clock: self.clock.clone(),
            gate: self.gate.clone(),
        }
    }

    fn map(self, change: impl FnOnce(E) -> E) -> Self {
        Self {
            inner: change(self.inner),
            clock: self.clock,
            gate: self.gate,
        }
    }
}

impl<E: Clone> Clone for Paced<E> {
    fn clone(&self) -> Self {
        self.with(self.inner.clone())
    }
}

impl<E: Supervisor> Supervisor for Paced<E> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        self.with(self.inner.child(label))
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        self.map(|inner| inner.with_attribute(key, value))
    }
}

impl<E: Spawner> Spawner for Paced<E> {
    fn shared(self, blocking: bool) -> Self {
        self.map(|inner| inner.shared(blocking))
    }

    fn dedicated(self) -> Self {
        self.map(E::dedicated)
    }

    fn spawn<F, Fut, T>(self, task: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, clock, gate } = self;
        inner.spawn(move |inner| task(Self { inner, clock, gate }))
    }

    fn stop(
        self,
        value: i32,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.stop(value, timeout)
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl<E: Metrics> Metrics for Paced<E> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: TryRng<Error = Infallible>> TryRng for Paced<E> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl<E: TryCryptoRng<Error = Infallible>> TryCryptoRng for Paced<E> {}

impl<E: Storage> Storage for Paced<E> {
    type Blob = E::Blob;

    fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> impl Future<Output = Result<(Self::Blob, u64, BlobVersion), Error>> + Send {
        self.inner.open_versioned(partition, name, versions)
    }

    fn remove(
        &self,
        partition: &str,
        name: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.remove(partition, name)
    }

    fn scan(&self, partition: &str) -> impl Future<Output = Result<Vec<Vec<u8>>, Error>> + Send {
        self.inner.scan(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_runtime::{Runner as _, deterministic};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_passes_only_while_there_is_something_to_decide() {
        deterministic::Runner::default().start(|context| async move {
            let gate = Gate::closed(context.current());
            let paced = Paced::new(context.child("paced"), gate.clone());
            let start = paced.current();
            let passed = || paced.current().duration_since(start).unwrap_or_default();
            let mut alarm = pin!(paced.sleep(3 * SECOND));
            let mut ring = async |limit: Duration| {
                let limit = pin!(context.sleep(limit));
                let first = futures::future::select(alarm.as_mut(), limit).await;
                matches!(first, futures::future::Either::Left(_))
            };
            assert!(!ring(1000 * SECOND).await);
            assert_eq!(passed(), Duration::ZERO);

            gate.set_demand(context.current(), true);
            assert!(!ring(SECOND).await);
            gate.set_undecided(context.current(), true);
            gate.set_demand(context.current(), false);
            assert!(!ring(SECOND).await);
            gate.set_undecided(context.current(), false);
            assert!(!ring(1000 * SECOND).await);
            assert_eq!(passed(), 2 * SECOND);

            gate.set_demand(context.current(), true);
            assert!(ring(SECOND + SECOND / 10).await);
        });
    }
}
