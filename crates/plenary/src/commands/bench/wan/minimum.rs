//! The least time a step and a commit can take, from the delays alone.
//!
//! Let d(a, b) be the time of the fastest way from a to b, which is 0 where both are one node, q the
//! size of a quorum, and Q(t)_i the q-th smallest of t_j + d(j, i) over the running validators j: the
//! time at which validator i has a quorum's messages, where each j sends its own at t_j. For a client
//! at the site of session node s, and leader l, in messages one after the other:
//!
//! ```text
//! p   = d(s, s) + d(s, l)         the request, and the transaction's way to the leader
//! b_i = p + d(l, i)               the block arrives; i votes to notarize it
//! n_i = Q(b)_i                    i has a notarization, and votes to finalize
//! f_i = Q(n)_i                    i has a certificate
//! c   = min (f_i + d(i, s)) + d(s, s)    block and certificate at the session node; the answer
//! ```
//!
//! Where the leader is at the session node's own site, the submission is free but for `same_site_ms`,
//! and so is the delivery: three hops (block, votes, votes). Otherwise the submission is a fourth. With
//! the session node at no validator's site the delivery is one more. Computing and disks cost nothing
//! here. No run of this protocol can be faster; one that has to replace a leader first must be slower.

use super::matrix::Matrix;
use std::time::Duration;

/// Validators that run, and where everybody is.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    /// The time of the fastest way from a site to a site.
    ways: Vec<Vec<Duration>>,
    /// The running validators, by index, with their sites.
    running: Vec<(usize, usize)>,
    quorum: usize,
}

impl Minimum {
    /// Of the validators at `sites`, those before `running` run; all count for the quorum.
    pub(super) fn new(matrix: &Matrix, sites: &[usize], running: usize) -> Self {
        let validators = sites.len();
        let faults = (validators - 1) / 3;
        let sites = sites.iter().copied().enumerate();
        Self {
            ways: fastest_ways(matrix),
            running: sites.take(running).collect(),
            quorum: validators - faults,
        }
    }

    /// Of a commit through a leader, for a client at the site of a session node.
    pub(super) fn commit(&self, site: usize, leader: usize) -> Duration {
        let sent = self.ways[site][site] + self.ways[site][self.site(leader)];
        let leader = (leader, self.site(leader));
        let running = self.running.iter();
        let arrived: Vec<_> = running.map(|to| sent + self.way(leader, *to)).collect();
        let notarized = self.quorums(&arrived);
        let finals = self.quorums(&notarized);
        let delivered = finals.iter().zip(&self.running);
        let delivered = delivered.map(|(time, (_, from))| *time + self.ways[*from][site]);
        delivered.min().unwrap_or_default() + self.ways[site][site]
    }

    /// Of a step that `needed` of the session nodes at the other sites must agree with.
    pub(super) fn step(&self, site: usize, needed: usize) -> Duration {
        let others = (0..self.ways.len()).filter(|other| *other != site);
        let mut trips: Vec<_> = others
            .map(|other| self.ways[site][other] + self.ways[other][site])
            .collect();
        trips.sort_unstable();
        let agreed = needed.checked_sub(1).and_then(|last| trips.get(last));
        2 * self.ways[site][site] + agreed.copied().unwrap_or_default()
    }

    /// The time in which whatever a quorum sends has reached every running validator, the slowest
    /// one too: the unit that commits are counted in.
    pub(super) fn slowest_quorum(&self) -> Duration {
        let now = vec![Duration::ZERO; self.running.len()];
        self.quorums(&now).into_iter().max().unwrap_or_default()
    }

    /// The site of a running validator.
    fn site(&self, validator: usize) -> usize {
        let running = self.running.iter();
        let mut found = running.filter(|(index, _)| *index == validator);
        found.next().map_or(0, |(_, site)| *site)
    }

    /// The time from one validator, with its site, to another.
    fn way(&self, from: (usize, usize), to: (usize, usize)) -> Duration {
        match from.0 == to.0 {
            true => Duration::ZERO,
            false => self.ways[from.1][to.1],
        }
    }

