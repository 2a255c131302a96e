//! What waits to be written to one peer: bounded in messages and in bytes.
//!
//! Whoever sends holds the lock for a push; the writer takes all that waits at once, and only then
//! writes. What is being written counts as waiting, so that a peer that does not read is noticed by
//! whoever sends.

use super::MAX_MESSAGE_BYTES;
use bytes::Bytes;
use parking_lot::Mutex;
use std::mem;
use tokio::sync::Notify;

/// Most messages that wait for one peer.
pub(super) const MAX_QUEUED_MESSAGES: usize = 16 * 1024;
/// Most bytes of messages that wait for one peer.
pub(super) const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    open: bool,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    writing: usize,
    writing_bytes: usize,
}

impl Queue {
    /// Begins to take messages: there is a connection.
    pub(super) fn open(&self) {
        self.state.lock().open = true;
    }

    /// Drops what waits, and takes nothing more.
    pub(super) fn close(&self) {
        *self.state.lock() = State::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open
    }

    /// Queues a message. False: closed or full, or the message is too large for any connection.
    pub(super) fn push(&self, message: Bytes) -> bool {
        let mut state = self.state.lock();
        if !state.takes(message.len()) {
            return false;
        }
        state.waiting_bytes += message.len();
        state.waiting.push(message);
        let first = state.waiting.len() == 1;
        drop(state);
        if first {
            self.filled.notify_one();
        }
        true
    }

    /// Waits for messages and moves all of them to `batch`, which must be empty: what it had before
    /// is taken for written. May be cancelled without loss.
    pub(super) async fn take(&self, batch: &mut Vec<Bytes>) {
        while !self.state.lock().take(batch) {
            self.filled.notified().await;
        }
    }
}

impl State {
    fn takes(&self, length: usize) -> bool {
        self.open
            && length <= MAX_MESSAGE_BYTES
            && self.waiting.len() + self.writing < MAX_QUEUED_MESSAGES
            && self.waiting_bytes + self.writing_bytes + length <= MAX_QUEUED_BYTES
    }

    fn take(&mut self, batch: &mut Vec<Bytes>) -> bool {
        mem::swap(&mut self.waiting, batch);
        self.writing = batch.len();
        self.writing_bytes = mem::take(&mut self.waiting_bytes);
        self.writing > 0
    }
}
