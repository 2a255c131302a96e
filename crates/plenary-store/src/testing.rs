//! A disk for tests: files in memory that count, fail, wait and crash on demand.
//!
//! A [`Disk`] remembers every write and sync of its files in order. A crash is a place in that
//! order: what was synced before it is kept, and of what was written since, any part, down to
//! sectors, as the seed decides. So one scripted run gives every disk that a power failure at any
//! moment of it could leave.

use crate::files::Files;
use parking_lot::{Condvar, Mutex};
use redb::{BackendError, StorageBackend};
use std::{io, ops::Bound, sync::Arc};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// The parts that reach the disk, or do not, each for itself.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write { offset, data } = self else {
            return vec![self.clone()];
        };
        let mut parts = Vec::new();
        let mut at = 0;
        while at < data.len() {
            let end = data.len().min(at + SECTOR - (offset + at) % SECTOR);
            parts.push(Self::Write {
                offset: offset + at,
                data: data[at..end].to_vec(),
            });
            at = end;
        }
        parts
    }
}

#[derive(Debug, Clone)]
enum Event {
    Change(usize, Change),
    Sync(usize),
}

#[derive(Debug, Default)]
struct Inner {
    /// The files as they were when the disk was made, and as they are.
    first: [Vec<u8>; 2],
    now: [Vec<u8>; 2],
    locked: [bool; 2],
    log: Vec<Event>,
    /// How many changes there is room for.
    room: Option<usize>,
    syncs: usize,
    /// Whether syncs have to wait, and how many do.
    held: bool,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// A disk in memory with a store's two files. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Shared>);

/// Keeps the syncs of a [`Disk`] waiting.
#[derive(Debug)]
pub struct Held<'a>(&'a Disk);

impl Held<'_> {
    /// Waits until a sync waits.
    pub fn wait(&self) {
        let shared = &self.0.0;
        let mut inner = shared.inner.lock();
        shared
            .changed
            .wait_while(&mut inner, |inner| inner.waiting == 0);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.inner.lock().held = false;
        self.0.0.changed.notify_all();
    }
}

/// One file of a [`Disk`].
#[derive(Debug)]
pub struct DiskFile {
    disk: Disk,
    index: usize,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(files: [Vec<u8>; 2]) -> Self {
        let disk = Self::new();
        {
            let mut inner = disk.0.inner.lock();
            inner.now = files.clone();
            inner.first = files;
        }
        disk
    }

    /// The store's files on this disk.
    pub fn files(&self) -> Files<DiskFile, DiskFile> {
        let file = |index| DiskFile {
            disk: self.clone(),
            index,
        };
        Files {
            ledger: file(0),
            state: file(1),
        }
    }

    /// The ledger's bytes as they are now.
    pub fn ledger(&self) -> Vec<u8> {
        self.0.inner.lock().now[0].clone()
    }

    /// A disk with another ledger, and with this one's state database if `state`.
    #[must_use]
    pub fn with_ledger(&self, ledger: Vec<u8>, state: bool) -> Self {
        let database = if state {
            self.0.inner.lock().now[1].clone()
        } else {
            Vec::new()
        };
        Self::with([ledger, database])
    }

    /// How many syncs there were.
    pub fn syncs(&self) -> usize {
        self.0.inner.lock().syncs
    }

    /// How many writes, changes of length and syncs there were: the places to crash at.
    pub fn events(&self) -> usize {
        self.0.inner.lock().log.len()
    }

    /// The sizes of the ledger and of the state database, in bytes.
    pub fn sizes(&self) -> [usize; 2] {
        let inner = self.0.inner.lock();
        [inner.now[0].len(), inner.now[1].len()]
    }

    /// After this many more writes the disk is full, until [`free`](Self::free).
    pub fn fill_after(&self, writes: usize) {
        self.0.inner.lock().room = Some(writes);
    }

    /// There is room again.
    pub fn free(&self) {
        self.0.inner.lock().room = None;
    }

    /// From here on syncs wait, until the result is dropped.
    #[must_use]
    pub fn hold_syncs(&self) -> Held<'_> {
        self.0.inner.lock().held = true;
        Held(self)
    }

    /// A disk as a power failure after the first `event` events could leave it; which one of the
    /// many possible, is for `seed`.
    #[must_use]
    pub fn crash(&self, event: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let inner = self.0.inner.lock();
        let mut files = inner.first.clone();
        let mut pending: [Vec<&Change>; 2] = Default::default();
        for event in inner.log.iter().take(event) {
            match event {
                Event::Change(file, change) => pending[*file].push(change),
                Event::Sync(file) => {
                    for change in pending[*file].drain(..) {
                        change.apply(&mut files[*file]);
                    }
                }
            }
        }
        let kept = random.below(4);
        for (bytes, pending) in files.iter_mut().zip(pending) {
            for part in pending.iter().flat_map(|change| change.sectors()) {
                // All of it, none of it, or some.
                if kept == 0 || (kept > 1 && random.below(2) == 0) {
                    part.apply(bytes);
                }
            }
        }
        Self::with(files)
    }
}

impl DiskFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut inner = self.disk.0.inner.lock();
        if let Some(room) = &mut inner.room {
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= 1;
        }
        change.apply(&mut inner.now[self.index]);
        inner.log.push(Event::Change(self.index, change));
        Ok(())
    }
}

fn out_of_range() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.inner.lock().now[self.index].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.0.inner.lock();
        let offset = usize::try_from(offset).map_err(|_| out_of_range())?;
        let bytes = inner.now[self.index].get(offset..offset.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or_else(out_of_range)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| out_of_range())?;
        self.change(Change::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let shared = &self.disk.0;
        let mut inner = shared.inner.lock();
        inner.waiting += 1;
        shared.changed.notify_all();
        shared.changed.wait_while(&mut inner, |inner| inner.held);
        inner.waiting -= 1;
        inner.syncs += 1;
        inner.log.push(Event::Sync(self.index));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| out_of_range())?;
        if offset + data.len() > self.len()? as usize {
            return Err(out_of_range());
        }
        self.change(Change::Write {
            offset,
            data: data.to_vec(),
        })
    }

    fn close(&self) -> io::Result<()> {
        self.disk.0.inner.lock().locked[self.index] = false;
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if !matches!(start, Bound::Unbounded | Bound::Included(0)) || end != Bound::Unbounded {
            return Err(BackendError::Unsupported);
        }
        let mut inner = self.disk.0.inner.lock();
        Ok(!std::mem::replace(&mut inner.locked[self.index], true))
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        self.close().map_err(BackendError::Io)
    }
}

/// A sequence of numbers that is the same for the same seed (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }
}
