//! Whether there is something to commit: the only thing that makes an engine at rest move.

use std::sync::Arc;
use tokio::sync::watch;

/// Raised by the application while it has something to commit that is not yet final.
///
/// All copies are one. While it is lowered the engine neither proposes nor lets time pass.
#[derive(Debug, Clone)]
pub struct Demand(Arc<watch::Sender<bool>>);

impl Demand {
    /// A demand that is not raised.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// There is something to commit. Also wakes a leader that was asked to propose and had
    /// nothing, so it is to be called for everything that comes, not only for the first.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// There is nothing left to commit.
    pub fn lower(&self) {
        self.0.send_if_modified(std::mem::take);
    }

    /// Follows it; also sees that it is raised again.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Whether there is something to commit.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::new()
    }
}
