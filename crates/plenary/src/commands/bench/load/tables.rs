//! The results as tables for people: what was done and how long it took; what it cost.

use super::{
    point::{NodeUse, Point},
    tally::Latency,
};
use crate::{config::Role, output::table};

const LOAD_HEADER: [&str; 8] = [
    "load",
    "workflows/s",
    "steps/s",
    "step, ms p50 / p99",
    "commit",
    "alone",
    "workflow",
    "failed",
];
const COST_HEADER: [&str; 8] = [
    "a workflow costs",
    "L1, CPU ms",
    "L2, CPU ms",
    "L1, MiB",
    "L2, MiB",
    "disk, kB",
    "wire, kB",
    "generator, cores",
];
/// What the columns mean that have several numbers.
const COST_NOTE: &str = "L1: validators, L2: session nodes. MiB: of the largest node, before / at most. Disk: L1 / L2. Wire, for\na transaction: between L1 / between L1 and L2 / with clients.";

/// Both tables.
pub(super) fn human(points: &[Point]) -> String {
    format!(
        "{}\n{}\n{COST_NOTE}",
        table(LOAD_HEADER, points.iter().map(Point::row)),
        table(COST_HEADER, points.iter().map(Point::costs))
    )
}

/// How a load is called.
pub(super) fn in_words(mode: &str, clients: usize, rate: Option<f64>) -> String {
    match rate {
        Some(rate) => format!("{mode}, {} workflows/s", round(rate)),
        None => format!("{mode}, {clients} clients"),
    }
}

impl Point {
    fn row(&self) -> [String; 8] {
        let both = |kind| {
            let both = |it: &Latency| format!("{} / {}", round(it.p50_ms), round(it.p99_ms));
            self.latency(kind).map_or_else(none, both)
        };
        [
            in_words(self.mode, self.clients, self.rate),
            round(self.workflows_per_s),
            round(self.steps_per_s),
            both("step"),
            both("commit"),
            both("alone"),
            both("workflow"),
            self.failed().to_string(),
        ]
    }

    fn costs(&self) -> [String; 8] {
        let of = |wanted| self.nodes.iter().filter(move |node| node.role == wanted);
        let processor = |wanted| {
            let each = of(wanted).filter_map(|node| node.processor_ms_per_workflow);
            each.reduce(|sum, one| sum + one).map_or_else(none, round)
        };
        let memory = |wanted| {
            let largest = |value: fn(&NodeUse) -> f64| of(wanted).map(value).fold(0.0, f64::max);
            match of(wanted).next() {
                None => none(),
                Some(_) => format!(
                    "{} / {}",
                    round(largest(|node| node.memory_before_mib)),
                    round(largest(|node| node.memory_largest_mib))
                ),
            }
        };
        let disk = self.disk_bytes_per_workflow;
        let disk = disk.map_or_else(none, |disk| {
            format!(
                "{} / {}",
                round(disk.validators / 1000.0),
                round(disk.session_nodes / 1000.0)
            )
        });
        let wire = self.wire_bytes_per_transaction;
        let wire = wire.map_or_else(none, |wire| {
            let kilobytes = [
                wire.between_validators,
                wire.between_layers,
                wire.with_clients,
            ];
            kilobytes.map(|bytes| round(bytes / 1000.0)).join(" / ")
        });
        [
            in_words(self.mode, self.clients, self.rate),
            processor(Role::Validator),
            processor(Role::Session),
            memory(Role::Validator),
            memory(Role::Session),
            disk,
            wire,
            round(self.generator.cores_used),
        ]
    }
}

/// Three digits say enough.
fn round(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn none() -> String {
    "-".into()
}
