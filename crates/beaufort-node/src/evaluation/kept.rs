//! Runs that are done, each in a file of its own in the directory `runs`.
//!
//! A file is written whole or not at all, and says in which circumstances its run was: numbers of different ones must not
//! be mixed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use beaufort::sim::{Load, Trial};
use serde::{Deserialize, Serialize};

use super::Done;

/// The runs of a directory.
pub(super) struct Kept {
    directory: PathBuf,
    circumstances: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    /// Network, load, costs and settings.
    circumstances: String,
    run: Done,
}

impl Kept {
    /// The runs below a directory, which is made if it is missing, to be joined by ones like this.
    ///
    /// # Errors
    ///
    /// When it cannot be made or read, or runs in other circumstances are there.
    pub(super) fn open(out: &Path, trial: &Trial) -> anyhow::Result<Self> {
        let directory = out.join("runs");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let kept = Self {
            directory,
            circumstances: circumstances(trial),
        };
        kept.all()?;
        Ok(kept)
    }

    /// Whether this run was done before.
    pub(super) fn has(&self, trial: &Trial) -> bool {
        self.path(trial).exists()
    }

    /// Keeps a run.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn keep(&self, trial: &Trial, run: &Done) -> anyhow::Result<()> {
        let path = self.path(trial);
        let part = path.with_extension("part");
        let file = serde_json::json!({ "circumstances": self.circumstances, "run": run });
        fs::write(&part, file.to_string())
            .and_then(|()| fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// All runs, by scenario and size.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or was in other circumstances.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Done>> {
        let unreadable = || format!("cannot read {}", self.directory.display());
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.directory).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let name = path.display();
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            let file: File = serde_json::from_str(&text)
                .with_context(|| format!("{name} is no run: remove it to have it done again"))?;
            if file.circumstances != self.circumstances {
                bail!(
                    "the run in {name} was in other circumstances ({}, now {}): choose another directory with --out",
                    file.circumstances,
                    self.circumstances
                );
            }
            runs.push(file.run);
        }
        runs.sort_by_key(|done| (done.scenario, done.members, done.run));
        Ok(runs)
    }

    fn path(&self, trial: &Trial) -> PathBuf {
        let (scenario, members, seed) = (trial.scenario.name(), trial.members, trial.seed);
        self.directory
            .join(format!("{scenario}-{members}-{seed}.json"))
    }
}

/// All that runs to be compared must have in common, whatever their scenario, size, seed and length; what was changed
/// between two versions cannot be seen.
fn circumstances(trial: &Trial) -> String {
    let Trial {
        load,
        network,
        costs,
        store,
        replica,
        ..
    } = trial;
    let load = Load {
        measured: 0,
        ..*load
    };
    let version = env!("CARGO_PKG_VERSION");
    format!("version {version}, {load:?}, {network:?}, {costs:?}, store: {store}, {replica:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use beaufort::sim::{SECOND, Scenario};

    use super::*;

    fn trial() -> Trial {
        let mut trial = Trial::new(Scenario::Optimistic, 4, 1);
        (trial.load.measured, trial.load.drain) = (SECOND, SECOND);
        trial
    }

    /// The whole evaluation takes hours. What was done must not be lost with the terminal.
    #[test]
    fn a_run_that_was_kept_is_not_repeated_and_not_mixed_with_others() {
        let directory = tempfile::tempdir().unwrap();
        let trial = trial();
        let kept = Kept::open(directory.path(), &trial).unwrap();
        assert!(!kept.has(&trial));
        let outcome = trial.run();
        let done = Done {
            scenario: trial.scenario,
            members: 4,
            run: 0,
            seed: 1,
            seconds: 1,
            outcome,
        };
        kept.keep(&trial, &done).unwrap();
        let again = Kept::open(directory.path(), &trial).unwrap();
        assert!(again.has(&trial));
        let all = again.all().unwrap();
        assert_eq!(all[0].outcome.latencies, done.outcome.latencies);
        let mut other = trial.clone();
        other.network.loss = 0.1;
        let refused = Kept::open(directory.path(), &other)
            .map(|_| ())
            .unwrap_err();
        assert!(refused.to_string().contains("other circumstances"));
    }
}
