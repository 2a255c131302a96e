//! What a session node counts, for Prometheus.

use crate::feed::Event;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The counters of one node.
pub struct Metrics {
    registry: Registry,
    height: Gauge,
    sessions: Gauge,
    pending: Gauge,
    /// Steps that were run here as the originator.
    pub steps: Counter,
    /// Steps of other nodes that were run here and agree.
    pub replicated: Counter,
    /// Steps that two nodes answer differently.
    pub contradictions: Counter,
    /// Messages of peers that are none.
    pub garbage: Counter,
    committed: Counter,
    conflicts: Counter,
    /// Sessions that layer 1 has rejected, or will have in no block.
    pub rejected: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("plenary"),
            height: Gauge::default(),
            sessions: Gauge::default(),
            pending: Gauge::default(),
            steps: Counter::default(),
            replicated: Counter::default(),
            contradictions: Counter::default(),
            garbage: Counter::default(),
            committed: Counter::default(),
            conflicts: Counter::default(),
            rejected: Counter::default(),
        };
        let registry = &mut metrics.registry;
        let gauges = [
            ("height", "Finalized height", &metrics.height),
            ("sessions", "Sessions that the node has", &metrics.sessions),
            (
                "submissions",
                "Transactions on their way to layer 1",
                &metrics.pending,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            ("steps", "Steps run as the originator", &metrics.steps),
            (
                "steps_replicated",
                "Steps of other nodes run and agreed with",
                &metrics.replicated,
            ),
            (
                "contradictions",
                "Steps that two nodes answer differently",
                &metrics.contradictions,
            ),
            (
                "peer_garbage",
                "Messages of peers that are none",
                &metrics.garbage,
            ),
            (
                "sessions_committed",
                "Sessions committed",
                &metrics.committed,
            ),
            (
                "sessions_conflicted",
                "Sessions in conflict",
                &metrics.conflicts,
            ),
            ("sessions_rejected", "Sessions rejected", &metrics.rejected),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

impl Metrics {
    pub(crate) fn ended(&self, event: &Event) {
        match event {
            Event::Final { .. } => self.committed.inc(),
            Event::Conflict { .. } => self.conflicts.inc(),
            Event::Rejected { .. } => self.rejected.inc(),
            _ => 0,
        };
    }

    /// The text format of Prometheus.
    pub fn encode(&self, height: u64, sessions: usize, pending: usize) -> String {
        self.height.set(height as i64);
        self.sessions.set(sessions as i64);
        self.pending.set(pending as i64);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
