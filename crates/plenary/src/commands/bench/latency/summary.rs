//! What the tables come to, as numbers, and what they were measured with.
//!
//! Percentiles are values that were measured, by nearest rank: the p90 of ten is the ninth.

use super::table::{FailedRow, Layer, Row, Table};
use crate::{commands::bench::versions::Versions, machine::Machine};
use plenary_types::Method;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that must be the same for measurements to be put together.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Experiment {
    pub(super) settings: Settings,
    pub(super) versions: Versions,
    pub(super) machine: Machine,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    /// Numbers of validators.
    pub(super) l1: Vec<u16>,
    /// Numbers of session nodes.
    pub(super) l2: Vec<u16>,
    /// How often the workflow is measured in each configuration and mode.
    pub(super) iterations: u32,
    /// How often it is played before that, each time a network has been started.
    pub(super) warm_up: u32,
    /// What is waited after each step.
    pub(super) pause_ms: f64,
    /// How many session nodes must have run a step before it is answered.
    pub(super) participation: String,
}

/// All results.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) experiment: Experiment,
    /// Whether all was measured that was asked for.
    pub(super) complete: bool,
    pub(super) configurations: Vec<ConfigurationSummary>,
}

/// One size of network.
#[derive(Debug, Serialize)]
pub(super) struct ConfigurationSummary {
    /// L1-L2, as the papers write it.
    pub(super) name: String,
    pub(super) l1: u16,
    pub(super) l2: u16,
    pub(super) starts: Vec<Start>,
    /// The workflow through layer 2.
    pub(super) sessions: ModeSummary,
    /// The workflow at layer 1 alone, each request by itself.
    pub(super) direct: ModeSummary,
    pub(super) comparison: Comparison,
}

/// A time that the configuration's network was started.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct Start {
    /// From nothing, its keys included, until every node was ready.
    pub(super) startup_ms: f64,
    /// How many threads wanted to run before that, on average of a minute.
    pub(super) load_average: f64,
    /// How many iterations of the warm-up, which is not counted, failed all the same.
    pub(super) warm_up_failures: u32,
}

/// The workflow in one mode.
#[derive(Debug, Serialize)]
pub(super) struct ModeSummary {
    /// How many iterations came to the workflow's end.
    pub(super) completed: usize,
    /// How many ended with a step that failed.
    pub(super) failed: usize,
    pub(super) steps: Vec<StepSummary>,
    /// All steps of a completed iteration together.
    pub(super) workflow_ms: Option<Statistics>,
}

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct StepSummary {
    pub(super) step: String,
    pub(super) method: Method,
    pub(super) endpoint: String,
    pub(super) layer: Layer,
    pub(super) failures: usize,
    pub(super) latency_ms: Option<Statistics>,
}

/// The layers side by side.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// Any step that layer 2 answered.
    pub(super) layer2_step_ms: Option<Statistics>,
    /// The same steps at layer 1 alone.
    pub(super) layer1_step_ms: Option<Statistics>,
    /// What went through consensus after the session had begun: its commit.
    pub(super) commit_ms: Option<Statistics>,
    /// How many times as long the median step takes at layer 1 alone.
    pub(super) step_ratio: Option<f64>,
    /// How many times as long as a step the commit takes, by medians.
    pub(super) commit_ratio: Option<f64>,
    /// How many times as long the median workflow takes at layer 1 alone.
    pub(super) workflow_ratio: Option<f64>,
}

/// What several values come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Statistics {
    pub(super) count: usize,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Statistics {
    /// Of these values; nothing of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let rank = |percent: usize| values.get((percent * count).div_ceil(100).saturating_sub(1));
        Some(Self {
            count,
            mean: thousandths(values.iter().sum::<f64>() / count as f64),
            p50: *rank(50)?,
            p90: *rank(90)?,
            p99: *rank(99)?,
            max: *values.last()?,
        })
    }
}

impl ConfigurationSummary {
    pub(super) fn of(l1: u16, l2: u16, starts: &[Start], sessions: &Table, direct: &Table) -> Self {
        let comparison = Comparison::of(sessions.rows(), direct.rows());
        let [sessions, direct] = [sessions, direct].map(ModeSummary::of);
        let workflow = |mode: &ModeSummary| mode.workflow_ms.as_ref().map(|all| all.p50);
        Self {
            name: format!("{l1}-{l2}"),
            l1,
            l2,
            starts: starts.to_vec(),
            comparison: Comparison {
                workflow_ratio: ratio(workflow(&direct), workflow(&sessions)),
                ..comparison
            },
            sessions,
            direct,
        }
    }

