//! What one execution may spend, counted the same way on every node.
//!
//! Wall-clock time differs from node to node, so it cannot decide a result. Steps can: they count
//! what a handler asks of its [`Context`](crate::Context), and every node counts the same. See
//! `docs/determinism.md`.

use plenary_types::limits::{MAX_BODY_BYTES, MAX_READS};

/// Steps that one access to state costs: a get, a put, a delete, or one page of a scan.
pub const ACCESS_STEPS: u64 = 500;
/// Steps that one entry costs which a scan looks at.
pub const ENTRY_STEPS: u64 = 50;
/// Steps that one byte costs which is read from or written to state.
pub const BYTE_STEPS: u64 = 1;

/// The bounds of one execution. They are part of the service, not of a node's configuration: two
/// nodes with different limits would answer differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps in all.
    pub steps: u64,
    /// Reads that are recorded, at most [`MAX_READS`].
    pub reads: usize,
    /// Bytes of the keys of recorded reads, so that an operation always fits into a transaction.
    pub read_key_bytes: usize,
    /// Keys that are put or deleted.
    pub writes: usize,
    /// Bytes of keys and values that are put or deleted, counted again when written again.
    pub write_bytes: usize,
    /// Bytes of the response's body, at most [`MAX_BODY_BYTES`].
    pub response_bytes: usize,
}

impl Limits {
    /// What a service has that declares nothing: 4 million steps (some thousands of accesses, or
    /// a few MiB), and writes of 256 keys and 512 KiB.
    pub const DEFAULT: Self = Self {
        steps: 4_000_000,
        reads: MAX_READS,
        read_key_bytes: 128 * 1024,
        writes: 256,
        write_bytes: 512 * 1024,
        response_bytes: MAX_BODY_BYTES,
    };

    /// No bound at all, for the genesis: its config is local and bounded already.
    pub(crate) const NONE: Self = Self {
        steps: u64::MAX,
        reads: usize::MAX,
        read_key_bytes: usize::MAX,
        writes: usize::MAX,
        write_bytes: usize::MAX,
        response_bytes: usize::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which bound an execution went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Steps,
    Reads,
    Writes,
}

impl Bound {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Reads => "recorded reads",
            Self::Writes => "writes",
        }
    }
}

/// Counts what an execution spends.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    steps: u64,
    reads: usize,
    read_key_bytes: usize,
    write_bytes: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            steps: 0,
            reads: 0,
            read_key_bytes: 0,
            write_bytes: 0,
        }
    }

    /// Steps spent so far, never more than the budget.
    pub(crate) fn spent(&self) -> u64 {
        self.steps
    }

    pub(crate) fn steps(&mut self, steps: u64) -> Result<(), Bound> {
        let spent = self.steps.saturating_add(steps);
        self.steps = spent.min(self.limits.steps);
        within(spent <= self.limits.steps, Bound::Steps)
    }

    pub(crate) fn bytes(&mut self, bytes: usize) -> Result<(), Bound> {
        self.steps((bytes as u64).saturating_mul(BYTE_STEPS))
    }

    pub(crate) fn read(&mut self, key_bytes: usize) -> Result<(), Bound> {
        self.reads += 1;
        self.read_key_bytes = self.read_key_bytes.saturating_add(key_bytes);
        let fits =
            self.reads <= self.limits.reads && self.read_key_bytes <= self.limits.read_key_bytes;
        within(fits, Bound::Reads)
    }

    /// Counts a write of `bytes` after which `keys` keys are changed in all.
    pub(crate) fn write(&mut self, keys: usize, bytes: usize) -> Result<(), Bound> {
        self.write_bytes = self.write_bytes.saturating_add(bytes);
        let fits = keys <= self.limits.writes && self.write_bytes <= self.limits.write_bytes;
        within(fits, Bound::Writes)
    }
}

fn within(fits: bool, bound: Bound) -> Result<(), Bound> {
    if fits { Ok(()) } else { Err(bound) }
}
