//! Where a store's files are: in a data directory, or nowhere.

use crate::error::{File, StoreError};
use redb::{
    StorageBackend,
    backends::{FileBackend, InMemoryBackend},
};
use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Where the store's two files are.
pub struct Files<L, S> {
    /// The ledger.
    pub ledger: L,
    /// The state database.
    pub state: S,
}

impl Files<FileBackend, FileBackend> {
    /// The files in a data directory; makes them, and the directory, where they are not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Directory`] where that is not possible.
    pub fn in_directory(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Directory {
            path: directory.into(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let open = |file: File| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let opened = options.open(directory.join(file.name())).map_err(failed)?;
            FileBackend::new(opened).map_err(StoreError::from)
        };
        let files = Self {
            ledger: open(File::Ledger)?,
            state: open(File::State)?,
        };
        // New names are durable with their directory, not with the files.
        let directory = fs::File::open(directory).map_err(failed)?;
        directory.sync_all().map_err(failed)?;
        Ok(files)
    }
}

impl Files<Nowhere, InMemoryBackend> {
    /// No files, for executing the blocks of another ledger again: the state is in memory, and
    /// blocks are forgotten once they are flushed.
    pub fn nowhere() -> Self {
        Self {
            ledger: Nowhere::default(),
            state: InMemoryBackend::new(),
        }
    }
}

/// A file that takes everything and keeps nothing but its length.
#[derive(Debug, Default)]
pub struct Nowhere(AtomicU64);

impl StorageBackend for Nowhere {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }

    fn read(&self, _: u64, out: &mut [u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this ledger is not kept",
        ))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
