//! Why an engine ended, for its owner.

use crate::{EngineError, signal::Signal};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// The file that shows whether there is space, in the engine's directory.
const PROBE: &str = "probe";
/// How much space an engine needs to go on, in bytes.
const PROBE_BYTES: usize = 1 << 20;

#[derive(Debug, Clone)]
enum State {
    Running,
    Failed(String),
    /// Its owner stopped it.
    Stopped,
}

/// A cell for the first reason; copies are one.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Signal<State>);

impl Failure {
    pub(crate) fn none() -> Self {
        Self(Signal::new(State::Running))
    }

    /// The engine failed; only the first reason, while it runs, is kept.
    pub(crate) fn set(&self, reason: String) {
        self.end(State::Failed(reason));
    }

    /// Its owner stops it: what ends from now on is no failure.
    pub(crate) fn stop(&self) {
        self.end(State::Stopped);
    }

    fn end(&self, end: State) {
        self.0.update(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = end;
            }
            running
        });
    }

    /// The reason, where there is one.
    pub(crate) fn get(&self) -> Option<String> {
        match self.0.get() {
            State::Failed(reason) => Some(reason),
            State::Running | State::Stopped => None,
        }
    }

    /// Waits for a reason; nothing where the owner stopped the engine first.
    pub(crate) async fn wait(self) -> Option<String> {
        let mut state = self.0.follow();
        if matches!(state.get(), State::Running) {
            // It changes once.
            state.changed().await;
        }
        self.get()
    }
}

/// The error for an engine that stopped for `reason`. The engine's library does not say why a write
/// failed, so this tries one.
pub(crate) fn explain(directory: &Path, reason: String) -> EngineError {
    match probe(&directory.join(PROBE)) {
        Err(error) if is_full(&error) => EngineError::Full {
            directory: directory.to_owned(),
            reason,
        },
        _ => EngineError::Stopped(reason),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn probe(path: &Path) -> io::Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(path);
    written.and(removed)
}
