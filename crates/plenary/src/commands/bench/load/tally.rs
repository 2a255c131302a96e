//! What a run counts: latencies in HDR histograms (three significant digits, to the microsecond),
//! failures by step and kind.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// An empty histogram of microseconds, that grows with what it is given.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

/// Counts a latency.
pub(super) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    // A histogram that grows takes any value.
    let _ = latencies.record(micros);
}

/// Who answers a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A session node, at once: a step of a session.
    Step,
    /// Layer 1, to the last step of a session.
    Commit,
    /// Layer 1, to a request of its own.
    Alone,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Commit => "commit",
            Self::Alone => "alone",
        }
    }
}

/// A workflow as one client played it.
pub(crate) struct Played {
    /// When it was meant to begin.
    pub(crate) intended: Instant,
    pub(crate) ended: Instant,
    /// The steps that were done, in order.
    pub(crate) steps: Vec<Step>,
    /// What the receipt took, where it was fetched and checked.
    pub(crate) receipt: Option<Duration>,
    /// Why it did not come to its end: the step, and the kind of failure.
    pub(crate) failure: Option<(String, String)>,
}

/// A step that was done.
pub(crate) struct Step {
    pub(crate) part: Part,
    /// From when it was meant to be sent.
    pub(crate) latency: Duration,
    pub(crate) ended: Instant,
    /// Whether it made a transaction.
    pub(crate) transaction: bool,
}

/// What was done in a stretch of time, however long ago it was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Done {
    pub(crate) workflows: u64,
    pub(crate) steps: u64,
    /// Transactions that became final for it.
    pub(crate) transactions: u64,
}

/// What a run has counted so far.
pub(crate) struct Tally {
    /// From when on workflows count that are begun; what begins before that is warm-up.
    from: Instant,
    /// The steps of the workflow: which part each is, and its latencies.
    steps: Vec<(String, Option<Part>, Histogram<u64>)>,
    workflows: Histogram<u64>,
    receipts: Histogram<u64>,
    failures: BTreeMap<(String, String), u64>,
    /// Done from `from` to `until`.
    done: Done,
    /// Workflows done since the run began.
    all: u64,
    /// Workflows that came to any end since then.
    ended: u64,
    /// Until when what is done counts as throughput, once that is over.
    until: Option<Instant>,
}

/// The latencies of one thing, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// `step`, `commit`, `alone`, `receipt` or `workflow`; or the name of a step.
    pub(crate) what: String,
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) mean_ms: f64,
}

/// So many workflows failed so at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failed {
    pub(crate) step: String,
    pub(crate) kind: String,
    pub(crate) count: u64,
}

impl Tally {
    /// Counts what begins from `from` on, of a workflow of these steps.
    pub(crate) fn new(from: Instant, steps: impl IntoIterator<Item = String>) -> Self {
        let steps = steps.into_iter().map(|name| (name, None, histogram()));
        Self {
            from,
            steps: steps.collect(),
            workflows: histogram(),
            receipts: histogram(),
            failures: BTreeMap::new(),
            done: Done::default(),
            all: 0,
            ended: 0,
            until: None,
        }
    }

    /// Counts a workflow. Latencies and failures count if it was meant to begin in the time that is
    /// measured, even if it ends later; throughput is what ends in that time, each step for itself.
    pub(crate) fn add(&mut self, played: &Played) {
        let whole = played.failure.is_none();
        self.all += u64::from(whole);
        self.ended += 1;
        let (from, until) = (self.from, self.until);
        let in_time = |at: Instant| at >= from && until.is_none_or(|until| at <= until);
        self.done.workflows += u64::from(whole && in_time(played.ended));
        for step in played.steps.iter().filter(|step| in_time(step.ended)) {
            self.done.steps += 1;
            self.done.transactions += u64::from(step.transaction);
        }
        if played.intended < self.from {
            return;
        }
        for (step, (_, part, latencies)) in played.steps.iter().zip(&mut self.steps) {
            *part = Some(step.part);
            record(latencies, step.latency);
        }
        if let Some(receipt) = played.receipt {
            record(&mut self.receipts, receipt);
        }
        match &played.failure {
            None => record(&mut self.workflows, played.ended - played.intended),
            Some(failure) => *self.failures.entry(failure.clone()).or_default() += 1,
        }
    }

    /// Counts workflows that never came to an end.
    pub(crate) fn unfinished(&mut self, count: u64) {
        if count > 0 {
            let what = ("-".into(), "unfinished".into());
            *self.failures.entry(what).or_default() += count;
        }
    }

    /// The time that is measured is over: what is done from now on is no throughput.
    pub(crate) fn close(&mut self, now: Instant) {
        self.until = Some(now);
    }

    /// What was done in the time that is measured. It is known once all that was begun is over.
    pub(crate) fn done(&self) -> Done {
        self.done
    }

    /// How many workflows were done since the run began, warm-up included.
    pub(crate) fn all(&self) -> u64 {
        self.all
    }

    /// How many came to any end since the run began, warm-up included.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// How many of the workflows that count failed, by step and kind.
    pub(crate) fn failures(&self) -> Vec<Failed> {
        let failures = self.failures.iter();
        let failures = failures.map(|((step, kind), count)| Failed {
            step: step.clone(),
            kind: kind.clone(),
            count: *count,
        });
        failures.collect()
    }

