//! Reading a ledger from outside: nothing is repaired, nothing is trusted.

use super::{
    check_file_header,
    record::{FILE_HEADER, ReadError, read_record},
};
use crate::error::{Damage, File, StoreError};
use plenary_types::{Block, BlockHash, Certificate, CertificateError, Genesis, Header};
use redb::{StorageBackend, backends::FileBackend};
use std::{path::Path, sync::Arc};

/// A block whose bytes, body, links and certificate are good. Whether its outcomes and state root
/// are right is for re-execution to say.
#[derive(Debug, Clone)]
pub struct Audited {
    /// Where its record is in the file.
    pub offset: u64,
    /// The block.
    pub block: Arc<Block>,
    /// Its certificate, where there is one.
    pub certificate: Option<Certificate>,
}

/// Why a ledger is not that of the network.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file is not a ledger of this network, or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes are damaged, or the file ends within a record.
    #[error("the ledger is damaged at {0}")]
    Damage(Damage),
    /// A block is of another network.
    #[error("byte {offset}, height {height}: the block is of another network")]
    Genesis {
        /// Where its record is.
        offset: u64,
        /// Its height.
        height: u64,
    },
    /// A block is not the child of the one before.
    #[error("byte {offset}, height {height}: the block's parent is {found}, not {expected}")]
    Link {
        /// Where its record is.
        offset: u64,
        /// Its height.
        height: u64,
        /// The block before.
        expected: BlockHash,
        /// The parent it names.
        found: BlockHash,
    },
    /// A certificate does not hold.
    #[error("byte {offset}, height {height}: {error}")]
    Certificate {
        /// Where the block's record is.
        offset: u64,
        /// Its height.
        height: u64,
        /// Why.
        error: CertificateError,
    },
}

/// Reads a ledger block by block and checks all that needs no execution: checksums, encoding,
/// that each body is its header's, links, certificates. Ends after the first error.
///
/// The file is never written, and need not be closed by its node; a record that the node is just
/// writing is reported as a damaged tail.
pub struct Audit<'a> {
    file: Box<dyn StorageBackend>,
    genesis: &'a Genesis,
    end: u64,
    next: u64,
    last: Header,
    certified: u64,
    failed: bool,
}

impl<'a> Audit<'a> {
    /// Opens the ledger in a data directory. `first` is the header of the block at height 0.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or does not start as a ledger of the network.
    pub fn open(directory: &Path, genesis: &'a Genesis, first: Header) -> Result<Self, AuditError> {
        let path = directory.join(File::Ledger.name());
        let file =
            std::fs::File::open(&path).map_err(|source| StoreError::Directory { path, source })?;
        let file = FileBackend::new(file).map_err(StoreError::from)?;
        Self::new(Box::new(file), genesis, first)
    }

    /// As [`open`](Self::open), of any file.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or does not start as a ledger of the network.
    pub fn new(
        file: Box<dyn StorageBackend>,
        genesis: &'a Genesis,
        first: Header,
    ) -> Result<Self, AuditError> {
        let end = file
            .len()
            .map_err(|error| StoreError::io(File::Ledger, error))?;
        if !check_file_header(&*file, end, &genesis.hash())? {
            return Err(AuditError::Damage(Damage {
                offset: 0,
                length: end,
                height: 0,
                tail: true,
                what: "the file's header is not all there, or damaged".into(),
            }));
        }
        Ok(Self {
            file,
            genesis,
            end,
            next: FILE_HEADER,
            last: first,
            certified: 0,
            failed: false,
        })
    }

    /// How much of the file has been read, and how long it is, in bytes: for showing progress.
    pub fn progress(&self) -> (u64, u64) {
        (self.next, self.end)
    }

    /// The last height below which every block is certified, by itself or by a descendant.
    pub fn certified(&self) -> u64 {
        self.certified
    }

    fn step(&mut self) -> Result<Audited, AuditError> {
        let height = self.last.height + 1;
        let record = read_record(&*self.file, self.next, self.end, height);
        let record = record.map_err(|error| match error {
            ReadError::Damage(damage) => AuditError::Damage(damage),
            ReadError::Io(error) => StoreError::io(File::Ledger, error).into(),
        })?;
        let offset = record.offset;
        let block = record.block().map_err(AuditError::Damage)?;
        let certificate = record.certificate().map_err(AuditError::Damage)?;
        if block.header.genesis != self.genesis.hash() {
            return Err(AuditError::Genesis { offset, height });
        }
        let expected = self.last.hash();
        if block.header.parent != expected {
            return Err(AuditError::Link {
                offset,
                height,
                expected,
                found: block.header.parent,
            });
        }
        if let Some(certificate) = &certificate {
            certificate
                .verify(&block.header, self.genesis)
                .map_err(|error| AuditError::Certificate {
                    offset,
                    height,
                    error,
                })?;
            self.certified = height;
        }
        self.next = record.end();
        self.last = block.header.clone();
        Ok(Audited {
            offset,
            block: Arc::new(block),
            certificate,
        })
    }
}

impl Iterator for Audit<'_> {
    type Item = Result<Audited, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next >= self.end {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        Some(step)
    }
}
