//! What can go wrong with the session log, and what to do about it.

use super::FILE;
use std::{io, path::PathBuf};

/// The session log cannot be opened or written. Nothing that it acknowledged is lost by an error,
/// unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory, or the file in it, cannot be made or opened.
    #[error("{path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error(
        "{FILE} is in use by another process: is a node already running on this data directory?"
    )]
    InUse,
    /// No space is left.
    #[error(
        "no space is left to write {FILE}: free some, then start the node again; every step that was answered is kept"
    )]
    Full,
    /// Reading or writing failed.
    #[error(
        "cannot read or write {FILE}: {0}; check the disk, then start the node again; every step that was answered is kept"
    )]
    Io(io::Error),
    /// A record that was durable does not read.
    #[error(
        "{FILE} is damaged in group {group} at byte {offset}: {what}; restore it from a backup, or move it away: the sessions open at this node then go on where another session node has them"
    )]
    Damaged {
        /// The key of the group's row.
        group: u64,
        /// Where in the group the damaged record starts.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The database's own pages cannot be read.
    #[error(
        "{FILE} is damaged in its own pages; restore it from a backup, or move it away: the sessions open at this node then go on where another session node has them"
    )]
    Pages,
    /// The database's own pages did not match their checksums.
    #[error(
        "{FILE} was damaged, and was repaired: steps answered just before the node stopped may be missing; restore it from a backup, or start the node again to go on with what is there"
    )]
    Repaired,
    /// The file is a database, but not of this format of the log.
    #[error("{FILE} is not a session log that this program reads: use the program that wrote it")]
    Foreign,
    /// The database failed.
    #[error(
        "{FILE} failed: {0}; start the node again; if that does not help, restore the file from a backup or move it away"
    )]
    Database(String),
    /// An entry is over [`MAX_ENTRY_BYTES`](super::MAX_ENTRY_BYTES).
    #[error("an entry of {0} bytes is too long for the session log")]
    TooLong(usize),
    /// The log's thread cannot be started.
    #[error("the session log's thread cannot be started: {0}")]
    Thread(io::Error),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// The database's errors, whichever operation they are of.
macro_rules! database_errors {
    ($($error:ident),+) => {$(
        impl From<redb::$error> for LogError {
            fn from(error: redb::$error) -> Self {
                match redb::Error::from(error) {
                    redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                        Self::Foreign
                    }
                    redb::Error::Io(error) => error.into(),
                    redb::Error::DatabaseAlreadyOpen => Self::InUse,
                    error => Self::Database(error.to_string()),
                }
            }
        }
    )+};
}
database_errors!(
    CommitError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);
