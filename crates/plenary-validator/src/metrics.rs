//! What a validator counts, for Prometheus.

use parking_lot::Mutex;
use plenary_types::{Block, Outcome};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use std::time::{Duration, Instant};

/// The counters of one node.
pub struct Metrics {
    registry: Registry,
    height: Gauge,
    pending: Gauge,
    committed: Counter,
    conflicts: Counter,
    rejected: Counter,
    /// Proposals of others that got no vote.
    pub refused_proposals: Counter,
    /// Messages of peers that do not decode.
    pub garbage: Counter,
    /// Pieces of evidence reported.
    pub evidence: Counter,
    /// When the height last advanced, or work last began to wait.
    progress: Mutex<Option<Instant>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("plenary"),
            height: Gauge::default(),
            pending: Gauge::default(),
            committed: Counter::default(),
            conflicts: Counter::default(),
            rejected: Counter::default(),
            refused_proposals: Counter::default(),
            garbage: Counter::default(),
            evidence: Counter::default(),
            progress: Mutex::new(None),
        };
        let registry = &mut metrics.registry;
        registry.register("height", "Finalized height", metrics.height.clone());
        registry.register(
            "mempool_transactions",
            "Transactions that wait",
            metrics.pending.clone(),
        );
        let counters = [
            (
                "transactions_committed",
                "Transactions committed",
                &metrics.committed,
            ),
            (
                "transactions_conflicted",
                "Transactions in conflict",
                &metrics.conflicts,
            ),
            (
                "transactions_rejected",
                "Transactions rejected",
                &metrics.rejected,
            ),
            (
                "proposals_refused",
                "Proposals that got no vote",
                &metrics.refused_proposals,
            ),
            (
                "peer_garbage",
                "Messages of peers that do not decode",
                &metrics.garbage,
            ),
            ("evidence", "Pieces of evidence reported", &metrics.evidence),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

impl Metrics {
    pub(crate) fn count(&self, block: &Block) {
        for outcome in &block.outcomes {
            match outcome {
                Outcome::Committed => self.committed.inc(),
                Outcome::Conflict { .. } => self.conflicts.inc(),
                Outcome::Rejected { .. } => self.rejected.inc(),
            };
        }
        *self.progress.lock() = None;
    }

    /// How long work has been waiting without a block becoming final.
    pub fn waiting_since_progress(&self, work: bool) -> Duration {
        let mut progress = self.progress.lock();
        if !work {
            *progress = None;
        }
        match (work, *progress) {
            (false, _) => Duration::ZERO,
            (true, Some(since)) => since.elapsed(),
            (true, None) => {
                *progress = Some(Instant::now());
                Duration::ZERO
            }
        }
    }

    /// The text format of Prometheus.
    pub fn encode(&self, height: u64, pending: usize) -> String {
        self.height.set(height as i64);
        self.pending.set(pending as i64);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
