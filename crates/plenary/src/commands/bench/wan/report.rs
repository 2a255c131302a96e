//! What the measurements come to: the tables on standard output, `wan.json` and `wan.csv`.

use super::experiment::{Answered, Commit, Measured};
use crate::output::table;
use plenary_session::participation::Participation;
use serde::Serialize;
use serde_json::json;
use std::{collections::BTreeSet, fmt::Write as _};

/// Milliseconds of which so many are less: 0.5 for the median.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or_default()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Commits of one run whose leaders were near, or were not.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) matrix: String,
    pub(super) validators: usize,
    pub(super) crashed: usize,
    pub(super) unit_ms: f64,
    /// Whether the leader was at the client's site.
    pub(super) near: bool,
    pub(super) commits: usize,
    pub(super) median_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) max_ms: f64,
    /// The median of the minima of these commits.
    pub(super) minimum_ms: f64,
    /// The same two medians in units.
    pub(super) median_units: f64,
    pub(super) minimum_units: f64,
    /// How many times its own minimum a commit took.
    pub(super) ratio_median: f64,
    pub(super) ratio_p90: f64,
    pub(super) ratio_max: f64,
}

impl Group {
    fn of(measured: &Measured, near: bool) -> Option<Self> {
        let commits = measured.commits.iter();
        let commits: Vec<_> = commits.filter(|commit| commit.near == near).collect();
        let of = |value: fn(&Commit) -> f64| sorted(commits.iter().map(|commit| value(commit)));
        let (latency, ratio) = (of(|commit| commit.latency_ms), of(Commit::ratio));
        let minimum_ms = quantile(&of(|commit| commit.minimum_ms), 0.5);
        let median_ms = quantile(&latency, 0.5);
        let units = |ms: f64| match measured.unit_ms > 0.0 {
            true => ms / measured.unit_ms,
            false => 0.0,
        };
        (!commits.is_empty()).then(|| Self {
            matrix: measured.matrix.name.clone(),
            validators: measured.validators,
            crashed: measured.crashed,
            unit_ms: measured.unit_ms,
            near,
            commits: commits.len(),
            median_ms,
            p90_ms: quantile(&latency, 0.9),
            max_ms: quantile(&latency, 1.0),
            minimum_ms,
            median_units: units(median_ms),
            minimum_units: units(minimum_ms),
            ratio_median: quantile(&ratio, 0.5),
            ratio_p90: quantile(&ratio, 0.9),
            ratio_max: quantile(&ratio, 1.0),
        })
    }
}

/// The steps that layer 2 answered over one matrix, with one participation.
#[derive(Debug, Serialize)]
pub(super) struct Steps {
    pub(super) matrix: String,
    pub(super) participation: String,
    pub(super) steps: usize,
    pub(super) median_ms: f64,
    pub(super) max_ms: f64,
    /// The median and the largest of the minima of these steps.
    pub(super) minimum_ms: f64,
    pub(super) largest_minimum_ms: f64,
}

impl Steps {
    fn of(runs: &[Measured], key: (&str, &str)) -> Self {
        let runs = runs.iter().filter(|run| run.key() == key);
        let steps: Vec<_> = runs.flat_map(|run| &run.answered).collect();
        let of = |value: fn(&Answered) -> f64| sorted(steps.iter().map(|step| value(step)));
        let (latency, minimum) = (of(|step| step.latency_ms), of(|step| step.minimum_ms));
        Self {
            matrix: key.0.to_owned(),
            participation: key.1.to_owned(),
            steps: steps.len(),
            median_ms: quantile(&latency, 0.5),
            max_ms: quantile(&latency, 1.0),
            minimum_ms: quantile(&minimum, 0.5),
            largest_minimum_ms: quantile(&minimum, 1.0),
        }
    }
}

impl Measured {
    fn key(&self) -> (&str, &str) {
        (&self.matrix.name, &self.participation)
    }

    /// Whether its commits wait for layer 1 alone.
    fn is_alone(&self) -> bool {
        self.participation == Participation::Own.to_string()
    }
}