    /// The latencies of all steps of a kind together, of receipts and of whole workflows.
    pub(crate) fn kinds(&self) -> Vec<Latency> {
        let kinds = [Part::Step, Part::Commit, Part::Alone].map(|kind| {
            let mut all = histogram();
            let steps = self.steps.iter().filter(|(_, part, _)| *part == Some(kind));
            for (.., latencies) in steps {
                // A histogram that grows takes all that another has.
                let _ = all.add(latencies);
            }
            Latency::of(kind.name(), &all)
        });
        let rest = [
            Latency::of("receipt", &self.receipts),
            Latency::of("workflow", &self.workflows),
        ];
        let kinds = kinds.into_iter().chain(rest);
        kinds.filter(|latency| latency.count > 0).collect()
    }

    /// The latencies of each step.
    pub(crate) fn steps(&self) -> Vec<Latency> {
        let steps = self.steps.iter();
        steps
            .map(|(name, _, latencies)| Latency::of(name, latencies))
            .collect()
    }
}

impl Latency {
    fn of(what: &str, latencies: &Histogram<u64>) -> Self {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |share| ms(latencies.value_at_quantile(share));
        Self {
            what: what.to_owned(),
            count: latencies.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(latencies.max()),
            mean_ms: latencies.mean() / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tally(from: Instant) -> Tally {
        Tally::new(from, ["Scan", "Label", "Commit"].map(String::from))
    }

    /// A workflow that is begun and ended so long after `from`, at so many milliseconds a step.
    fn played(begun: Instant, ended: Instant, latency: u64) -> Played {
        let step = |part, times| Step {
            part,
            latency: Duration::from_millis(latency * times),
            ended,
            transaction: part == Part::Commit,
        };
        Played {
            intended: begun,
            ended,
            steps: vec![
                step(Part::Step, 1),
                step(Part::Step, 2),
                step(Part::Commit, 10),
            ],
            receipt: None,
            failure: None,
        }
    }

    #[test]
    fn percentiles_of_known_samples_are_theirs() {
        let start = Instant::now();
        let mut tally = tally(start);
        for latency in 1..=1000 {
            tally.add(&played(start, start + SECOND, latency));
        }
        let steps = tally.steps();
        let (scan, commit) = (&steps[0], &steps[2]);
        assert_eq!((scan.count, commit.count), (1000, 1000));
        // To three digits.
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.001;
        assert!(
            near(scan.p50_ms, 500.0) && near(scan.p90_ms, 900.0),
            "{scan:?}"
        );
        assert!(
            near(scan.p99_ms, 990.0) && near(scan.p999_ms, 999.0),
            "{scan:?}"
        );
        assert!(
            near(scan.max_ms, 1000.0) && near(scan.mean_ms, 500.5),
            "{scan:?}"
        );
        assert!(near(commit.p50_ms, 5000.0), "{commit:?}");
        let kinds = tally.kinds();
        let names: Vec<_> = kinds.iter().map(|kind| kind.what.as_str()).collect();
        assert_eq!(names, ["step", "commit", "workflow"]);
        assert_eq!(kinds[0].count, 2000);
        assert!(near(kinds[0].max_ms, 2000.0), "{:?}", kinds[0]);
    }

    #[test]
    fn warm_up_does_not_count_and_what_ends_late_counts_as_latency_only() {
        let start = Instant::now();
        let mut tally = tally(start + SECOND);
        // Begun and ended before; begun before and ended within; wholly within.
        tally.add(&played(start, start, 1));
        tally.add(&played(start, start + 2 * SECOND, 1));
        tally.add(&played(start + SECOND, start + 2 * SECOND, 1));
        tally.close(start + 3 * SECOND);
        // Begun within and ended after; and one whose first step was done within.
        tally.add(&played(start + SECOND, start + 9 * SECOND, 1));
        let mut long = played(start, start + 9 * SECOND, 1);
        long.steps[0].ended = start + 2 * SECOND;
        tally.add(&long);
        let done = tally.done();
        assert_eq!((done.workflows, done.steps, done.transactions), (2, 7, 2));
        let workflow = tally.kinds().pop().unwrap();
        assert_eq!((workflow.count, tally.all()), (2, 5));
        assert!(workflow.max_ms > 7990.0, "{workflow:?}");
    }

    #[test]
    fn a_failure_is_counted_where_it_happened_and_its_steps_as_well() {
        let start = Instant::now();
        let mut tally = tally(start);
        for kind in ["busy", "busy", "conflict"] {
            let mut failed = played(start, start + SECOND, 1);
            failed.steps.truncate(2);
            failed.failure = Some(("Commit".into(), kind.into()));
            tally.add(&failed);
        }
        tally.unfinished(0);
        let failures: Vec<_> = tally
            .failures()
            .into_iter()
            .map(|it| (it.kind, it.count))
            .collect();
        assert_eq!(failures, [("busy".into(), 2), ("conflict".into(), 1)]);
        assert_eq!((tally.done().workflows, tally.done().steps), (0, 6));
        assert!(tally.kinds().iter().all(|kind| kind.what != "workflow"));
    }
}
