//! The ledger: every final block, in order, in one file that only grows.
//!
//! The ledger is the truth: state and indexes are made from it. Blocks are appended in groups,
//! each made durable before the next begins. `record` says what the bytes are; `audit` reads a
//! ledger from outside, trusting nothing.

mod audit;
mod record;

pub use audit::{Audit, AuditError, Audited};

use crate::error::{Damage, File, StoreError};
use parking_lot::{Mutex, RwLock};
use plenary_types::{Block, BlockHash, Certificate, GenesisHash};
use record::{
    FILE_HEADER, FileHeader, ReadError, Record, encode_record, file_header, read_file_header,
    read_record,
};
use redb::{BackendError, StorageBackend};
use std::{
    collections::VecDeque,
    ops::{Bound, Deref},
    sync::Arc,
};

/// A final block and, where this node has it, the certificate that made it so.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The block.
    pub block: Arc<Block>,
    /// The signatures over its header; a block without has them on a descendant.
    pub certificate: Option<Certificate>,
}

/// How far the state database knows the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// The last block it was made from.
    pub(crate) height: u64,
    /// That block's hash.
    pub(crate) hash: BlockHash,
    /// How long the ledger was with that block; 0 where the database is new.
    pub(crate) length: u64,
}

/// Where a block is in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) hash: BlockHash,
}

/// What the ledger has beyond the state database.
struct Tail {
    /// The last block before it.
    below: (u64, BlockHash),
    /// Where it starts.
    start: u64,
    places: VecDeque<Place>,
}

impl Tail {
    fn end(&self) -> u64 {
        self.places.back().map_or(self.start, |place| place.end)
    }

    fn tip(&self) -> (u64, BlockHash) {
        let (height, hash) = self.below;
        let hash = self.places.back().map_or(hash, |place| place.hash);
        (height + self.places.len() as u64, hash)
    }

    fn place(&self, height: u64) -> Option<&Place> {
        let index = height.checked_sub(self.below.0)?.checked_sub(1)?;
        self.places.get(usize::try_from(index).ok()?)
    }
}

/// The ledger's file, locked against other processes. Its lock guards the state database too.
pub(crate) struct LockedFile(Box<dyn StorageBackend>);

impl LockedFile {
    pub(crate) fn new(file: impl StorageBackend) -> Result<Self, StoreError> {
        match file.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(true) | Err(BackendError::Unsupported) => Ok(Self(Box::new(file))),
            Ok(false) => Err(StoreError::InUse(File::Ledger)),
            Err(error) => Err(StoreError::io(File::Ledger, error.into())),
        }
    }
}

impl Deref for LockedFile {
    type Target = dyn StorageBackend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Releases the lock; there is nobody to tell that it failed.
        let _ = self.0.close();
    }
}

/// A ledger that is open for writing.
pub struct Ledger {
    file: LockedFile,
    /// Held while a group is written.
    writing: Mutex<()>,
    tail: RwLock<Tail>,
}

