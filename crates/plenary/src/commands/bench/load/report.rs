//! The results as files. Every file is written anew after each load, so that
//! what was measured is kept whatever comes; only `memory.csv` grows while a load runs.

use super::{
    Args, LoadFailure,
    point::{Plan, Point, Sample, Watch},
    tables::{self, in_words},
};
use crate::{
    app::App,
    commands::{Failure, bench::versions::Versions},
    files,
    machine::Machine,
    output::Output,
};
use indicatif::ProgressBar;
use plenary_figures::{Axis, Figure, Lines, Series};
use serde::Serialize;
use serde_json::json;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

const LATENCIES: [&str; 11] = [
    "mode", "clients", "rate", "what", "count", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms",
    "mean_ms",
];
const NODES: [&str; 10] = [
    "mode",
    "clients",
    "rate",
    "node",
    "role",
    "processor_s",
    "processor_ms_per_workflow",
    "memory_before_mib",
    "memory_after_mib",
    "memory_largest_mib",
];
const FAILURES: [&str; 6] = ["mode", "clients", "rate", "step", "kind", "count"];
/// Results so far.
pub(super) struct Report {
    output: Output,
    directory: PathBuf,
    /// What was asked for, where, and of what.
    experiment: serde_json::Value,
    points: Vec<Point>,
    memory: csv::Writer<File>,
    bar: ProgressBar,
    /// The load that is being measured, in words.
    load: String,
    /// How much of it there will be: seconds, or workflows.
    whole: Whole,
}

/// What a load ends after.
enum Whole {
    Time(Duration),
    Workflows(u64),
}

/// A load in `load.csv`.
#[derive(Serialize)]
struct LoadRow<'a> {
    mode: &'a str,
    clients: usize,
    rate: Option<f64>,
    seconds: f64,
    workflows: u64,
    failed: u64,
    workflows_per_s: f64,
    steps_per_s: f64,
    step_p50_ms: Option<f64>,
    step_p99_ms: Option<f64>,
    commit_p50_ms: Option<f64>,
    commit_p99_ms: Option<f64>,
    alone_p50_ms: Option<f64>,
    alone_p99_ms: Option<f64>,
    workflow_p50_ms: Option<f64>,
    workflow_p99_ms: Option<f64>,
    backlog: Option<u64>,
    saturated: &'a str,
    processor_ms_per_workflow: Option<f64>,
    validators_disk_bytes_per_workflow: Option<f64>,
    session_nodes_disk_bytes_per_workflow: Option<f64>,
    between_validators_bytes_per_transaction: Option<f64>,
    between_session_nodes_bytes_per_transaction: Option<f64>,
    between_layers_bytes_per_transaction: Option<f64>,
    with_clients_bytes_per_transaction: Option<f64>,
    generator_cores: f64,
    timers_late_p99_ms: f64,
    warnings: String,
}

/// A node in `memory.csv`.
#[derive(Serialize)]
struct MemoryRow<'a> {
    load: &'a str,
    /// Since the network was ready.
    seconds: f64,
    workflows: u64,
    node: &'a str,
    resident_kib: u64,
}

impl Report {
    /// A report in a directory of its own.
    pub(super) fn create(args: &Args, app: &App, output: Output) -> Result<Self, Failure> {
        let directory = args.out.clone();
        files::create_directory(&directory)?;
        let entries = fs::read_dir(&directory).map_err(files::on("read", &directory))?;
        if entries.count() > 0 {
            return Err(LoadFailure::NotEmpty(directory).into());
        }
        let (machine, versions) = (Machine::here(&std::env::temp_dir()), Versions::of(app));
        versions.warn(&machine, output);
        let experiment = json!({
            "settings": args.settings(),
            "versions": versions,
            "machine": machine,
        });
        let path = directory.join("memory.csv");
        let memory = csv::Writer::from_path(&path).map_err(unwritten(&path))?;
        Ok(Self {
            output,
            directory,
            experiment,
            points: Vec::new(),
            memory,
            bar: ProgressBar::hidden(),
            load: String::new(),
            whole: Whole::Workflows(0),
        })
    }

