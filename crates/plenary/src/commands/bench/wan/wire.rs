//! What is on its way between session nodes and validators, and chance.

use plenary_types::Digest;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// A node, as an end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Session(usize),
    Validator(usize),
}

/// Numbers that the seed decides.
#[derive(Debug)]
pub(super) struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Twelve numbers from 0 to 1, each as likely as any other.
    fn draw(&mut self) -> [f64; 12] {
        self.drawn += 1;
        let number = [self.seed.to_be_bytes(), self.drawn.to_be_bytes()];
        let digest = Digest::of("plenary bench wan", &[&number[0], &number[1]]).0;
        std::array::from_fn(|index| {
            f64::from(u16::from_be_bytes([
                digest[2 * index],
                digest[2 * index + 1],
            ])) / f64::from(u16::MAX)
        })
    }

    /// A time below a bound.
    pub(super) fn below(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(self.draw()[0])
    }

    /// A time around a mean, with a standard deviation: about normally distributed, and never
    /// negative.
    fn around(&mut self, mean: Duration, deviation: Duration) -> Duration {
        if deviation.is_zero() {
            return mean;
        }
        // The sum has the mean 6 and the deviation 1.
        let away = self.draw().iter().sum::<f64>() - 6.0;
        let time = mean.as_secs_f64() + away * deviation.as_secs_f64();
        Duration::from_secs_f64(time.max(0.0))
    }
}

/// Connections that lose nothing and keep the order, as TCP does.
#[derive(Debug)]
pub(super) struct Wire<T> {
    jitter: Duration,
    chance: Chance,
    sent: u64,
    /// By arrival, then by the order of sending.
    under_way: BTreeMap<(SystemTime, u64), T>,
    /// When the last message on a connection arrives.
    last: BTreeMap<(End, End), SystemTime>,
}

impl<T> Wire<T> {
    pub(super) const fn new(jitter: Duration, seed: u64) -> Self {
        Self {
            jitter,
            chance: Chance::new(seed),
            sent: 0,
            under_way: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Sends from one node to another, which takes `delay` on average.
    pub(super) fn send(&mut self, now: SystemTime, ends: (End, End), delay: Duration, message: T) {
        let arrival = now + self.chance.around(delay, self.jitter);
        let last = self.last.entry(ends).or_insert(arrival);
        *last = arrival.max(*last);
        let arrival = *last;
        self.at(arrival, message);
    }

    /// Lets something happen at a time.
    pub(super) fn at(&mut self, time: SystemTime, message: T) {
        self.sent += 1;
        self.under_way.insert((time, self.sent), message);
    }

    /// The next message that has arrived.
    pub(super) fn arrived(&mut self, now: SystemTime) -> Option<T> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next one arrives.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.under_way.keys().next().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_take_their_time_and_never_overtake_one_another() {
        let (start, delay) = (SystemTime::UNIX_EPOCH, Duration::from_millis(50));
        let ends = (End::Session(0), End::Validator(0));
        let mut wire = Wire::new(Duration::from_millis(10), 7);
        let mut arrivals = Vec::new();
        for message in 0..1000 {
            wire.send(start, ends, delay, message);
            wire.last.clear();
            let next = wire.next().unwrap_or(start);
            assert_eq!(wire.arrived(next), Some(message));
            arrivals.push(next.duration_since(start).unwrap_or_default());
        }
        let mean = arrivals.iter().sum::<Duration>() / 1000;
        assert!(mean.abs_diff(delay) < Duration::from_millis(1), "{mean:?}");
        let within = |time: &&Duration| time.abs_diff(delay) < Duration::from_millis(10);
        assert!((640..720).contains(&arrivals.iter().filter(within).count()));

        (0..100).for_each(|message| wire.send(start, ends, delay, message));
        let late = start + 2 * delay;
        let order = std::iter::from_fn(|| wire.arrived(late));
        assert!(order.eq(0..100));
    }
}