    /// How many iterations were played to their end or to a failure, in both modes.
    pub(super) fn played(&self) -> usize {
        self.failed() + self.sessions.completed + self.direct.completed
    }

    /// How many iterations failed, in both modes.
    pub(super) fn failed(&self) -> usize {
        self.sessions.failed + self.direct.failed
    }
}

impl ModeSummary {
    fn of(table: &Table) -> Self {
        let failed: BTreeSet<u32> = table.failures().iter().map(|row| row.iteration).collect();
        let mut workflows = BTreeMap::<u32, f64>::new();
        for row in table.rows() {
            *workflows.entry(row.iteration).or_default() += row.latency_ms;
        }
        workflows.retain(|iteration, _| !failed.contains(iteration));
        Self {
            completed: workflows.len(),
            failed: failed.len(),
            steps: steps(table.rows(), table.failures()),
            workflow_ms: Statistics::of(workflows.into_values().map(thousandths)),
        }
    }
}

/// The steps in the order of the workflow.
fn steps(rows: &[Row], failures: &[FailedRow]) -> Vec<StepSummary> {
    let mut steps: Vec<StepSummary> = Vec::new();
    let done = rows
        .iter()
        .map(|row| (&row.step, row.method, &row.endpoint, row.layer));
    let failed = failures
        .iter()
        .map(|row| (&row.step, row.method, &row.endpoint, row.layer));
    for (step, method, endpoint, layer) in done.chain(failed) {
        if steps.iter().any(|known| known.step == *step) {
            continue;
        }
        let latencies = rows.iter().filter(|row| row.step == *step);
        steps.push(StepSummary {
            step: step.clone(),
            method,
            endpoint: endpoint.clone(),
            layer,
            failures: failures.iter().filter(|row| row.step == *step).count(),
            latency_ms: Statistics::of(latencies.map(|row| row.latency_ms)),
        });
    }
    steps
}

impl Comparison {
    fn of(sessions: &[Row], direct: &[Row]) -> Self {
        let layer2 = || sessions.iter().filter(|row| row.layer == Layer::L2);
        let names: BTreeSet<&str> = layer2().map(|row| row.step.as_str()).collect();
        let same = direct.iter().filter(|row| names.contains(&*row.step));
        // The iteration whose session has begun; they count from 1.
        let mut begun = 0;
        let commits = sessions.iter().filter(|row| match row.layer {
            Layer::L2 => {
                begun = row.iteration;
                false
            }
            Layer::L1 => row.iteration == begun,
        });
        let latency = |row: &Row| row.latency_ms;
        let layer2_step_ms = Statistics::of(layer2().map(latency));
        let layer1_step_ms = Statistics::of(same.map(latency));
        let commit_ms = Statistics::of(commits.map(latency));
        let p50 = |statistics: &Option<Statistics>| statistics.as_ref().map(|all| all.p50);
        Self {
            step_ratio: ratio(p50(&layer1_step_ms), p50(&layer2_step_ms)),
            commit_ratio: ratio(p50(&commit_ms), p50(&layer2_step_ms)),
            workflow_ratio: None,
            layer2_step_ms,
            layer1_step_ms,
            commit_ms,
        }
    }
}

fn ratio(longer: Option<f64>, shorter: Option<f64>) -> Option<f64> {
    let (longer, shorter) = longer.zip(shorter)?;
    (shorter > 0.0).then(|| thousandths(longer / shorter))
}

/// As exact as what is measured.
pub(super) fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// What differs between two experiments, each as JSON, in words.
pub(super) fn differences(there: &Value, here: &Value) -> Vec<String> {
    let sections = here.as_object().into_iter().flatten();
    let members = sections.flat_map(|(section, members)| {
        let members = members.as_object().into_iter().flatten();
        members.map(move |(name, here)| (name, here, &there[section][name]))
    });
    let other = members.filter(|(_, here, there)| here != there);
    other
        .map(|(name, here, there)| format!("{name} is {there} there and {here} here"))
        .collect()
}
