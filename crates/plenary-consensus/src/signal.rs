//! A value that others wait on.
//!
//! As `tokio::sync::watch`, except that who waits is woken in the order of waiting: `watch` wakes
//! in an order drawn at random, and no simulated run could be repeated.

use parking_lot::Mutex;
use std::{pin::pin, sync::Arc};
use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    /// The value, and how often it has been set.
    value: Mutex<(T, u64)>,
    set: Notify,
}

/// A value that can be set and followed. All copies are one.
#[derive(Debug)]
pub(crate) struct Signal<T>(Arc<Shared<T>>);

impl<T> Clone for Signal<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone> Signal<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: Mutex::new((value, 0)),
            set: Notify::new(),
        }))
    }

    /// The value now.
    pub(crate) fn get(&self) -> T {
        self.0.value.lock().0.clone()
    }

    /// Changes the value, and tells who follows it where `change` says that it did.
    pub(crate) fn update(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut value = self.0.value.lock();
        if change(&mut value.0) {
            value.1 += 1;
            drop(value);
            self.0.set.notify_waiters();
        }
    }

    /// Follows the value from now on.
    pub(crate) fn follow(&self) -> Follower<T> {
        let seen = self.0.value.lock().1;
        let signal = self.clone();
        Follower { signal, seen }
    }
}

/// Sees every time a value is set, though not every value.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    signal: Signal<T>,
    seen: u64,
}

impl<T: Clone> Follower<T> {
    /// The value now; counts as seen.
    pub(crate) fn get(&mut self) -> T {
        let value = self.signal.0.value.lock();
        self.seen = value.1;
        value.0.clone()
    }

    /// Whether the value was set since it was last seen.
    pub(crate) fn has_changed(&self) -> bool {
        self.signal.0.value.lock().1 != self.seen
    }

    /// Waits until the value is set, where it has not been since it was last seen; counts as
    /// seen.
    pub(crate) async fn changed(&mut self) -> T {
        loop {
            // Registered before the value is looked at, so that nothing is missed in between.
            let mut set = pin!(self.signal.0.set.notified());
            set.as_mut().enable();
            let (value, times) = self.signal.0.value.lock().clone();
            if times != self.seen {
                self.seen = times;
                return value;
            }
            set.await;
        }
    }
}
