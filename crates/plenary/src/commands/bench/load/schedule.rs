//! When the workflows of an open loop begin: at fixed times, whatever became of those before. So
//! what waits shows as latency, and is not left out because the clients wait as well ("coordinated
//! omission").
//!
//! Times are counted from the beginning of the run. Nothing here looks at a clock.

use super::tally;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Arrivals at a fixed rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    /// Workflows a second; more than 0.
    rate: f64,
}

impl Schedule {
    /// So many workflows a second.
    pub(super) fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// When the arrival with this number, counted from 0, is meant to begin.
    pub(super) fn at(self, number: u64) -> Duration {
        // Each from the beginning, so that no rounding adds up.
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many are meant to have begun before `now`.
    pub(super) fn before(self, now: Duration) -> u64 {
        let about = (now.as_secs_f64() * self.rate) as u64;
        // As `at` says it, to the nanosecond.
        let near = about.saturating_sub(1)..about + 2;
        let first_after = near.clone().find(|number| self.at(*number) >= now);
        first_after.unwrap_or(near.end)
    }
}

/// How late the generator itself was: what it adds to the latencies that it reports.
#[derive(Debug)]
pub(super) struct Lateness {
    /// In microseconds.
    late: Histogram<u64>,
    /// Arrivals that found another one waiting for a client.
    waited: u64,
}

impl Lateness {
    pub(super) fn new() -> Self {
        Self {
            late: tally::histogram(),
            waited: 0,
        }
    }

    /// A timer that was meant for `due` went off at `now`.
    pub(super) fn went_off(&mut self, due: Duration, now: Duration) {
        tally::record(&mut self.late, now.saturating_sub(due));
    }

    /// No client was free for an arrival.
    pub(super) fn has_to_wait(&mut self) {
        self.waited += 1;
    }

    /// How late timers were, at most, in this share of all cases.
    pub(super) fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.late.value_at_quantile(share))
    }

    pub(super) fn waited(&self) -> u64 {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn arrivals_keep_their_times_however_long_the_run() {
        let schedule = Schedule::new(300.0);
        assert_eq!(schedule.at(0), Duration::ZERO);
        assert_eq!(schedule.at(300), Duration::from_secs(1));
        // An hour later, still to the nanosecond: no rounding has added up.
        assert_eq!(schedule.at(300 * 3600), Duration::from_secs(3600));
        assert_eq!(Schedule::new(0.5).at(3), Duration::from_secs(6));
    }

    #[test]
    fn an_arrival_has_begun_once_its_time_is_over_and_not_before() {
        for rate in [0.5, 3.0, 50.0, 777.7, 10_000.0] {
            let schedule = Schedule::new(rate);
            for number in [1, 2, 3, 1000, 123_456] {
                let at = schedule.at(number);
                assert_eq!(schedule.before(at), number, "rate {rate}");
                let after = at + Duration::from_nanos(1);
                assert_eq!(schedule.before(after), number + 1, "rate {rate}");
            }
            assert_eq!(schedule.before(Duration::ZERO), 0);
        }
    }

    #[test]
    fn a_stall_of_one_client_counts_for_every_arrival_that_it_held_up() {
        // One client, 100 arrivals a second, each takes 1 ms, but the first one a second.
        let schedule = Schedule::new(100.0);
        let mut clock = Duration::ZERO;
        let mut latencies = Vec::new();
        for number in 0..200 {
            let intended = schedule.at(number);
            clock = clock.max(intended);
            clock += if number == 0 { 1000 * MS } else { MS };
            latencies.push(clock - intended);
        }
        // Counted from when it was free, the client would have seen 199 of 200 in 1 ms.
        let slow = latencies.iter().filter(|latency| **latency > 10 * MS);
        assert_eq!(slow.count(), 110);
        assert_eq!(latencies[50], 1050 * MS - schedule.at(50));
        assert_eq!(latencies[199], MS);
    }

    #[test]
    fn a_timer_is_late_by_how_much_it_missed_its_time() {
        let mut lateness = Lateness::new();
        for number in 0..99 {
            lateness.went_off(number * 10 * MS, number * 10 * MS);
        }
        // One that went off too early is not late.
        lateness.went_off(10 * MS, 9 * MS);
        assert_eq!(lateness.at(1.0), Duration::ZERO);
        lateness.went_off(1000 * MS, 1064 * MS);
        let worst = lateness.at(1.0);
        assert!(worst.abs_diff(64 * MS) < MS, "{worst:?}");
        assert!(lateness.at(0.9) < MS);
    }
}
