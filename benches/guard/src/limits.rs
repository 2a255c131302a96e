//! The counts that are kept in the repository, and how today's compare.

use crate::{
    benchmarks::Benchmark,
    callgrind::{Counted, count},
    name,
};
use anyhow::Context as _;
use clap::ValueEnum as _;
use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// How much a count may grow, in percent.
const MARGIN: f64 = 10.0;

const HEAD: &str = "\
# What one call of each benchmark costs. `scripts/regression-guard.sh` fails where a count is more
# than 10 % above its own here; where that is on purpose, or where one has become cheaper,
# `scripts/regression-guard.sh update` writes this file anew.
# Counted on x86_64 with AVX2; another processor, compiler or system allocator counts otherwise.

";

/// What one call of a benchmark costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

impl From<&Counted> for Cost {
    fn from(counted: &Counted) -> Self {
        Self {
            instructions: counted.each(),
            allocations: counted.allocations / counted.calls.max(1),
        }
    }
}

type Limits = BTreeMap<String, Cost>;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("limits.toml")
}

/// Counts everything, and says whether nothing has grown too much.
///
/// # Errors
///
/// Where it cannot be counted, or the limits cannot be read.
pub fn check() -> anyhow::Result<bool> {
    let path = path();
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let limits: Limits = toml::from_str(&text)
        .with_context(|| format!("{} is not what `update` writes", path.display()))?;
    let counts = count_all()?;
    println!("{}", table(&limits, &counts));
    let grown = grown(&limits, &counts);
    for line in &grown {
        println!("{line}");
    }
    if !grown.is_empty() {
        println!(
            "Where this is on purpose: scripts/regression-guard.sh update, and commit limits.toml. \
             Where not: scripts/regression-guard.sh profile shows where the instructions go."
        );
    }
    Ok(grown.is_empty())
}

/// Counts everything, and keeps it.
///
/// # Errors
///
/// Where it cannot be counted or kept.
pub fn update() -> anyhow::Result<()> {
    let (path, counts) = (path(), count_all()?);
    let text = toml::to_string(&counts).context("the counts are no TOML")?;
    let written = fs::write(&path, format!("{HEAD}{text}"));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn count_all() -> anyhow::Result<Limits> {
    let all = Benchmark::value_variants().iter();
    all.map(|benchmark| Ok((name(*benchmark), Cost::from(&count(*benchmark)?))))
        .collect()
}

/// How much larger a number is than another, in percent.
fn growth(was: u64, now: u64) -> f64 {
    100.0 * (now as f64 - was as f64) / was.max(1) as f64
}

/// What has grown over the margin, or is not the same set of benchmarks, a line each.
fn grown(limits: &Limits, counts: &Limits) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, now) in counts {
        let Some(was) = limits.get(name) else {
            lines.push(format!("{name} has no limit yet"));
            continue;
        };
        for (what, was, now) in [
            ("instructions", was.instructions, now.instructions),
            ("allocations", was.allocations, now.allocations),
        ] {
            let growth = growth(was, now);
            if growth > MARGIN {
                lines.push(format!(
                    "{name} takes {growth:.1} % more {what} than its limit: {now} instead of {was}"
                ));
            }
        }
    }
    let gone = limits.keys().filter(|name| !counts.contains_key(*name));
    lines.extend(gone.map(|name| format!("{name} has a limit, but is no benchmark any more")));
    lines
}

fn table(limits: &Limits, counts: &Limits) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "instructions", "change", "allocations", "change"]);
    for (name, now) in counts {
        let was = limits.get(name).unwrap_or(now);
        let change = |was, now| format!("{:+.1} %", growth(was, now));
        table.add_row([
            name.clone(),
            now.instructions.to_string(),
            change(was.instructions, now.instructions),
            now.allocations.to_string(),
            change(was.allocations, now.allocations),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: &[(&str, u64, u64)]) -> Limits {
        let all = all.iter();
        let all = all.map(|(name, instructions, allocations)| {
            let cost = Cost {
                instructions: *instructions,
                allocations: *allocations,
            };
            ((*name).to_owned(), cost)
        });
        all.collect()
    }

    #[test]
    fn what_grows_over_the_margin_is_named_with_its_growth() {
        let was = limits(&[("step", 1000, 100), ("commit", 1000, 100)]);
        assert!(grown(&was, &limits(&[("step", 1100, 110), ("commit", 10, 1)])).is_empty());
        let now = limits(&[("step", 1101, 100), ("commit", 1000, 150)]);
        let lines = grown(&was, &now);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("commit takes 50.0 % more allocations"));
        assert!(lines[1].starts_with("step takes 10.1 % more instructions"));
    }

    #[test]
    fn a_benchmark_without_a_limit_and_a_limit_without_a_benchmark_fail() {
        let (was, now) = (limits(&[("old", 1, 1)]), limits(&[("new", 1, 1)]));
        let lines = grown(&was, &now);
        assert_eq!(
            lines,
            [
                "new has no limit yet",
                "old has a limit, but is no benchmark any more"
            ]
        );
    }
}
