//! Whether the validator that is followed is behind: others are asked, in turn.
//!
//! Nobody's word is believed. Whoever claims more than has come is tried as the next source, and
//! one that then gives nothing has failed. A stream is left where
//!
//! - nothing more comes on it although another validator claims that there is more, or
//! - it gives blocks too slowly: one is missing that more validators had long ago than may lie.

use super::{Chain, Timing, source::Source, turns::Turns};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// What is found of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lag {
    /// Another validator claims to have more.
    Behind {
        /// Its index.
        other: usize,
        /// The height it claims.
        claimed: u64,
    },
    /// It gives nothing of what it claimed itself.
    Unfounded(u64),
}

/// Watches one stream.
pub(super) struct Watch<'a> {
    pub(super) sources: &'a [Source],
    /// The index of the source that is followed.
    pub(super) followed: usize,
    /// The height for which it was chosen.
    pub(super) claimed: Option<u64>,
    pub(super) turns: &'a mut Turns,
    /// How many validators may lie.
    pub(super) faults: usize,
    /// The height of the last block found final.
    pub(super) verified: watch::Receiver<u64>,
    pub(super) chain: &'a dyn Chain,
    pub(super) timing: Timing,
}

impl Watch<'_> {
    /// Ends when the source is found behind.
    pub(super) async fn run(mut self) -> Lag {
        if let Some(claimed) = self.claimed
            && self.nothing_comes(claimed).await
        {
            return Lag::Unfounded(claimed);
        }
        let (mut due, mut since) = (self.turns.proven(self.faults), Instant::now());
        let mut asked = self.followed;
        loop {
            sleep(self.timing.ask).await;
            let Some(other) = self.next(asked) else {
                continue;
            };
            asked = other;
            let answer = self.sources[other].height(self.timing.answer).await;
            let Ok(claimed) = answer else { continue };
            self.turns.claims(other, claimed);
            let have = *self.verified.borrow();
            let mut slow = false;
            if since.elapsed() >= self.timing.late {
                slow = have < due && self.idle();
                (due, since) = (self.turns.proven(self.faults), Instant::now());
            }
            if claimed > have && (slow || self.nothing_comes(claimed).await) {
                return Lag::Behind { other, claimed };
            }
        }
    }

    /// The next validator to ask, other than the one that is followed.
    fn next(&self, asked: usize) -> Option<usize> {
        let now = Instant::now();
        let next = self.turns.after(asked, now)?;
        match next == self.followed {
            true => self.turns.after(next, now),
            false => Some(next),
        }
    }

    /// Whether a stream that should go on up to a height gives no further block in time.
    async fn nothing_comes(&mut self, claimed: u64) -> bool {
        let have = *self.verified.borrow_and_update();
        let more = self.verified.wait_for(|height| *height > have);
        have < claimed && timeout(self.timing.grace, more).await.is_err() && self.idle()
    }

    /// Whether all that came is executed: what is still missing is not for this node's slowness.
    fn idle(&self) -> bool {
        self.chain.height() >= *self.verified.borrow()
    }
}
