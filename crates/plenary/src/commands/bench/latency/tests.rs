//! Tables, what they come to, and going on with them.

#![allow(clippy::unwrap_used)]
use super::{
    figures,
    results::Configuration,
    summary::Start,
    table::{FailedRow, Layer, Round, Row, Table},
    *,
};
use clap::Parser;
use plenary_types::Method;
use std::{fs, path::Path};

/// How many steps the tests' workflow has: one of a session and its commit.
const STEPS: usize = 2;

fn row(iteration: u32, step: &str, layer: Layer, latency_ms: f64) -> Row {
    Row {
        iteration,
        step: step.into(),
        method: Method::Post,
        endpoint: format!("/{{id}}/{step}"),
        layer,
        latency_ms,
        block_height: (layer == Layer::L1).then_some(7),
    }
}

/// An iteration through layer 2.
fn session(iteration: u32, scan_ms: f64, commit_ms: f64) -> Round {
    Round {
        rows: vec![
            row(iteration, "Scan", Layer::L2, scan_ms),
            row(iteration, "Commit", Layer::L1, commit_ms),
        ],
        failed: None,
    }
}

/// An iteration at layer 1 alone.
fn direct(iteration: u32, scan_ms: f64, commit_ms: f64) -> Round {
    let mut round = session(iteration, scan_ms, commit_ms);
    round.rows[0].layer = Layer::L1;
    round.rows[0].block_height = Some(6);
    round
}

/// An iteration whose commit failed.
fn failed(iteration: u32) -> Round {
    let mut round = session(iteration, 1.0, 30_000.0);
    let commit = round.rows.pop().unwrap();
    round.failed = Some(FailedRow {
        iteration,
        step: commit.step,
        method: commit.method,
        endpoint: commit.endpoint,
        layer: commit.layer,
        latency_ms: commit.latency_ms,
        error: "nobody, not one, answered".into(),
    });
    round
}

fn experiment(l1: &[u16], iterations: u32) -> Experiment {
    Experiment {
        settings: Settings {
            l1: l1.to_vec(),
            l2: vec![1],
            iterations,
            warm_up: 1,
            pause_ms: 0.0,
            participation: "own".into(),
        },
        versions: Versions {
            plenary: "0.1.0",
            service: "assembly 1.0.0".into(),
            build: "release",
        },
        machine: Machine::here(Path::new("/")),
    }
}

#[test]
fn a_table_has_the_papers_columns_and_three_decimals() {
    let directory = tempfile::tempdir().unwrap();
    let mut table = Table::open(directory.path(), "4-1", STEPS).unwrap();
    table.append(1, session(1, 0.61, 9.87654)).unwrap();
    table.append(2, session(2, 12.0, 10.0)).unwrap();
    let text = fs::read_to_string(directory.path().join("4-1.csv")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "Iteration,Step,Method,Endpoint,Layer,Latency_ms,BlockHeight",
            "1,Scan,POST,/{id}/Scan,L2,0.610,",
            "1,Commit,POST,/{id}/Commit,L1,9.877,7",
            "2,Scan,POST,/{id}/Scan,L2,12.000,",
            "2,Commit,POST,/{id}/Commit,L1,10.000,7",
        ]
    );
    assert!(!directory.path().join("4-1-failures.csv").exists());
}

#[test]
fn what_was_cut_off_is_measured_again_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("4-1.csv");
    let mut table = Table::open(directory.path(), "4-1", STEPS).unwrap();
    table.append(1, session(1, 0.5, 9.0)).unwrap();
    table.append(2, failed(2)).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    // The program ended in the middle of the fourth iteration, and of a line.
    let cut_off = format!("{whole}3,Scan,POST,/scan,L2,0.500,\n4,Scan,PO");
    fs::write(&path, cut_off).unwrap();

    let mut table = Table::open(directory.path(), "4-1", STEPS).unwrap();
    let has: Vec<_> = (1..=4).map(|iteration| table.has(iteration)).collect();
    assert_eq!(has, [true, true, false, false]);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    table.append(3, session(3, 0.5, 9.0)).unwrap();
    let table = Table::open(directory.path(), "4-1", STEPS).unwrap();
    assert_eq!(table.rows().len(), 5);
    assert_eq!(table.failures()[0].error, "nobody, not one, answered");
}

#[test]
fn a_file_that_is_no_table_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let columns = "Iteration,Step,Method,Endpoint,Layer,Latency_ms,BlockHeight";
    for text in [
        "Step,Latency\n1,2\n".to_owned(),
        format!("{columns}\n1,Scan,POST,/scan,L3,0.5,\n"),
    ] {
        fs::write(directory.path().join("4-1.csv"), text).unwrap();
        let error = Table::open(directory.path(), "4-1", STEPS).unwrap_err();
        assert!(error.to_string().contains("4-1.csv"), "{error}");
    }
}

#[test]
fn results_go_on_where_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let open = |iterations| Results::open(directory.path(), experiment(&[4, 7], iterations), STEPS);
    let mut results = open(2).unwrap();
    let start = Start {
        startup_ms: 153.2,
        load_average: 0.5,
        warm_up_failures: 1,
    };
    results.configurations[0].starts.push(start.clone());
    for iteration in 1..=2 {
        let configuration = &mut results.configurations[0];
        let round = session(iteration, 0.5, 9.0);
        configuration.sessions.append(iteration, round).unwrap();
    }
    results.finish().unwrap();

    let results = open(2).unwrap();
    let missing = results.configurations.iter().map(|one| one.missing(2));
    assert_eq!(missing.collect::<Vec<_>>(), [2, 4]);
    assert_eq!(results.configurations[0].starts, [start]);
    assert!(!results.summary().complete);
}

