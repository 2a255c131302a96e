//! The session log: every step is durable before its answer leaves.
//!
//! Entries of all sessions go into one log, in the order of appending. A thread of its own takes
//! all that wait, makes them durable with one sync, and completes them: while it syncs, the next
//! group gathers by itself, so nobody waits for a timer. A session's entries are there until it is
//! forgotten; the log's size follows what is needed, not what was ever written.
//!
//! `groups` is the log on disk, `record` its bytes, `space` says what can go. The layout, and the
//! measurements it stands on, are in `docs/session-log.md`.

mod error;
mod groups;
mod record;
mod space;
#[cfg(test)]
mod tests;

pub use error::LogError;

use bytes::Bytes;
use groups::Groups;
use parking_lot::Mutex;
use plenary_types::{SessionId, limits::MAX_TRANSACTION_BYTES};
use redb::{StorageBackend, backends::FileBackend};
use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

/// The log's file in the data directory.
pub const FILE: &str = "sessions.redb";
/// The longest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 4 * MAX_TRANSACTION_BYTES;
/// How many bytes of entries a group takes before it is written without looking for more.
const GROUP_BYTES: usize = 1 << 20;
/// How many bytes of entries may wait for the disk before no more steps are to be taken.
const MOST_WAITING: usize = 64 << 20;
/// How much more than twice what is needed the groups may take, in bytes.
const SLACK: u64 = 4 << 20;

/// A session that was in the log when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The session.
    pub session: SessionId,
    /// Its entries, in the order of appending.
    pub entries: Vec<Bytes>,
}

type Durable = Box<dyn FnOnce() + Send>;
type Failed = Box<dyn Fn(String) + Send>;

enum Message {
    Append(SessionId, Bytes, Durable),
    Forget(SessionId),
}

/// The log of all sessions of a node.
pub struct Log {
    mode: Mode,
}

enum Mode {
    /// At once, in the caller: for simulations. No groups after a failure, or once stopped.
    Inline {
        groups: Mutex<Option<Box<Groups>>>,
        failed: Mutex<Failed>,
    },
    /// In a thread of its own.
    Grouped {
        queue: Mutex<Option<mpsc::Sender<Message>>>,
        thread: Mutex<Option<JoinHandle<()>>>,
        /// The bytes of the entries that are not on disk yet.
        waiting: Arc<AtomicUsize>,
    },
}