    /// A load begins.
    pub(super) fn begin(&mut self, plan: &Plan<'_>) {
        let load = &plan.load;
        self.whole = match load.until {
            super::Until::Time(time) => Whole::Time(load.warm_up + time),
            super::Until::Workflows(count) => Whole::Workflows(count),
        };
        let mode = super::mode_name(load.layer);
        self.load = in_words(mode, load.clients, load.rate);
        self.output.note(format_args!(
            "{}, {} validators, {} session nodes",
            self.load, plan.size.validators, plan.size.session_nodes
        ));
        self.bar = self.output.progress("load");
        self.bar.set_length(match self.whole {
            Whole::Time(time) => time.as_secs(),
            Whole::Workflows(count) => count,
        });
    }

    /// A load is over: writes all that is known.
    pub(super) fn add(&mut self, point: Point) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        for word in point.warnings.iter().chain(&point.saturated) {
            self.output.note(format_args!("{}: {word}", self.load));
        }
        self.points.push(point);
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let points = &self.points;
        let loads = points.iter().map(LoadRow::of);
        self.csv("load.csv", [], loads)?;
        let latencies = points.iter().flat_map(|point| {
            let all = point.latencies.iter().chain(&point.steps);
            all.map(move |latency| (point.mode, point.clients, point.rate, latency))
        });
        self.csv("latencies.csv", LATENCIES, latencies)?;
        let nodes = points.iter().flat_map(|point| {
            let nodes = point.nodes.iter();
            nodes.map(move |node| (point.mode, point.clients, point.rate, node))
        });
        self.csv("nodes.csv", NODES, nodes)?;
        let failures = points.iter().flat_map(|point| {
            let failures = point.failures.iter();
            failures.map(move |failed| (point.mode, point.clients, point.rate, failed))
        });
        self.csv("failures.csv", FAILURES, failures)?;
        let text = serde_json::to_string_pretty(&self.value()).unwrap_or_default();
        files::replace(&self.directory.join("load.json"), &(text + "\n"))?;
        self.draw()?;
        Ok(())
    }

    /// Writes a table; without a header, its rows are structures, whose fields name the columns.
    fn csv<const N: usize>(
        &self,
        name: &str,
        header: [&str; N],
        rows: impl Iterator<Item = impl Serialize>,
    ) -> Result<(), Failure> {
        let path = self.directory.join(name);
        let mut writer = csv::WriterBuilder::new()
            .has_headers(N == 0)
            .from_writer(Vec::new());
        let written = || {
            if N > 0 {
                writer.write_record(header)?;
            }
            for row in rows {
                writer.serialize(row)?;
            }
            writer.flush()?;
            Ok(())
        };
        written().map_err(unwritten(&path))?;
        let bytes = writer.into_inner().unwrap_or_default();
        Ok(files::replace(&path, &String::from_utf8_lossy(&bytes))?)
    }

    /// All results, as one value.
    fn value(&self) -> serde_json::Value {
        json!({ "experiment": self.experiment, "loads": self.points })
    }

    /// Throughput against latency, where there is more than one point to connect.
    fn draw(&self) -> Result<(), LoadFailure> {
        if self.points.len() < 2 {
            return Ok(());
        }
        let curves = [
            (
                "steps",
                "Steps",
                "step",
                (|point| point.steps_per_s) as fn(&Point) -> f64,
            ),
            ("workflows", "Whole workflows", "workflow", |point| {
                point.workflows_per_s
            }),
        ];
        for (name, title, kind, throughput) in curves {
            let mut series: Vec<Series> = Vec::new();
            for point in &self.points {
                let Some(latency) = point.latency(kind).or(point.latency("alone")) else {
                    continue;
                };
                for (share, value) in [("p50", latency.p50_ms), ("p99", latency.p99_ms)] {
                    let name = format!("{}, {share}", point.mode);
                    let at = (throughput(point), value);
                    match series.iter_mut().find(|series| series.name == name) {
                        Some(series) => series.points.push(at),
                        None => series.push(Series {
                            name,
                            points: vec![at],
                        }),
                    }
                }
            }
            if series.is_empty() {
                continue;
            }
            Figure::from(Lines {
                title: format!("{title}: how long they take, by how many are done"),
                caption: self.caption(),
                x: Axis::linear(format!("{name} a second")),
                y: Axis::logarithmic("milliseconds"),
                series,
            })
            .save(&self.directory, name)?;
        }
        Ok(())
    }

    fn caption(&self) -> String {
        let settings = &self.experiment["settings"];
        let open = self.points.iter().all(|point| point.rate.is_some());
        format!(
            "{} validators, {} session nodes; {}",
            settings["validators"],
            settings["session_nodes"],
            match open {
                true => "open loop: a point for each rate",
                false => "closed loop: a point for each number of clients",
            }
        )
    }

    /// Shows what was measured.
    pub(super) fn show(&self) {
        if self.points.is_empty() {
            return;
        }
        self.output.show(&self.value(), || {
            let tables = tables::human(&self.points);
            format!("{tables}\nwritten to {}", self.directory.display())
        });
    }
}

