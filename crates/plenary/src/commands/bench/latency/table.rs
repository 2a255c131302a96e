//! What was measured, as CSV: a row a step, appended after every iteration, so that nothing is lost
//! when a measurement is stopped.
//!
//! The columns are those of the papers. `Layer` is the layer that answered: a step of a session is
//! L2; what goes through consensus, such as the commit, is L1. A step that was not done is in a file
//! of its own beside, with its error, and ends its iteration.

use super::{LatencyFailure, summary::thousandths};
use crate::{
    commands::Failure,
    files,
    player::{Done, Played, StepFailure},
};
use plenary_types::Method;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The layer that answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Layer {
    L1,
    L2,
}

/// A step that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    /// From 1.
    pub(super) iteration: u32,
    pub(super) step: String,
    pub(super) method: Method,
    pub(super) endpoint: String,
    pub(super) layer: Layer,
    #[serde(rename = "Latency_ms", serialize_with = "three_decimals")]
    pub(super) latency_ms: f64,
    /// Where it went through consensus.
    pub(super) block_height: Option<u64>,
}

/// A step that was not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FailedRow {
    pub(super) iteration: u32,
    pub(super) step: String,
    pub(super) method: Method,
    pub(super) endpoint: String,
    pub(super) layer: Layer,
    #[serde(rename = "Latency_ms", serialize_with = "three_decimals")]
    pub(super) latency_ms: f64,
    pub(super) error: String,
}

/// What a CSV file consists of.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Its columns.
    const COLUMNS: &'static str;
}

impl Record for Row {
    const COLUMNS: &'static str = "Iteration,Step,Method,Endpoint,Layer,Latency_ms,BlockHeight";
}

impl Record for FailedRow {
    const COLUMNS: &'static str = "Iteration,Step,Method,Endpoint,Layer,Latency_ms,Error";
}

/// One time through the workflow, to its end or to a step that failed.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) rows: Vec<Row>,
    pub(super) failed: Option<FailedRow>,
}

impl Round {
    /// Adds a step that was played.
    pub(super) fn add(&mut self, iteration: u32, played: Played, done: Result<Done, StepFailure>) {
        let Played {
            step,
            method,
            endpoint,
            at_layer2,
            latency,
            ..
        } = played;
        let layer = if at_layer2 { Layer::L2 } else { Layer::L1 };
        let latency_ms = milliseconds(latency);
        match done {
            Ok(done) => self.rows.push(Row {
                iteration,
                step,
                method,
                endpoint,
                layer,
                latency_ms,
                block_height: done.height,
            }),
            Err(error) => {
                self.failed = Some(FailedRow {
                    iteration,
                    step,
                    method,
                    endpoint,
                    layer,
                    latency_ms,
                    // One line, so that what is cut off is never the middle of a field.
                    error: error.to_string().replace(['\r', '\n'], " "),
                });
            }
        }
    }
}

/// All iterations in one mode of one configuration.
#[derive(Debug)]
pub(super) struct Table {
    rows: Records<Row>,
    failed: Records<FailedRow>,
    /// The iterations that were measured.
    iterations: BTreeSet<u32>,
}

impl Table {
    /// Reads what there is of a table. An iteration that has neither all of its `steps` nor a
    /// failure was cut off by the end of the program, and is taken out to be done again.
    pub(super) fn open(directory: &Path, name: &str, steps: usize) -> Result<Self, Failure> {
        let path = |suffix: &str| directory.join(format!("{name}{suffix}.csv"));
        let mut table = Self {
            rows: Records::read(path(""))?,
            failed: Records::read(path("-failures"))?,
            iterations: BTreeSet::new(),
        };
        let mut counts = BTreeMap::<u32, usize>::new();
        for row in table.rows() {
            *counts.entry(row.iteration).or_default() += 1;
        }
        let failures = table.failures().iter().map(|row| row.iteration);
        counts.extend(failures.map(|iteration| (iteration, steps)));
        counts.retain(|_, count| *count == steps);
        table.iterations = counts.into_keys().collect();
        let is_whole = |row: &Row| table.iterations.contains(&row.iteration);
        table.rows.retain(is_whole)?;
        Ok(table)
    }

    /// The steps that were done.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows.all
    }

    /// The steps that were not.
    pub(super) fn failures(&self) -> &[FailedRow] {
        &self.failed.all
    }

    /// Whether an iteration was measured.
    pub(super) fn has(&self, iteration: u32) -> bool {
        self.iterations.contains(&iteration)
    }

    /// Adds an iteration.
    pub(super) fn append(&mut self, iteration: u32, round: Round) -> Result<(), Failure> {
        self.rows.append(round.rows)?;
        self.failed.append(round.failed.into_iter().collect())?;
        self.iterations.insert(iteration);
        Ok(())
    }
}

/// A CSV file and its content.
#[derive(Debug)]
struct Records<T> {
    path: PathBuf,
    all: Vec<T>,
}

impl<T: Record> Records<T> {
    /// Reads a file, or nothing where it is missing.
    fn read(path: PathBuf) -> Result<Self, Failure> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let all = Vec::new();
                return Ok(Self { path, all });
            }
            text => text.map_err(files::on("read", &path))?,
        };
        // What comes after the last line end was cut off.
        let (whole, torn) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
        let strange = |reason: String| LatencyFailure::Strange {
            path: path.clone(),
            reason,
        };
        let rows = match whole.split_once('\n') {
            Some((columns, rows)) if columns == T::COLUMNS => rows,
            None => "",
            Some(_) => return Err(strange(format!("its columns are not {}", T::COLUMNS)).into()),
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(rows.as_bytes());
        let all = reader.into_deserialize().collect::<Result<Vec<T>, _>>();
        let all = all.map_err(|error| strange(error.to_string()))?;
        let records = Self { path, all };
        if !torn.is_empty() {
            records.replace()?;
        }
        Ok(records)
    }

    /// Takes records out of the file.
    fn retain(&mut self, keep: impl FnMut(&T) -> bool) -> Result<(), Failure> {
        let before = self.all.len();
        self.all.retain(keep);
        match self.all.len() == before {
            true => Ok(()),
            false => self.replace(),
        }
    }

    fn replace(&self) -> Result<(), Failure> {
        let text = self.text(&self.all)?;
        Ok(files::replace(
            &self.path,
            &format!("{}\n{text}", T::COLUMNS),
        )?)
    }

    /// Adds records to the file, in one write.
    fn append(&mut self, records: Vec<T>) -> Result<(), Failure> {
        if records.is_empty() {
            return Ok(());
        }
        let mut text = self.text(&records)?;
        if self.all.is_empty() {
            text.insert_str(0, &format!("{}\n", T::COLUMNS));
        }
        let mut options = OpenOptions::new();
        // A file without records may have columns already.
        let options = match self.all.is_empty() {
            true => options.write(true).create(true).truncate(true),
            false => options.append(true),
        };
        let written = options
            .open(&self.path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(files::on("write", &self.path))?;
        self.all.extend(records);
        Ok(())
    }

    fn text(&self, records: &[T]) -> Result<String, Failure> {
        let cannot = |reason: String| LatencyFailure::Strange {
            path: self.path.clone(),
            reason,
        };
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(Vec::new());
        for record in records {
            let written = writer.serialize(record);
            written.map_err(|error| cannot(error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|it| cannot(it.to_string()))?;
        Ok(String::from_utf8(bytes).map_err(|it| cannot(it.to_string()))?)
    }
}

/// A duration in milliseconds, as exact as the tables have it.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1e3)
}

fn three_decimals<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{value:.3}"))
}
