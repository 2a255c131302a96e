//! A bell: rung when something changed, to wake whoever listens.
//!
//! Who waits listens first, then looks, then waits: nothing that happens in between is missed.
//! Listeners wake in the order in which they came, so that simulations replay.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Bell(Mutex<Vec<oneshot::Sender<()>>>);

impl Bell {
    /// Wakes everybody who listens now.
    pub fn ring(&self) {
        for listener in std::mem::take(&mut *self.0.lock()) {
            // Who has gone away needs no waking.
            let _ = listener.send(());
        }
    }

    /// Waits until `look` sees something, looking anew whenever the bell rings.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let rung = self.listen();
            if let Some(seen) = look() {
                return seen;
            }
            // A bell that is dropped rings no more, but then somebody still holds `self`.
            let _ = rung.await;
        }
    }

    fn listen(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut listeners = self.0.lock();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        receiver
    }
}