impl Watch for Report {
    fn progress(&mut self, workflows: u64, elapsed: Duration) {
        self.bar.set_position(match self.whole {
            Whole::Time(_) => elapsed.as_secs(),
            Whole::Workflows(_) => workflows,
        });
        self.bar
            .set_message(format!("{}: {workflows} workflows", self.load));
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), Failure> {
        let path = self.directory.join("memory.csv");
        let mut write = || {
            for (node, bytes) in &sample.nodes {
                self.memory.serialize(MemoryRow {
                    load: &self.load,
                    seconds: sample.seconds,
                    workflows: sample.workflows,
                    node,
                    resident_kib: bytes >> 10,
                })?;
            }
            Ok(self.memory.flush()?)
        };
        Ok(write().map_err(unwritten(&path))?)
    }
}

impl<'a> LoadRow<'a> {
    fn of(point: &'a Point) -> Self {
        let disk = point.disk_bytes_per_workflow;
        let wire = point.wire_bytes_per_transaction;
        let p50 = |kind| point.latency(kind).map(|latency| latency.p50_ms);
        let p99 = |kind| point.latency(kind).map(|latency| latency.p99_ms);
        Self {
            mode: point.mode,
            clients: point.clients,
            rate: point.rate,
            seconds: point.seconds,
            workflows: point.done.workflows,
            failed: point.failed(),
            workflows_per_s: point.workflows_per_s,
            steps_per_s: point.steps_per_s,
            step_p50_ms: p50("step"),
            step_p99_ms: p99("step"),
            commit_p50_ms: p50("commit"),
            commit_p99_ms: p99("commit"),
            alone_p50_ms: p50("alone"),
            alone_p99_ms: p99("alone"),
            workflow_p50_ms: p50("workflow"),
            workflow_p99_ms: p99("workflow"),
            backlog: point.backlog,
            saturated: point.saturated.as_deref().unwrap_or_default(),
            processor_ms_per_workflow: point.processor_ms_per_workflow,
            validators_disk_bytes_per_workflow: disk.map(|disk| disk.validators),
            session_nodes_disk_bytes_per_workflow: disk.map(|disk| disk.session_nodes),
            between_validators_bytes_per_transaction: wire.map(|wire| wire.between_validators),
            between_session_nodes_bytes_per_transaction: wire
                .map(|wire| wire.between_session_nodes),
            between_layers_bytes_per_transaction: wire.map(|wire| wire.between_layers),
            with_clients_bytes_per_transaction: wire.map(|wire| wire.with_clients),
            generator_cores: point.generator.cores_used,
            timers_late_p99_ms: point.generator.timers_late_p99_ms,
            warnings: point.warnings.join("; "),
        }
    }
}

/// Names a file that cannot be written.
fn unwritten(path: &Path) -> impl Fn(csv::Error) -> LoadFailure {
    let path = path.to_owned();
    move |error| LoadFailure::Write {
        path: path.clone(),
        error,
    }
}
