//! The directory that results are kept in: a table for each configuration and mode, and the summary.

use super::{
    LatencyFailure, figures,
    summary::{ConfigurationSummary, Experiment, Start, Summary, differences},
    table::Table,
};
use crate::{commands::Failure, files};
use serde::Deserialize;
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The summary's file.
const SUMMARY: &str = "summary.json";

/// All that was measured so far.
pub(super) struct Results {
    directory: PathBuf,
    experiment: Experiment,
    pub(super) configurations: Vec<Configuration>,
}

/// What was measured with one size of network.
pub(super) struct Configuration {
    pub(super) l1: u16,
    pub(super) l2: u16,
    pub(super) starts: Vec<Start>,
    pub(super) sessions: Table,
    pub(super) direct: Table,
}

/// Of a summary, what the tables do not have.
#[derive(Deserialize)]
struct Kept {
    settings: Value,
    versions: Value,
    machine: Value,
    configurations: Vec<KeptConfiguration>,
}

#[derive(Deserialize)]
struct KeptConfiguration {
    name: String,
    starts: Vec<Start>,
}

impl Results {
    /// Begins in a directory that is missing or empty, or goes on in one that holds results of the
    /// same experiment, with a workflow of so many steps.
    pub(super) fn open(
        directory: &Path,
        experiment: Experiment,
        steps: usize,
    ) -> Result<Self, Failure> {
        files::create_directory(directory)?;
        let kept = kept(directory, &experiment)?;
        let settings = &experiment.settings;
        let sizes = settings.l2.iter().flat_map(|l2| {
            let l1 = settings.l1.iter();
            l1.map(|l1| (*l1, *l2))
        });
        let configurations = sizes.map(|(l1, l2)| {
            let name = format!("{l1}-{l2}");
            let kept = kept.iter().find(|kept| kept.name == name);
            Ok::<_, Failure>(Configuration {
                l1,
                l2,
                starts: kept.map(|kept| kept.starts.clone()).unwrap_or_default(),
                sessions: Table::open(directory, &name, steps)?,
                direct: Table::open(directory, &format!("{name}-direct"), steps)?,
            })
        });
        let results = Self {
            directory: directory.to_owned(),
            configurations: configurations.collect::<Result<_, _>>()?,
            experiment,
        };
        results.save()?;
        Ok(results)
    }

    /// The numbers so far.
    pub(super) fn summary(&self) -> Summary {
        let iterations = self.experiment.settings.iterations;
        let mut configurations = self.configurations.iter();
        Summary {
            experiment: self.experiment.clone(),
            complete: configurations.all(|one| one.missing(iterations) == 0),
            configurations: self
                .configurations
                .iter()
                .map(Configuration::summary)
                .collect(),
        }
    }

    /// Writes the summary.
    pub(super) fn save(&self) -> Result<Summary, Failure> {
        let summary = self.summary();
        let path = self.directory.join(SUMMARY);
        let text =
            serde_json::to_string_pretty(&summary).map_err(|error| LatencyFailure::Strange {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        files::replace(&path, &format!("{text}\n"))?;
        Ok(summary)
    }

    /// Writes the summary and draws the figures.
    pub(super) fn finish(&self) -> Result<Summary, Failure> {
        let summary = self.save()?;
        for (name, figure) in figures::of(&summary) {
            let saved = figure.save(&self.directory, name);
            saved.map_err(LatencyFailure::Figure)?;
        }
        Ok(summary)
    }
}

impl Configuration {
    /// L1-L2.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.l1, self.l2)
    }

    /// How many iterations are to be measured yet, of so many in each mode.
    pub(super) fn missing(&self, iterations: u32) -> u64 {
        let missing = |table: &Table| (1..=iterations).filter(|one| !table.has(*one)).count();
        (missing(&self.sessions) + missing(&self.direct)) as u64
    }

    /// The numbers so far.
    pub(super) fn summary(&self) -> ConfigurationSummary {
        let Self {
            l1,
            l2,
            starts,
            sessions,
            direct,
        } = self;
        ConfigurationSummary::of(*l1, *l2, starts, sessions, direct)
    }
}

/// What the summary in a directory has of each configuration, if it is of the same experiment.
fn kept(directory: &Path, experiment: &Experiment) -> Result<Vec<KeptConfiguration>, Failure> {
    let path = directory.join(SUMMARY);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut entries = fs::read_dir(directory).map_err(files::on("read", directory))?;
            return match entries.next() {
                None => Ok(Vec::new()),
                Some(_) => Err(LatencyFailure::NotEmpty(directory.to_owned()).into()),
            };
        }
        text => text.map_err(files::on("read", &path))?,
    };
    let strange = |error: serde_json::Error| LatencyFailure::Strange {
        path: path.clone(),
        reason: error.to_string(),
    };
    let kept: Kept = serde_json::from_str(&text).map_err(strange)?;
    let there = serde_json::json!({
        "settings": kept.settings,
        "versions": kept.versions,
        "machine": kept.machine,
    });
    let here = serde_json::to_value(experiment).map_err(strange)?;
    let differences = differences(&there, &here);
    match differences.is_empty() {
        true => Ok(kept.configurations),
        false => Err(LatencyFailure::Other {
            directory: directory.to_owned(),
            differences: differences.join("; "),
        }
        .into()),
    }
}
