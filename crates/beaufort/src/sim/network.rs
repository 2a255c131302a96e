//! What is between replicas: links with latency, jitter, loss and limited bandwidth.
//!
//! A channel is what a WebRTC data channel is by default: reliable and ordered. A lost packet is a late one here, and
//! everything behind it in its channel waits for it.

use super::Random;

/// Virtual time: microseconds from the start of a run.
pub type Micros = u64;

/// A second of virtual time.
pub const SECOND: Micros = 1_000_000;

/// What a packet carries of a message: what is left of the 1,200 bytes that browsers assume to pass everywhere.
const PACKET: u64 = 1150;
/// What goes around it: IP and UDP 28, DTLS 29 to 37, SCTP's common header and its chunk's 28.
const OVERHEAD: u64 = 90;

/// How all links are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// The least time that a packet takes, one way.
    pub floor: Micros,
    /// What it takes longer on average. The delay's tail is exponential, as that of a queue in a radio network: with
    /// the defaults one packet in a hundred takes 132 ms or more, where the average is 60 ms.
    pub tail: Micros,
    /// The probability that a packet is lost.
    pub loss: f64,
    /// How long a lost packet is late: the least retransmission timeout of a browser's SCTP.
    pub retransmission: Micros,
    /// What a replica can send, in bits a second.
    pub up: f64,
    /// What a replica can receive, in bits a second.
    pub down: f64,
    /// From the wish for a connection to the open channel: signaling, ICE, DTLS and SCTP take some ten one-way delays.
    pub setup: Micros,
    /// How long a dead channel looks open: a browser asks for consent to send again every 5 s.
    pub detection: Micros,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            floor: 40_000,
            tail: 20_000,
            loss: 0.0,
            retransmission: 400_000,
            up: 10e6,
            down: 10e6,
            setup: 600_000,
            detection: 5 * SECOND,
        }
    }
}

impl Network {
    /// A network without delay or limit, for runs in which time is no matter.
    pub fn immediate() -> Self {
        Self {
            floor: 1,
            tail: 0,
            up: f64::INFINITY,
            down: f64::INFINITY,
            setup: 10,
            ..Self::default()
        }
    }

    /// How many bytes a message of `length` bytes is on the wire.
    pub fn on_wire(length: usize) -> u64 {
        length as u64 + OVERHEAD * packets(length)
    }

    /// How long a message is on its way, once it has left its sender.
    pub(super) fn delay(&self, length: usize, random: &mut Random) -> Micros {
        let tail = if self.tail == 0 {
            0.0
        } else {
            random.exponential(self.tail as f64)
        };
        let mut delay = self.floor + tail as Micros;
        if self.loss > 0.0 {
            for _ in 0..packets(length) {
                while random.happens(self.loss) {
                    delay += self.retransmission;
                }
            }
        }
        delay
    }
}

fn packets(length: usize) -> u64 {
    (length as u64).div_ceil(PACKET).max(1)
}

/// One direction of a replica's access to the network: a queue that empties at a constant rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    free: Micros,
}

impl Line {
    /// When `bytes` that come at `now` are through, at `rate` bits a second.
    pub(super) fn pass(&mut self, now: Micros, bytes: u64, rate: f64) -> Micros {
        let duration = (bytes * 8) as f64 * SECOND as f64 / rate;
        self.free = self.free.max(now) + duration as Micros;
        self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_60_ms_on_average_and_never_below_the_floor() {
        let (network, mut random) = (Network::default(), Random::new(1));
        let delays: Vec<_> = (0..20_000)
            .map(|_| network.delay(100, &mut random))
            .collect();
        let mean = delays.iter().sum::<Micros>() / delays.len() as u64;
        assert!((59_000..61_000).contains(&mean), "{mean}");
        assert!(delays.iter().all(|&delay| delay >= network.floor));
    }

    #[test]
    fn a_large_message_has_more_packets_to_lose() {
        let network = Network {
            loss: 0.01,
            ..Network::default()
        };
        let late = |length| {
            let mut random = Random::new(2);
            (0..5000)
                .filter(|_| network.delay(length, &mut random) > network.retransmission)
                .count()
        };
        assert!(
            late(50_000) > 10 * late(500),
            "{} and {}",
            late(50_000),
            late(500)
        );
    }

    #[test]
    fn a_line_passes_one_thing_after_the_other() {
        let mut line = Line::default();
        assert_eq!(line.pass(0, 1250, 10e6), 1000);
        assert_eq!(line.pass(500, 1250, 10e6), 2000);
        assert_eq!(line.pass(9000, 1250, 10e6), 10_000);
    }
}
