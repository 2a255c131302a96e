//! What runs came to: CSV, JSON, figures, and a table beside the paper's numbers.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::Context as _;
use beaufort::sim::{Outcome, Scenario, Summary};
use plenary_figures::{BoxGroup, Boxes, Figure, Spread};
use serde::Serialize;

use super::Done;

/// All runs of a scenario with as many replicas.
#[derive(Serialize)]
struct Cell {
    scenario: Scenario,
    members: usize,
    runs: usize,
    /// Milliseconds.
    latency: Summary,
    /// Mbit/s of each replica.
    sent: Summary,
    /// Mbit/s of each replica.
    received: Summary,
    /// The part of the time in which a replica's processor was busy.
    busy: Summary,
    /// Milliseconds that an input waited for the processor.
    waited: Summary,
    /// Milliseconds that a message took to leave.
    waited_up: Summary,
    /// Messages that a replica sent a second.
    messages: Summary,
    unsettled: usize,
    refused: usize,
    overruled: usize,
}

/// One line on a run, for who waits for all of them.
pub(super) fn line(done: &Done, took: Duration) -> String {
    let outcome = &done.outcome;
    let latency = Summary::of(outcome.latencies.iter().copied());
    let sent = Summary::of(outcome.used.iter().map(|used| used.sent));
    let busy = Summary::of(outcome.used.iter().map(|used| used.busy));
    format!(
        "{:10} n={:<3} seed={:<3} {:>6} settled  p50 {:>5.0} ms  p99 {:>5.0} ms  max {:>5.0} ms  {:.2} Mbit/s  busy {:.0} %  \
         unsettled {}  refused {}  evidence {}  trace {:02x}{:02x}{:02x}{:02x}  in {:.1} s",
        done.scenario.name(),
        done.members,
        done.seed,
        latency.count,
        latency.p50,
        latency.p99,
        latency.max,
        sent.mean,
        busy.mean * 100.0,
        outcome.unsettled,
        outcome.refused,
        outcome.evidence,
        outcome.trace[0],
        outcome.trace[1],
        outcome.trace[2],
        outcome.trace[3],
        took.as_secs_f64(),
    )
}

/// Writes everything into a directory.
pub(super) fn write(directory: &Path, done: &[Done]) -> anyhow::Result<()> {
    let cells = cells(done);
    let save = |name: &str, content: &str| {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    save("latencies.csv", &latencies(done))?;
    save("runs.csv", &runs(done))?;
    save("summary.json", &serde_json::to_string_pretty(&cells)?)?;
    let table = table(&cells);
    save("table.md", &table)?;
    println!("{table}");
    latency_figure(&cells).save(directory, "latency")?;
    network_figure(&cells).save(directory, "network")?;
    Ok(())
}

fn cells(done: &[Done]) -> Vec<Cell> {
    let mut groups: BTreeMap<_, Vec<&Outcome>> = BTreeMap::new();
    for Done {
        scenario,
        members,
        outcome,
        ..
    } in done
    {
        groups
            .entry((*scenario, *members))
            .or_default()
            .push(outcome);
    }
    let cell = |((scenario, members), outcomes): ((Scenario, usize), Vec<&Outcome>)| {
        let used = |part: fn(&beaufort::sim::Use) -> f64| {
            Summary::of(outcomes.iter().flat_map(|outcome| &outcome.used).map(part))
        };
        let sum = |part: fn(&Outcome) -> usize| outcomes.iter().map(|outcome| part(outcome)).sum();
        Cell {
            scenario,
            members,
            runs: outcomes.len(),
            latency: Summary::of(
                outcomes
                    .iter()
                    .flat_map(|outcome| &outcome.latencies)
                    .copied(),
            ),
            sent: used(|used| used.sent),
            received: used(|used| used.received),
            busy: used(|used| used.busy),
            waited: used(|used| used.waited),
            waited_up: used(|used| used.waited_up),
            messages: used(|used| used.messages),
            unsettled: sum(|outcome| outcome.unsettled),
            refused: sum(|outcome| outcome.refused),
            overruled: sum(|outcome| outcome.overruled),
        }
    };
    groups.into_iter().map(cell).collect()
}

fn latencies(done: &[Done]) -> String {
    let mut csv = String::from("members,scenario,run,latency_ms\n");
    for done in done {
        let Done { members, run, .. } = done;
        for latency in &done.outcome.latencies {
            let name = done.scenario.name();
            let _ = writeln!(csv, "{members},{name},{run},{latency:.1}");
        }
    }
    csv
}

fn runs(done: &[Done]) -> String {
    let mut csv = String::from(
        "members,scenario,run,seed,seconds,settled,unsettled,refused,p50_ms,p90_ms,p99_ms,mean_ms,max_ms,sent_mbit,received_mbit,busy\n",
    );
    for done in done {
        let Done { outcome, run, .. } = done;
        let latency = Summary::of(outcome.latencies.iter().copied());
        let mean =
            |part: fn(&beaufort::sim::Use) -> f64| Summary::of(outcome.used.iter().map(part)).mean;
        let _ = writeln!(
            csv,
            "{},{},{run},{},{},{},{},{},{:.1},{:.1},{:.1},{:.1},{:.1},{:.3},{:.3},{:.3}",
            done.members,
            done.scenario.name(),
            done.seed,
            done.seconds,
            latency.count,
            outcome.unsettled,
            outcome.refused,
            latency.p50,
            latency.p90,
            latency.p99,
            latency.mean,
            latency.max,
            mean(|used| used.sent),
            mean(|used| used.received),
            mean(|used| used.busy),
        );
    }
    csv
}

/// What the paper says of a scenario, and what this implementation is to reach in it.
fn compared(scenario: Scenario, members: usize) -> (&'static str, &'static str) {
    match (scenario, members) {
        (Scenario::Optimistic, 20) => ("", "p50 ≤ 0.6 s"),
        (Scenario::Optimistic, 100) => {
            ("within 4 s, below 3 Mbit/s", "p99 ≤ 2 s, below 1.5 Mbit/s")
        }
        (Scenario::Failing, 100) => ("within 5 s", "p99 ≤ 2.5 s"),
        (Scenario::Byzantine, 100) => ("tail of 7 s", "p99 ≤ 3.5 s"),
        _ => ("", ""),
    }
}

fn table(cells: &[Cell]) -> String {
    let mut table = String::from(
        "| Scenario | Replicas | runs | p50, s | p90, s | p99, s | max, s | sent, Mbit/s | received, Mbit/s | busy | not settled | paper | target |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|\n",
    );
    for cell in cells {
        let (paper, target) = compared(cell.scenario, cell.members);
        let _ = writeln!(
            table,
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} % | {} | {paper} | {target} |",
            cell.scenario.name(),
            cell.members,
            cell.runs,
            cell.latency.p50 / 1000.0,
            cell.latency.p90 / 1000.0,
            cell.latency.p99 / 1000.0,
            cell.latency.max / 1000.0,
            cell.sent.mean,
            cell.received.mean,
            cell.busy.mean * 100.0,
            cell.unsettled + cell.refused,
        );
    }
    table
}

