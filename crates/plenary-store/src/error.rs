//! What can go wrong with the files, and what to do about it.

use plenary_service::state::StateError;
use plenary_types::{BlockHash, GenesisHash};
use std::{fmt, io, path::PathBuf};

/// One of the store's two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The ledger.
    Ledger,
    /// The state database.
    State,
}

impl File {
    /// Its name in the data directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::State => "state.redb",
        }
    }

    /// What to do about one of another format.
    fn other_format(self) -> &'static str {
        match self {
            Self::Ledger => "use the program that wrote it",
            Self::State => "remove that file: it is made again from the ledger",
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a ledger is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}, height {height}: {what}")]
pub struct Damage {
    /// Where the damaged part starts: the file's header, or a record.
    pub offset: u64,
    /// How many bytes the damaged part has, as far as that can be known.
    pub length: u64,
    /// The height of the block that is, or should be, there; 0 is the file's header.
    pub height: u64,
    /// Whether nothing whole follows: what a crash while writing leaves. Opening the ledger for
    /// writing cuts such a tail off, unless it was known to be durable.
    pub tail: bool,
    /// What is wrong.
    pub what: String,
}

/// The store failed. Nothing that it acknowledged is lost by an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or read.
    #[error("{path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No space is left.
    #[error(
        "no space is left to write {0}: free some, then start the node again; everything acknowledged is kept"
    )]
    Full(File),
    /// Reading or writing failed.
    #[error(
        "cannot read or write {file}: {source}; check the disk, then start the node again; everything acknowledged is kept"
    )]
    Io {
        /// Which file.
        file: File,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process: is a node already running on this data directory?")]
    InUse(File),
    /// The state database failed.
    #[error(
        "{file} failed: {0}; start the node again, and if that does not help remove that file: it is made again from the ledger",
        file = File::State
    )]
    Database(String),
    /// The file is none of Plenary's.
    #[error("{0} is no file of Plenary's")]
    Foreign(File),
    /// The file has another format.
    #[error(
        "{file} has format {found}, this program reads format {expected}: {}", file.other_format()
    )]
    Format {
        /// Which file.
        file: File,
        /// What this program reads.
        expected: u32,
        /// What the file has.
        found: u32,
    },
    /// The data directory is another network's.
    #[error(
        "{file} belongs to the network of genesis {found}, not to that of genesis {expected}: use another data directory"
    )]
    OtherGenesis {
        /// Which file.
        file: File,
        /// The genesis asked for.
        expected: GenesisHash,
        /// The genesis the file was made for.
        found: GenesisHash,
    },
    /// The service's genesis function failed.
    #[error("the genesis state cannot be made: {0}")]
    Genesis(String),
    /// The ledger is damaged where it was durable.
    #[error(
        "{file} is damaged at {0}; restore it from a backup, or start with an empty data directory and catch up from the other validators",
        file = File::Ledger
    )]
    Damaged(Damage),
    /// The ledger ends before the state.
    #[error(
        "{file} has {ledger} bytes, but {other} was made from {state}: the ledger was cut or replaced; restore it, or remove both files and catch up from the other validators",
        file = File::Ledger,
        other = File::State
    )]
    LedgerBehind {
        /// How many bytes the ledger has.
        ledger: u64,
        /// How many bytes it had when the state was last written.
        state: u64,
    },
    /// The state is of another block than the ledger has.
    #[error(
        "at height {height} the ledger has block {ledger}, the state was made from {state}: the files do not belong together"
    )]
    Diverged {
        /// The height.
        height: u64,
        /// The ledger's block.
        ledger: BlockHash,
        /// The state's.
        state: BlockHash,
    },
    /// The height is not readable.
    #[error("the state at height {height} is not kept: readable are {oldest} to {newest}")]
    Height {
        /// The height asked for.
        height: u64,
        /// The oldest that can be read.
        oldest: u64,
        /// The newest.
        newest: u64,
    },
    /// A block does not follow on what it was given over.
    #[error("block {height} does not follow on {tip}: {what}")]
    NotNext {
        /// The block's height.
        height: u64,
        /// The height it was given over.
        tip: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Reading state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl StoreError {
    /// The error of an operation on `file`.
    pub(crate) fn io(file: File, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(file),
            _ => Self::Io { file, source },
        }
    }
}

/// The state database's errors, whichever operation they are of.
macro_rules! database_errors {
    ($($error:ident),+) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                match redb::Error::from(error) {
                    redb::Error::Io(source) => Self::io(File::State, source),
                    redb::Error::DatabaseAlreadyOpen => Self::InUse(File::State),
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

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::State(error) => error,
            error => Self(error.to_string()),
        }
    }
}

/// For `map_err` where only state can be read.
pub(crate) fn unreadable(error: redb::StorageError) -> StateError {
    StoreError::from(error).into()
}