#[test]
fn results_of_other_settings_are_refused_and_the_difference_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Results::open(directory.path(), experiment(&[4], 2), STEPS).unwrap();
    let open = |experiment| Results::open(directory.path(), experiment, STEPS).err();
    let error = open(experiment(&[4], 100)).unwrap().to_string();
    assert!(
        error.contains("iterations is 2 there and 100 here"),
        "{error}"
    );
    let mut other = experiment(&[4], 2);
    other.versions.build = "debug";
    let error = open(other).unwrap().to_string();
    assert!(error.contains("build is"), "{error}");
    assert!(!error.contains("iterations"), "{error}");
    let mut other = experiment(&[4], 2);
    other.machine.cpu = Some("another".into());
    let error = open(other).unwrap().to_string();
    assert!(error.contains("cpu is"), "{error}");
    assert!(open(experiment(&[4], 2)).is_none());
}

#[test]
fn nothing_is_written_among_other_files() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let error = Results::open(directory.path(), experiment(&[4], 2), STEPS).err();
    assert!(error.unwrap().to_string().contains("is not empty"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn percentiles_are_values_that_were_measured() {
    let statistics = Statistics::of((1..=200).rev().map(f64::from)).unwrap();
    assert_eq!(statistics.count, 200);
    assert_eq!(statistics.mean, 100.5);
    let Statistics {
        p50, p90, p99, max, ..
    } = statistics;
    assert_eq!([p50, p90, p99, max], [100.0, 180.0, 198.0, 200.0]);
    let one = Statistics::of([3.0]).unwrap();
    assert_eq!([one.mean, one.p50, one.p90, one.p99, one.max], [3.0; 5]);
    assert_eq!(Statistics::of([]), None);
}

/// Three iterations of each mode, one of them failed.
fn measured(directory: &Path) -> Results {
    let mut results = Results::open(directory, experiment(&[4, 7], 3), STEPS).unwrap();
    for (index, configuration) in results.configurations.iter_mut().enumerate() {
        let times = (index + 1) as f64;
        let Configuration {
            sessions: through,
            direct: alone,
            ..
        } = configuration;
        through.append(1, session(1, 0.5 * times, 8.0)).unwrap();
        through.append(2, failed(2)).unwrap();
        through.append(3, session(3, 0.7 * times, 12.0)).unwrap();
        for iteration in 1..=3 {
            alone
                .append(iteration, direct(iteration, 7.0, 9.0))
                .unwrap();
        }
    }
    results
}

#[test]
fn a_summary_counts_failures_and_puts_the_layers_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let summary = measured(directory.path()).finish().unwrap();
    assert!(summary.complete);
    let one = &summary.configurations[0];
    assert_eq!((one.sessions.completed, one.sessions.failed), (2, 1));
    assert_eq!((one.direct.completed, one.direct.failed), (3, 0));
    let [scan, commit] = &one.sessions.steps[..] else {
        panic!("two steps")
    };
    // The step that was done before another failed counts; a workflow that failed does not.
    assert_eq!(scan.latency_ms.as_ref().unwrap().count, 3);
    assert_eq!(
        (commit.failures, commit.latency_ms.as_ref().unwrap().max),
        (1, 12.0)
    );
    assert_eq!(one.sessions.workflow_ms.as_ref().unwrap().max, 12.7);
    let comparison = &one.comparison;
    assert_eq!(comparison.layer2_step_ms.as_ref().unwrap().p50, 0.7);
    assert_eq!(comparison.layer1_step_ms.as_ref().unwrap().p50, 7.0);
    assert_eq!(comparison.commit_ms.as_ref().unwrap().count, 2);
    assert_eq!(comparison.step_ratio, Some(10.0));
    let text = fs::read_to_string(directory.path().join("summary.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["configurations"][0]["sessions"]["failed"], 1);
    assert_eq!(kept["settings"]["warm_up"], 1);
}

#[test]
fn figures_show_what_was_measured_and_what_failed() {
    let directory = tempfile::tempdir().unwrap();
    let figures = figures::of(&measured(directory.path()).summary());
    let svg = |name: &str| {
        let figure = figures.iter().find(|(known, _)| *known == name);
        figure.unwrap().1.svg().unwrap()
    };
    for name in [
        "endpoints",
        "endpoints-direct",
        "layers",
        "workflow",
        "scaling",
    ] {
        let svg = svg(name);
        assert!(svg.contains("2 of 12 workflows failed"), "{name}");
        assert!(svg.contains("assembly 1.0.0"), "{name}");
    }
    let endpoints = svg("endpoints");
    for text in ["Scan", "Commit", "4-1 (1 failed)", "7-1 (1 failed)"] {
        assert!(endpoints.contains(text), "{text}");
    }
    assert!(svg("layers").contains("10 ×"));
}

#[test]
fn a_summary_without_measurements_has_no_figures() {
    let directory = tempfile::tempdir().unwrap();
    let results = Results::open(directory.path(), experiment(&[4], 2), STEPS).unwrap();
    assert!(figures::of(&results.finish().unwrap()).is_empty());
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

#[test]
fn nonsense_is_refused_in_words() {
    for (line, said) in [
        ("bench --l1 3", "3 is not in 4..="),
        ("bench --l2 0", "0 is not in 1..="),
        ("bench --iterations 0", "0 is not in 1..="),
        ("bench --pause soon", "--pause"),
        ("bench --participation most", "participation must be"),
    ] {
        let error = Line::try_parse_from(line.split(' ')).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
    }
    for (line, said) in [
        ("bench --l1 4,7,4", "--l1 names 4 twice"),
        (
            "bench --l2 1,2 --participation 2",
            "--participation 2 needs more",
        ),
    ] {
        let args = Line::try_parse_from(line.split(' ')).unwrap().args;
        let error = settings(&args).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
