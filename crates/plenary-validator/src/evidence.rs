//! The evidence log: one JSON object a line, appended as it is found, kept for ever.

use parking_lot::Mutex;
use plenary_types::evidence::Evidence;
use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
};

/// Most pieces that are kept: one of each validator, view and kind of vote proves enough, and a
/// Byzantine validator must not fill the disk.
const MOST: usize = 10_000;

#[derive(Default)]
struct Kept {
    all: Vec<Evidence>,
    seen: HashSet<(u32, u64, u64)>,
    file: Option<File>,
}

/// What is known of validators' misbehaviour.
#[derive(Default)]
pub struct EvidenceLog(Mutex<Kept>);

impl EvidenceLog {
    /// Opens the log at `path`, or makes it. A line that was cut off by a crash is passed over.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let mut kept = Kept::default();
        for line in BufReader::new(file.try_clone()?).lines() {
            if let Ok(evidence) = serde_json::from_str(&line?) {
                kept.insert(evidence);
            }
        }
        kept.file = Some(file);
        Ok(Self(Mutex::new(kept)))
    }

    /// Keeps a piece of evidence; more of the same validator and view adds nothing.
    ///
    /// # Errors
    ///
    /// Where it could not be written; it is in memory all the same.
    pub fn add(&self, evidence: Evidence) -> io::Result<()> {
        let mut kept = self.0.lock();
        let mut line = serde_json::to_vec(&evidence)?;
        line.push(b'\n');
        if !kept.insert(evidence) {
            return Ok(());
        }
        match &mut kept.file {
            Some(file) => {
                file.write_all(&line)?;
                file.sync_data()
            }
            None => Ok(()),
        }
    }

    /// All that is kept, oldest first.
    pub fn all(&self) -> Vec<Evidence> {
        self.0.lock().all.clone()
    }
}

impl Kept {
    fn insert(&mut self, evidence: Evidence) -> bool {
        let round = evidence.first.round;
        let new = self.all.len() < MOST
            && self
                .seen
                .insert((evidence.validator, round.epoch, round.view));
        if new {
            self.all.push(evidence);
        }
        new
    }
}