/// The log's file in a data directory; makes it, and the directory, where they are not there.
///
/// # Errors
///
/// [`LogError::Directory`] where that is not possible.
pub fn in_directory(directory: &Path) -> Result<FileBackend, LogError> {
    let failed = |source| LogError::Directory {
        path: directory.into(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(directory.join(FILE)).map_err(failed)?;
    // A new name is durable with its directory, not with the file.
    let names = fs::File::open(directory).map_err(failed)?;
    names.sync_all().map_err(failed)?;
    Ok(FileBackend::new(file)?)
}

impl Log {
    /// Opens or creates a log that writes in groups, from a thread of its own. `failed` is told
    /// once, with what to do, should a write fail; nothing is completed from then on.
    ///
    /// A session that was forgotten shortly before a crash may come back: forget it again.
    ///
    /// # Errors
    ///
    /// [`LogError`]: the file cannot be read, is damaged, or is in use.
    pub fn grouped(
        backend: impl StorageBackend,
        failed: impl Fn(String) + Send + 'static,
    ) -> Result<(Self, Vec<Recovered>), LogError> {
        let (groups, recovered) = Groups::open(backend, SLACK)?;
        let (queue, messages) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let written = waiting.clone();
        let thread = thread::Builder::new()
            .name("session log".into())
            .spawn(move || {
                if let Err(error) = run(groups, &messages, &written) {
                    failed(error.to_string());
                }
            })
            .map_err(LogError::Thread)?;
        let mode = Mode::Grouped {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            waiting,
        };
        Ok((Self { mode }, recovered))
    }

    /// Opens or creates a log that writes each entry before [`append`](Self::append) returns, and
    /// completes it in the caller; otherwise as [`grouped`](Self::grouped).
    ///
    /// # Errors
    ///
    /// As [`grouped`](Self::grouped).
    pub fn inline(
        backend: impl StorageBackend,
        failed: impl Fn(String) + Send + 'static,
    ) -> Result<(Self, Vec<Recovered>), LogError> {
        let (groups, recovered) = Groups::open(backend, SLACK)?;
        let mode = Mode::Inline {
            groups: Mutex::new(Some(Box::new(groups))),
            failed: Mutex::new(Box::new(failed)),
        };
        Ok((Self { mode }, recovered))
    }

    /// Appends an entry of at most [`MAX_ENTRY_BYTES`] to a session's; a longer one is a failed
    /// write. `durable` runs on the log's thread once it is on disk; entries become durable in the
    /// order of appending. Does not wait for the disk. Where the log has failed or is stopped,
    /// `durable` is dropped.
    pub fn append(
        &self,
        session: SessionId,
        entry: Bytes,
        durable: impl FnOnce() + Send + 'static,
    ) {
        match &self.mode {
            Mode::Inline { .. } => {
                let entries = [(session, entry)];
                if self.write(|groups| groups.write(&entries, &HashSet::new())) {
                    durable();
                }
            }
            Mode::Grouped { queue, waiting, .. } => {
                if let Some(queue) = &*queue.lock() {
                    waiting.fetch_add(entry.len(), Ordering::Relaxed);
                    let _ = queue.send(Message::Append(session, entry, Box::new(durable)));
                }
            }
        }
    }

    /// Whether so much waits for the disk that no more steps are to be taken: what waits is in memory.
    pub fn is_behind(&self) -> bool {
        match &self.mode {
            Mode::Inline { .. } => false,
            Mode::Grouped { waiting, .. } => waiting.load(Ordering::Relaxed) > MOST_WAITING,
        }
    }

    /// The session's entries are no longer needed; their space is used again. Becomes durable with
    /// an entry that is appended later. Nothing may be appended to the session after this: it may
    /// not be kept.
    pub fn forget(&self, session: SessionId) {
        match &self.mode {
            Mode::Inline { groups, .. } => {
                if let Some(groups) = &mut *groups.lock() {
                    groups.forget(session);
                }
            }
            Mode::Grouped { queue, .. } => {
                if let Some(queue) = &*queue.lock() {
                    let _ = queue.send(Message::Forget(session));
                }
            }
        }
    }

    /// Writes what is left, and closes the file. Must not be called by a `durable` or `failed`.
    pub fn stop(&self) {
        match &self.mode {
            Mode::Inline { groups, failed } => {
                let groups = groups.lock().take();
                if let Some(Err(error)) = groups.map(|groups| groups.close()) {
                    failed.lock()(error.to_string());
                }
            }
            Mode::Grouped { queue, thread, .. } => {
                queue.lock().take();
                if let Some(thread) = thread.lock().take() {
                    let _ = thread.join();
                }
            }
        }
    }

    /// Writes inline; says whether that succeeded.
    fn write(&self, write: impl FnOnce(&mut Groups) -> Result<(), LogError>) -> bool {
        let Mode::Inline { groups, failed } = &self.mode else {
            return false;
        };
        let mut groups = groups.lock();
        let Some(open) = &mut *groups else {
            return false;
        };
        let Err(error) = write(open) else {
            return true;
        };
        *groups = None;
        drop(groups);
        failed.lock()(error.to_string());
        false
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes groups until the queue ends, or a write fails.
fn run(
    mut groups: Groups,
    messages: &mpsc::Receiver<Message>,
    waiting: &AtomicUsize,
) -> Result<(), LogError> {
    while let Ok(first) = messages.recv() {
        let mut entries = Vec::new();
        let mut completions = Vec::new();
        let mut forgotten = HashSet::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Append(session, entry, durable) => {
                    bytes += entry.len();
                    entries.push((session, entry));
                    completions.push(durable);
                }
                Message::Forget(session) => {
                    forgotten.insert(session);
                }
            }
            next = (bytes < GROUP_BYTES)
                .then(|| messages.try_recv().ok())
                .flatten();
        }
        if entries.is_empty() {
            forgotten
                .into_iter()
                .for_each(|session| groups.forget(session));
            continue;
        }
        groups.write(&entries, &forgotten)?;
        waiting.fetch_sub(bytes, Ordering::Relaxed);
        completions.into_iter().for_each(|durable| durable());
    }
    groups.close()
}
