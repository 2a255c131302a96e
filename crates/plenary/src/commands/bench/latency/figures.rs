//! The papers' figures, from the numbers of a summary.

use super::summary::{ConfigurationSummary, ModeSummary, Statistics, Summary};
use plenary_figures::{Arrangement, Axis, Bar, Bars, Figure, Group, Lines, Series};

/// The figures that there are values for, each with the name of its files. A configuration that was
/// not begun yet is in none of them.
pub(super) fn of(summary: &Summary) -> Vec<(&'static str, Figure)> {
    let configurations = summary.configurations.iter();
    let measured: Vec<_> = configurations.filter(|one| one.played() > 0).collect();
    let how = caption(summary, &measured);
    let mut figures = vec![
        ("endpoints", endpoints(&measured, &how, Mode::Sessions)),
        ("endpoints-direct", endpoints(&measured, &how, Mode::Direct)),
        ("layers", layers(&measured, &how)),
        ("workflow", workflow(&measured, &how)),
    ];
    // A curve needs two points.
    if summary.experiment.settings.l1.len() > 1 {
        figures.push(("scaling", scaling(&measured, &how)));
    }
    figures.retain(|(_, figure)| !figure.is_empty());
    figures
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Sessions,
    Direct,
}

impl Mode {
    fn of(self, one: &ConfigurationSummary) -> &ModeSummary {
        match self {
            Self::Sessions => &one.sessions,
            Self::Direct => &one.direct,
        }
    }
}

/// How it was measured, and what failed.
fn caption(summary: &Summary, measured: &[&ConfigurationSummary]) -> String {
    let experiment = &summary.experiment;
    let settings = &experiment.settings;
    let failed: usize = measured.iter().map(|one| one.failed()).sum();
    let all: usize = measured.iter().map(|one| one.played()).sum();
    let pause = match settings.pause_ms > 0.0 {
        true => format!(", {} ms between steps (not counted)", settings.pause_ms),
        false => String::new(),
    };
    let partial = match summary.complete {
        true => "",
        false => " Stopped before all was measured.",
    };
    let build = match experiment.versions.build {
        "release" => "",
        _ => " NOT OPTIMIZED: a debug build.",
    };
    format!(
        "{}, one client, {} iterations after {} of warm-up{pause}, participation {}; {failed} of {all} workflows failed.{partial}{build} All nodes and the client on one machine: {}.",
        experiment.versions.service,
        settings.iterations,
        settings.warm_up,
        settings.participation,
        experiment.machine.line(),
    )
}

/// Where a configuration is written, and that something failed in it.
fn label(one: &ConfigurationSummary, failed: usize) -> String {
    match failed {
        0 => one.name.clone(),
        failed => format!("{} ({failed} failed)", one.name),
    }
}

/// The mean of every step, piled up: means, unlike medians, add up.
fn endpoints(measured: &[&ConfigurationSummary], how: &str, mode: Mode) -> Figure {
    let first = measured.iter().map(|one| &mode.of(one).steps);
    let names: Vec<&String> = first
        .max_by_key(|steps| steps.len())
        .into_iter()
        .flatten()
        .map(|step| &step.step)
        .collect();
    let groups = measured.iter().map(|one| {
        let mode = mode.of(one);
        let bars = names.iter().map(|name| {
            let step = mode.steps.iter().find(|step| step.step == **name);
            Bar::new(step.and_then(|step| mean(&step.latency_ms)))
        });
        Group {
            label: label(one, mode.failed),
            bars: bars.collect(),
        }
    });
    let how_played = match mode {
        Mode::Sessions => "through layer 2",
        Mode::Direct => "at layer 1 alone, each request by itself",
    };
    Bars {
        title: format!("Latency of each step, {how_played}"),
        caption: how.to_owned(),
        axis: "mean latency, ms".into(),
        series: names.iter().copied().cloned().collect(),
        arrangement: Arrangement::Piled,
        groups: groups.collect(),
    }
    .into()
}

/// A step at layer 2 against what goes through consensus, with how many times as long that takes.
fn layers(measured: &[&ConfigurationSummary], how: &str) -> Figure {
    let groups = measured.iter().map(|one| {
        let comparison = &one.comparison;
        Group {
            label: label(one, one.failed()),
            bars: vec![
                Bar::new(median(&comparison.layer2_step_ms)),
                Bar::new(median(&comparison.layer1_step_ms)).note(times(comparison.step_ratio)),
                Bar::new(median(&comparison.commit_ms)).note(times(comparison.commit_ratio)),
            ],
        }
    });
    Bars {
        title: "A step at layer 2, the same at layer 1, and the commit".into(),
        caption: how.to_owned(),
        axis: "median latency, ms".into(),
        series: vec![
            "step of a session (layer 2)".into(),
            "the same step in direct mode (layer 1)".into(),
            "commit of the session (layer 1)".into(),
        ],
        arrangement: Arrangement::Beside,
        groups: groups.collect(),
    }
    .into()
}

/// The whole workflow in both modes.
fn workflow(measured: &[&ConfigurationSummary], how: &str) -> Figure {
    let groups = measured.iter().map(|one| {
        let direct = median(&one.direct.workflow_ms);
        Group {
            label: label(one, one.failed()),
            bars: vec![
                Bar::new(median(&one.sessions.workflow_ms)),
                Bar::new(direct).note(times(one.comparison.workflow_ratio)),
            ],
        }
    });
    Bars {
        title: "The whole workflow, through layer 2 and at layer 1 alone".into(),
        caption: how.to_owned(),
        axis: "median latency, ms".into(),
        series: vec![
            "through layer 2, commit included".into(),
            "at layer 1 alone".into(),
        ],
        arrangement: Arrangement::Beside,
        groups: groups.collect(),
    }
    .into()
}

/// How latency grows with layer 1.
fn scaling(measured: &[&ConfigurationSummary], how: &str) -> Figure {
    let mut sizes: Vec<u16> = measured.iter().map(|one| one.l2).collect();
    sizes.sort_unstable();
    sizes.dedup();
    type Value = fn(&ConfigurationSummary) -> Option<f64>;
    let curves: [(&str, Value); 3] = [
        ("step", |one| median(&one.comparison.layer2_step_ms)),
        ("commit", |one| median(&one.comparison.commit_ms)),
        ("workflow", |one| median(&one.sessions.workflow_ms)),
    ];
    let series = curves.iter().flat_map(|(name, value)| {
        sizes.iter().map(move |l2| {
            let same = measured.iter().filter(|one| one.l2 == *l2);
            let points = same.filter_map(|one| Some((f64::from(one.l1), value(one)?)));
            let nodes = if *l2 == 1 {
                "session node"
            } else {
                "session nodes"
            };
            Series {
                name: format!("{name}, {l2} {nodes}"),
                points: points.collect(),
            }
        })
    });
    Lines {
        title: "Latency by the number of validators".into(),
        caption: how.to_owned(),
        x: Axis::linear("validators (layer 1)"),
        y: Axis::logarithmic("median latency, ms"),
        series: series.collect(),
    }
    .into()
}

fn median(statistics: &Option<Statistics>) -> Option<f64> {
    statistics.as_ref().map(|statistics| statistics.p50)
}

fn mean(statistics: &Option<Statistics>) -> Option<f64> {
    statistics.as_ref().map(|statistics| statistics.mean)
}

fn times(ratio: Option<f64>) -> String {
    match ratio {
        None => String::new(),
        Some(ratio) if ratio < 9.95 => format!("{ratio:.1} ×"),
        Some(ratio) => format!("{ratio:.0} ×"),
    }
}