/// How it was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Conditions {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) seed: u64,
    pub(super) jitter_ms: u64,
    /// How often the workflow was played from each site, and how often before that counted.
    pub(super) rounds: u32,
    pub(super) warm_up: u32,
    /// Whether clients began before all had heard of what was done before.
    pub(super) overlapping: bool,
}

/// All that was measured, and what it comes to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) conditions: Conditions,
    pub(super) commits: Vec<Group>,
    pub(super) steps: Vec<Steps>,
    pub(super) runs: Vec<Measured>,
}

impl Report {
    pub(super) fn new(conditions: Conditions, runs: Vec<Measured>) -> Self {
        let alone = runs.iter().filter(|run| run.is_alone());
        let commits = alone.flat_map(|run| [true, false].map(|near| Group::of(run, near)));
        let keys: BTreeSet<_> = runs.iter().map(Measured::key).collect();
        Self {
            commits: commits.flatten().collect(),
            steps: keys.iter().map(|key| Steps::of(&runs, *key)).collect(),
            conditions,
            runs,
        }
    }

    /// All but the single steps.
    pub(super) fn summary(&self) -> serde_json::Value {
        json!({ "conditions": self.conditions, "commits": self.commits, "steps": self.steps })
    }

    /// The tables, for people.
    pub(super) fn human(&self) -> String {
        let number = |value: f64| format!("{value:.1}");
        let times = |value: f64| format!("{value:.2}");
        let commits = self.commits.iter().map(|group| {
            [
                group.matrix.clone(),
                group.validators.to_string(),
                group.crashed.to_string(),
                number(group.unit_ms),
                if group.near { "near" } else { "elsewhere" }.into(),
                group.commits.to_string(),
                number(group.median_ms),
                number(group.p90_ms),
                number(group.max_ms),
                number(group.minimum_ms),
                times(group.median_units),
                times(group.minimum_units),
                times(group.ratio_median),
                times(group.ratio_p90),
                times(group.ratio_max),
            ]
        });
        let header = [
            "matrix",
            "n",
            "crashed",
            "unit, ms",
            "leader",
            "commits",
            "median, ms",
            "p90",
            "max",
            "minimum, ms",
            "in units",
            "minimum",
            "ratio, median",
            "p90",
            "max",
        ];
        let commits = table(header, commits);
        let steps = self.steps.iter().map(|steps| {
            [
                steps.matrix.clone(),
                steps.participation.clone(),
                steps.steps.to_string(),
                number(steps.median_ms),
                number(steps.max_ms),
                number(steps.minimum_ms),
                number(steps.largest_minimum_ms),
            ]
        });
        let header = [
            "matrix",
            "participation",
            "steps",
            "median, ms",
            "max",
            "minimum, median, ms",
            "max",
        ];
        let Conditions {
            seed, jitter_ms, ..
        } = self.conditions;
        format!(
            "Commits, in virtual time\n{commits}\n\nSteps\n{}\n\nseed {seed}, jitter {jitter_ms} ms; computing and disks take no time here",
            table(header, steps)
        )
    }

    /// A line for each step of each run.
    pub(super) fn csv(&self) -> String {
        let mut csv = String::from(
            "matrix,validators,crashed,participation,unit_ms,site,leader,step,latency_ms,minimum_ms\n",
        );
        for run in &self.runs {
            let Measured {
                matrix,
                validators,
                crashed,
                participation,
                unit_ms,
                ..
            } = run;
            let commits = run.commits.iter().map(|commit| {
                let Commit {
                    site,
                    leader,
                    step,
                    latency_ms,
                    minimum_ms,
                    ..
                } = commit;
                (site, leader.as_str(), step, latency_ms, minimum_ms)
            });
            let answered = run.answered.iter().map(|answered| {
                let Answered {
                    site,
                    step,
                    latency_ms,
                    minimum_ms,
                } = answered;
                (site, "", step, latency_ms, minimum_ms)
            });
            for (site, leader, step, latency, minimum) in commits.chain(answered) {
                let _ = writeln!(
                    csv,
                    "{},{validators},{crashed},{participation},{unit_ms:.3},{},{},{},{latency:.3},{minimum:.3}",
                    quoted(&matrix.name),
                    quoted(site),
                    quoted(leader),
                    quoted(step),
                );
            }
        }
        csv
    }
}

/// A text as a field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