    /// Q: when each has a quorum's messages that were sent at `sent`.
    fn quorums(&self, sent: &[Duration]) -> Vec<Duration> {
        let at = |to: &(usize, usize)| {
            let messages = self.running.iter().zip(sent);
            let mut times: Vec<_> = messages
                .map(|(from, time)| *time + self.way(*from, *to))
                .collect();
            times.sort_unstable();
            // Fewer than a quorum decide nothing, which the arguments exclude.
            times.get(self.quorum - 1).copied().unwrap_or(Duration::MAX)
        };
        self.running.iter().map(at).collect()
    }
}

/// Floyd and Warshall's: what is passed on may arrive before what is sent directly.
fn fastest_ways(matrix: &Matrix) -> Vec<Vec<Duration>> {
    let sites = 0..matrix.sites.len();
    let row = |from| sites.clone().map(|to| matrix.delay(from, to)).collect();
    let mut ways: Vec<Vec<Duration>> = sites.clone().map(row).collect();
    for by in sites.clone() {
        for from in sites.clone() {
            for to in sites.clone() {
                ways[from][to] = ways[from][to].min(ways[from][by] + ways[by][to]);
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::path::Path;

    fn matrix(text: &str) -> Matrix {
        Matrix::parse("test", Path::new("test.toml"), text).unwrap()
    }

    /// Four sites on a line, 10, 20 and 30 ms apart, and a validator at each.
    fn line() -> Matrix {
        matrix(
            r#"
sites = ["a", "b", "c", "d"]
same_site_ms = 1
[one_way_ms]
a = { b = 10, c = 30, d = 60 }
b = { c = 20, d = 50 }
c = { d = 30 }
"#,
        )
    }

    fn ms(duration: Duration) -> u128 {
        duration.as_millis()
    }

    #[test]
    fn it_is_what_it_is_by_hand() {
        let minimum = Minimum::new(&line(), &[0, 1, 2, 3], 4);
        // A quorum is three. The third nearest, each one itself included: a: c 30, b: c 20, c: a or d
        // 30, d: b 50.
        assert_eq!(ms(minimum.slowest_quorum()), 50);
        // Client to session node at a: 1, to the leader there: 1. Blocks at 2, 12, 32, 62. Third
        // votes to notarize: a: 2, 22, 62 -> 62; b: 12, 12, 52 -> 52; c: 32, 32, 32 -> 32; d: 62.
        // Third votes to finalize: a: 62, 62, 62, 122 -> 62. One to the session node, one back.
        assert_eq!(ms(minimum.commit(0, 0)), 64);
        // The same leader for a session node at d, where the transaction is sent 60 away: notarized
        // at 121, 111, 91 and 121. Votes to finalize are at d at 181, 161, 121 and 121: third 161.
        assert_eq!(ms(minimum.commit(3, 0)), 163);
    }

    #[test]
    fn crashed_validators_count_for_the_quorum() {
        let minimum = Minimum::new(&line(), &[0, 1, 2, 3], 3);
        // All three must be heard: a from c, b from c, c from a.
        assert_eq!(ms(minimum.slowest_quorum()), 30);
        let other = Minimum::new(&line(), &[3, 1, 2, 0], 3);
        assert_eq!(ms(other.slowest_quorum()), 50);
    }

    #[test]
    fn a_step_takes_as_long_as_the_slowest_that_it_needs() {
        let minimum = Minimum::new(&line(), &[0, 1, 2, 3], 4);
        let step = |needed| ms(minimum.step(0, needed));
        assert_eq!([0, 1, 2, 3].map(step), [2, 22, 62, 122]);
    }

    #[test]
    fn what_is_passed_on_may_be_faster() {
        let detour = matrix(
            "sites = [\"a\", \"b\", \"c\"]\n[one_way_ms]\na = { b = 1, c = 9 }\nb = { c = 1 }\n",
        );
        assert_eq!(ms(fastest_ways(&detour)[0][2]), 2);
    }
}
