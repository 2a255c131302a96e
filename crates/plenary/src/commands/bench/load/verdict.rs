//! What the numbers of a run say about the run itself: whether the network was saturated, and whether
//! the generator was what limited it.

use serde::Serialize;
use std::time::Duration;

/// A backlog of this many seconds' arrivals says that the network does not keep up.
const BACKLOG_SECONDS: f64 = 1.0;
/// Above this share of what there is, something is used up.
const USED_UP: f64 = 0.8;
/// A generator on the same machine that takes this share of all that is used takes it from the nodes.
const LARGE_SHARE: f64 = 0.25;
/// Timers that are late by more than this share of the median workflow distort what is reported,
const LATE_SHARE: f64 = 0.1;
/// but only beyond what timers of an event loop are always late by.
const LATE_AT_LEAST: Duration = Duration::from_millis(5);
/// Clients are too few if more than this share of arrivals found none free.
const WAITED_SHARE: f64 = 0.05;

/// What an open loop came to at one rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    /// Workflows a second.
    pub(super) rate: f64,
    /// Workflows that had arrived and were not over when the time was.
    pub(super) backlog: u64,
    /// The workflow's p99; nothing where none was completed.
    pub(super) p99: Option<Duration>,
}

impl Offered {
    /// Why the network is saturated, where it is.
    pub(super) fn saturated(&self, limit: Duration) -> Option<String> {
        let arrivals = self.rate * BACKLOG_SECONDS;
        // What is being worked on is no backlog: of slow arrivals, there is always one.
        let allowed = arrivals.max(8.0);
        match self.p99 {
            None => Some("no workflow was completed".into()),
            Some(p99) if p99 > limit => Some(format!(
                "p99 of the workflow is {} ms, above {} ms",
                p99.as_millis(),
                limit.as_millis()
            )),
            _ if self.backlog as f64 > allowed => Some(format!(
                "{} workflows had arrived and were not done, more than arrive in {BACKLOG_SECONDS} s",
                self.backlog
            )),
            _ => None,
        }
    }
}

/// What the generator did while it measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Generator {
    /// Processor time that its process used, in cores.
    pub(super) cores_used: f64,
    /// What all nodes used.
    pub(super) nodes_cores_used: f64,
    /// How many the machine has.
    pub(super) cores: usize,
    /// How late its timers went off.
    pub(super) timers_late_p50_ms: f64,
    pub(super) timers_late_p99_ms: f64,
    /// The share of an open loop's arrivals that found no client free.
    pub(super) arrivals_waited_share: Option<f64>,
}

impl Generator {
    /// How it may have been the bottleneck; `workflow_ms` is the median workflow.
    pub(super) fn warnings(&self, workflow_ms: Option<f64>, clients: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        let (own, all) = (self.cores_used, self.cores_used + self.nodes_cores_used);
        let cores = self.cores as f64;
        if own > USED_UP * cores {
            warnings.push(format!(
                "the generator was the bottleneck: it used {own:.1} of {cores} cores"
            ));
        } else if all > USED_UP * cores && own > LARGE_SHARE * all {
            warnings.push(format!(
                "the generator took {:.0} % of a machine that was used up; on a machine of its own the nodes would do more",
                own / all * 100.0
            ));
        }
        let late = workflow_ms.unwrap_or_default() * LATE_SHARE;
        if self.timers_late_p99_ms > late.max(LATE_AT_LEAST.as_secs_f64() * 1000.0) {
            warnings.push(format!(
                "the generator's timers were late by {:.1} ms (p99): latencies include that",
                self.timers_late_p99_ms
            ));
        }
        if let Some(share) = self.arrivals_waited_share
            && share > WAITED_SHARE
        {
            warnings.push(format!(
                "{:.0} % of arrivals found none of {clients} clients free; they waited here, which counts, and not in the network: give more --clients if it is not saturated",
                share * 100.0
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn offered(backlog: u64, p99_ms: u64) -> Offered {
        Offered {
            rate: 100.0,
            backlog,
            p99: Some(Duration::from_millis(p99_ms)),
        }
    }

    #[test]
    fn a_network_is_saturated_by_its_p99_or_its_backlog() {
        assert_eq!(offered(100, 1000).saturated(LIMIT), None);
        let slow = offered(0, 1001).saturated(LIMIT);
        assert!(slow.is_some_and(|why| why.contains("1001 ms")));
        let behind = offered(101, 10).saturated(LIMIT);
        assert!(behind.is_some_and(|why| why.contains("101 workflows")));
        let nothing = Offered {
            p99: None,
            ..offered(0, 0)
        };
        assert!(nothing.saturated(LIMIT).is_some());
        // One workflow in a second of one a second is no backlog.
        let rare = Offered {
            rate: 0.5,
            ..offered(1, 10)
        };
        assert_eq!(rare.saturated(LIMIT), None);
    }

    fn idle() -> Generator {
        Generator {
            cores_used: 0.2,
            nodes_cores_used: 1.0,
            cores: 2,
            timers_late_p50_ms: 0.5,
            timers_late_p99_ms: 1.1,
            arrivals_waited_share: Some(0.0),
        }
    }

    #[test]
    fn a_generator_that_limits_says_how() {
        assert_eq!(idle().warnings(Some(20.0), 64), Vec::<String>::new());
        let busy = |cores_used, nodes_cores_used| Generator {
            cores_used,
            nodes_cores_used,
            ..idle()
        };
        let late = Generator {
            timers_late_p99_ms: 9.0,
            ..idle()
        };
        let few = Generator {
            arrivals_waited_share: Some(0.5),
            ..idle()
        };
        let expected = [
            (busy(1.7, 0.2), "was the bottleneck"),
            (busy(0.7, 1.2), "took 37 %"),
            (late.clone(), "late by 9.0 ms"),
            (few, "50 % of arrivals"),
        ];
        for (generator, part) in expected {
            let warnings = generator.warnings(Some(20.0), 64);
            assert!(
                warnings.len() == 1 && warnings[0].contains(part),
                "{warnings:?}"
            );
        }
        // Of a workflow that takes long, as much is nothing.
        assert!(late.warnings(Some(1000.0), 64).is_empty());
    }
}