fn latency_figure(cells: &[Cell]) -> Figure {
    let caption = "From the submission of a transaction to its decision, at the replica that submitted it; one \
                   transaction a second and replica. Simulated with 60 ms of latency and the costs of cryptography in \
                   WebAssembly. Whiskers reach to the 1st and the 99th percentile, which is written above.";
    boxes("Latency", caption, "seconds", cells, |cell| {
        (cell.latency, 1000.0)
    })
}

fn network_figure(cells: &[Cell]) -> Figure {
    let caption = "What each replica sends, with the headers of all layers; it receives as much on average. Whiskers \
                   reach to the 1st and the 99th percentile of the replicas, which is written above.";
    boxes("Network use", caption, "Mbit/s a replica", cells, |cell| {
        (cell.sent, 1.0)
    })
}

fn boxes(
    title: &str,
    caption: &str,
    axis: &str,
    cells: &[Cell],
    value: fn(&Cell) -> (Summary, f64),
) -> Figure {
    let scenarios: Vec<_> = Scenario::ALL
        .into_iter()
        .filter(|&scenario| cells.iter().any(|cell| cell.scenario == scenario))
        .collect();
    let mut sizes: Vec<_> = cells.iter().map(|cell| cell.members).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let spread = |members, scenario| {
        let cell = cells
            .iter()
            .find(|cell| cell.members == members && cell.scenario == scenario)?;
        let (summary, unit) = value(cell);
        (summary.count > 0).then_some(Spread {
            low: summary.p1 / unit,
            lower: summary.p25 / unit,
            median: summary.p50 / unit,
            upper: summary.p75 / unit,
            high: summary.p99 / unit,
        })
    };
    let group = |&members: &usize| BoxGroup {
        label: format!("{members} replicas"),
        boxes: scenarios
            .iter()
            .map(|&scenario| spread(members, scenario))
            .collect(),
    };
    Figure::from(Boxes {
        title: title.into(),
        caption: caption.into(),
        axis: axis.into(),
        series: scenarios
            .iter()
            .map(|scenario| scenario.name().to_owned())
            .collect(),
        groups: sizes.iter().map(group).collect(),
    })
}
