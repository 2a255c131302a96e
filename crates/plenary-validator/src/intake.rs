//! What other validators pass on, taken in batches: decoding and checking signatures happens on a
//! thread of its own, all that waits at once, and never on the engine's.

use crate::node::Node;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

/// How many messages may wait; more are dropped, and their originators send them again.
const WAITING: usize = 8192;
/// How many messages are taken at a time.
const BATCH: usize = 512;

/// The queue between the engine and the mempool.
#[derive(Default)]
pub struct Intake {
    queue: Mutex<Option<mpsc::SyncSender<Bytes>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Intake {
    /// Starts taking messages for `node` on a thread of its own. Until then, and in simulations,
    /// the node takes each at once.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn start(node: &Arc<Node>) -> io::Result<()> {
        let (queue, messages) = mpsc::sync_channel::<Bytes>(WAITING);
        let weak = Arc::downgrade(node);
        let thread = thread::Builder::new()
            .name("intake".into())
            .spawn(move || {
                while let Ok(first) = messages.recv() {
                    let Some(node) = weak.upgrade() else { return };
                    let rest = messages.try_iter().take(BATCH - 1);
                    node.receive_all(std::iter::once(first).chain(rest));
                }
            })?;
        *node.intake.queue.lock() = Some(queue);
        *node.intake.thread.lock() = Some(thread);
        Ok(())
    }

    /// Queues a message; gives it back where there is no queue.
    pub(crate) fn push(&self, message: Bytes) -> Result<(), Bytes> {
        match &*self.queue.lock() {
            None => Err(message),
            Some(queue) => {
                // A full queue drops it: the originator repeats what no block has taken.
                let _ = queue.try_send(message);
                Ok(())
            }
        }
    }

    /// Stops the thread.
    pub(crate) fn stop(&self) {
        self.queue.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
