//! Whether there is something to commit: the only thing that makes an engine at rest move.

use crate::signal::{Follower, Signal};

/// Raised by the application while it has something to commit that is not yet final.
///
/// All copies are one. While it is lowered the engine neither proposes nor lets time pass.
#[derive(Debug, Clone)]
pub struct Demand(Signal<bool>);

impl Demand {
    /// A demand that is not raised.
    pub fn new() -> Self {
        Self(Signal::new(false))
    }

    /// There is something to commit. Also wakes a leader that was asked to propose and had
    /// nothing, so it is to be called for everything that comes, not only for the first.
    pub fn raise(&self) {
        self.0.update(|raised| {
            *raised = true;
            true
        });
    }

    /// There is nothing left to commit.
    pub fn lower(&self) {
        self.0.update(std::mem::take);
    }

    /// Whether there is something to commit.
    pub fn is_raised(&self) -> bool {
        self.0.get()
    }

    /// Follows it; also sees that it is raised again.
    pub(crate) fn follow(&self) -> Follower<bool> {
        self.0.follow()
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::new()
    }
}
