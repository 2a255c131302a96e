//! Following layer 1: final blocks from the validators, over HTTP.
//!
//! One validator's stream is followed (`source`), and nothing of it is believed: what is final is
//! for [`verify`] to say. Any failure, and every sign that the validator is behind or withholds
//! blocks (`lag`), leads on to another one, which goes on where the last left off. So the node
//! follows as long as one validator that it can reach is honest. Of several it takes the one that
//! answers first: a block comes as much later as its validator is farther away than the nearest.
//!
//! Fetching, verifying and executing run beside one another, with a bounded queue between each two;
//! a full queue holds up what is before it, down to the validator's socket.
//!
//! [`submit`] is the way in the other direction: transactions to the validators.

mod follower;
mod lag;
mod leaders;
mod source;
pub mod submit;
mod turns;
pub mod verify;

pub use follower::{Follower, StartError, Status, start, start_with};
pub use leaders::Leaders;
pub use source::{UrlError, Validators};

use plenary_store::Entry;
use std::time::Duration;

/// Who executes what is final.
pub trait Chain: Send + Sync + 'static {
    /// The height of the last block taken.
    fn height(&self) -> u64;

    /// Takes the next final block, which is the child of the one before. Called in order, from one
    /// thread that may block.
    ///
    /// # Errors
    ///
    /// Why this node must stop.
    fn take(&self, entry: Entry) -> Result<(), String>;
}

/// How long a follower waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A stream on which nothing came for as long is dead. A validator sends something every 5 s.
    pub silence: Duration,
    /// How often another validator is asked how far it is.
    pub ask: Duration,
    /// How long a validator has to answer.
    pub answer: Duration,
    /// How long a stream has for the next block once somebody claims that there is one.
    pub grace: Duration,
    /// A stream without a block that an honest validator had as long ago is too slow.
    pub late: Duration,
    /// How long a validator is left alone after its first failure; doubled with each further one.
    pub backoff: Duration,
    /// How long at most.
    pub longest_backoff: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(12),
            ask: Duration::from_secs(2),
            answer: Duration::from_secs(3),
            grace: Duration::from_secs(1),
            late: Duration::from_secs(10),
            backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(60),
        }
    }
}