impl Ledger {
    /// Opens or creates a ledger; whatever a crash left after the last whole record is cut off.
    pub(crate) fn open(
        file: LockedFile,
        genesis: &GenesisHash,
        mark: Mark,
    ) -> Result<Self, StoreError> {
        let error = |error| StoreError::io(File::Ledger, error);
        let length = file.len().map_err(error)?;
        if length < mark.length {
            return Err(StoreError::LedgerBehind {
                ledger: length,
                state: mark.length,
            });
        }
        if !check_file_header(&*file, length, genesis)? {
            // A crash while the ledger was made: no block was in it yet.
            file.set_len(FILE_HEADER).map_err(error)?;
            file.write(0, &file_header(genesis)).map_err(error)?;
            file.sync_data().map_err(error)?;
        }
        let mut tail = Tail {
            below: (mark.height, mark.hash),
            start: mark.length.max(FILE_HEADER),
            places: VecDeque::new(),
        };
        let end = length.max(FILE_HEADER);
        while tail.end() < end {
            let (height, hash) = tail.tip();
            let record = match read_record(&*file, tail.end(), end, height + 1) {
                Ok(record) => record,
                Err(ReadError::Damage(damage)) if damage.tail => {
                    file.set_len(tail.end()).map_err(error)?;
                    file.sync_data().map_err(error)?;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let header = record.block().map_err(StoreError::Damaged)?.header;
            if header.parent != hash {
                let what = "its parent is not the block before".into();
                return Err(StoreError::Damaged(record.damage(what)));
            }
            tail.places.push_back(Place {
                offset: record.offset,
                end: record.end(),
                hash: header.hash(),
            });
        }
        Ok(Self {
            file,
            writing: Mutex::new(()),
            tail: RwLock::new(tail),
        })
    }

    /// The height and the hash of the last block in the file.
    pub fn tip(&self) -> (u64, BlockHash) {
        self.tail.read().tip()
    }

    /// How many bytes the file has.
    pub fn length(&self) -> u64 {
        self.tail.read().end()
    }

    /// Appends blocks that follow on the last and makes them durable with one sync. Where that
    /// fails, none of them is in the ledger, and appending them again is right.
    pub(crate) fn append<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a Entry, BlockHash)>,
    ) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        let group = self.tail.read().end();
        let places = self
            .write_group(group, entries)
            .map_err(|error| StoreError::io(File::Ledger, error))?;
        self.tail.write().places.extend(places);
        Ok(())
    }

    fn write_group<'a>(
        &self,
        group: u64,
        entries: impl IntoIterator<Item = (&'a Entry, BlockHash)>,
    ) -> std::io::Result<Vec<Place>> {
        let mut places = Vec::new();
        let mut offset = group;
        for (entry, hash) in entries {
            let record = encode_record(&entry.block, entry.certificate.as_ref(), group);
            let end = offset + record.len() as u64;
            // A backend need not take writes beyond its end.
            self.file.set_len(end)?;
            self.file.write(offset, &record)?;
            places.push(Place { offset, end, hash });
            offset = end;
        }
        if !places.is_empty() {
            self.file.sync_data()?;
        }
        Ok(places)
    }

    fn record(&self, height: u64, offset: u64) -> Result<Record, StoreError> {
        Ok(read_record(&*self.file, offset, self.length(), height)?)
    }

    /// The block of `height`, whose record is at `offset`.
    pub(crate) fn read(&self, height: u64, offset: u64) -> Result<Entry, StoreError> {
        let record = self.record(height, offset)?;
        let read = || {
            Ok(Entry {
                block: Arc::new(record.block()?),
                certificate: record.certificate()?,
            })
        };
        read().map_err(|damage: Damage| StoreError::Damaged(damage))
    }

    /// The certificate with the block of `height`, whose record is at `offset`.
    pub(crate) fn certificate(
        &self,
        height: u64,
        offset: u64,
    ) -> Result<Option<Certificate>, StoreError> {
        let record = self.record(height, offset)?;
        record.certificate().map_err(StoreError::Damaged)
    }

    /// Where the block of `height` is, if the state database does not have it yet.
    pub(crate) fn place(&self, height: u64) -> Option<Place> {
        self.tail.read().place(height).copied()
    }

    /// Takes note that the state database has the blocks up to `height`.
    pub(crate) fn flushed(&self, height: u64) {
        let mut tail = self.tail.write();
        while tail.below.0 < height {
            let Some(place) = tail.places.pop_front() else {
                break;
            };
            tail.below = (tail.below.0 + 1, place.hash);
            tail.start = place.end;
        }
    }
}

/// Whether the file starts as a ledger; not, where it is new or was never finished.
fn check_file_header(
    file: &dyn StorageBackend,
    length: u64,
    genesis: &GenesisHash,
) -> Result<bool, StoreError> {
    let mut bytes = vec![0; length.min(FILE_HEADER) as usize];
    file.read(0, &mut bytes)
        .map_err(|error| StoreError::io(File::Ledger, error))?;
    match read_file_header(&bytes, genesis) {
        FileHeader::Good => Ok(true),
        FileHeader::Other(error) => Err(error),
        FileHeader::Damaged if length <= FILE_HEADER => Ok(false),
        FileHeader::Damaged => Err(StoreError::Damaged(Damage {
            offset: 0,
            length: FILE_HEADER,
            height: 0,
            tail: false,
            what: "the file's header is damaged".into(),
        })),
    }
}
