//! Whose turn it is: validators that failed are left alone for a while, longer each time.

use super::Timing;
use std::time::Duration;
use tokio::time::Instant;

/// What is remembered of one validator.
#[derive(Debug, Clone, Default)]
struct Standing {
    failures: u32,
    until: Option<Instant>,
    /// The height it last said it has.
    claimed: u64,
}

/// The standings of all validators.
#[derive(Debug)]
pub(super) struct Turns {
    standings: Vec<Standing>,
    timing: Timing,
}

impl Turns {
    pub(super) fn new(validators: usize, timing: Timing) -> Self {
        Self {
            standings: vec![Standing::default(); validators],
            timing,
        }
    }

    /// Leaves a validator alone for a while. One that had served for long starts anew.
    pub(super) fn failed(&mut self, validator: usize, served: Duration, now: Instant) {
        let standing = &mut self.standings[validator];
        if served > self.timing.longest_backoff {
            standing.failures = 0;
        }
        let backoff = self.timing.backoff * 2_u32.saturating_pow(standing.failures);
        standing.failures = (standing.failures + 1).min(16);
        standing.until = Some(now + backoff.min(self.timing.longest_backoff));
    }

    /// The other validators that may be asked, in turn from this one on.
    pub(super) fn others(&self, validator: usize, now: Instant) -> impl Iterator<Item = usize> {
        let count = self.standings.len();
        let others = (1..count).map(move |step| (validator + step) % count);
        others.filter(move |other| {
            self.standings[*other]
                .until
                .is_none_or(|until| until <= now)
        })
    }

    /// The next validator after this one that may be asked.
    pub(super) fn after(&self, validator: usize, now: Instant) -> Option<usize> {
        self.others(validator, now).next()
    }

    /// The validator that is to be left alone the shortest.
    pub(super) fn soonest(&self) -> usize {
        let standings = self.standings.iter().enumerate();
        let soonest = standings.min_by_key(|(_, standing)| standing.until);
        soonest.map_or(0, |(validator, _)| validator)
    }

    /// Notes a height that a validator says it has.
    pub(super) fn claims(&mut self, validator: usize, height: u64) {
        self.standings[validator].claimed = height;
    }

    /// A height that some honest validator has, where no more than `faults` of them lie.
    pub(super) fn proven(&self, faults: usize) -> u64 {
        let claims = self.standings.iter().map(|standing| standing.claimed);
        let mut claims: Vec<u64> = claims.collect();
        claims.sort_unstable_by(|one, other| other.cmp(one));
        claims.get(faults).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_that_fails_again_is_left_alone_for_longer() {
        let (timing, now) = (Timing::default(), Instant::now());
        let mut turns = Turns::new(3, timing);
        turns.failed(1, Duration::ZERO, now);
        assert_eq!(turns.after(0, now), Some(2));
        assert_eq!(turns.after(0, now + timing.backoff), Some(1));
        turns.failed(1, Duration::ZERO, now);
        assert_eq!(turns.after(0, now + timing.backoff), Some(2));
        assert_eq!(turns.after(0, now + timing.backoff * 2), Some(1));
        for _ in 0..100 {
            turns.failed(1, Duration::ZERO, now);
        }
        assert_eq!(turns.after(0, now + timing.longest_backoff), Some(1));
        turns.failed(2, Duration::ZERO, now);
        assert_eq!(turns.after(0, now), None);
        assert_eq!(turns.soonest(), 0, "the one that has not failed");
        turns.failed(0, timing.longest_backoff * 2, now + timing.longest_backoff);
        assert_eq!(turns.soonest(), 2);
    }

    #[test]
    fn what_as_many_as_may_lie_claim_is_not_proven() {
        let mut turns = Turns::new(4, Timing::default());
        turns.claims(3, u64::MAX);
        assert_eq!(turns.proven(1), 0);
        turns.claims(0, 7);
        turns.claims(1, 9);
        assert_eq!(turns.proven(1), 9);
    }
}
