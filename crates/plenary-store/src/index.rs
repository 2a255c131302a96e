//! Finding blocks, transactions, operations and sessions. On disk in the state database, made from the
//! ledger; in memory for the blocks that are not flushed yet, so that whatever is applied is
//! found.
//!
//! A session that is committed is found by the operation that names it. One that is not is found
//! where the last of its transactions is: an index of its own, which a later transaction of the same
//! session overwrites. It can never hide a commit, which is in the other index.

use crate::{
    database::{BLOCKS, CERTIFIED, OFFSETS, OPERATIONS, Reading, SESSIONS, Snapshot, TRANSACTIONS},
    error::StoreError,
    ledger::Entry,
};
use plenary_types::{BlockHash, OperationId, Outcome, SessionId, TransactionHash};
use redb::WriteTransaction;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The height of its block.
    pub height: u64,
    /// Its index in the block.
    pub index: u32,
}

impl Location {
    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.height.to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, index) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            height: u64::from_be_bytes(*height),
            index: u32::from_be_bytes(index.try_into().ok()?),
        })
    }
}

/// A block in memory with everything that is looked up by hash.
pub(crate) struct Indexed {
    pub(crate) entry: Entry,
    pub(crate) hash: BlockHash,
    transactions: Vec<TransactionHash>,
    /// Ids of committed operations, with the index of their transaction.
    operations: Vec<(OperationId, u32)>,
    /// Sessions whose transaction is not committed, with its index.
    sessions: Vec<(SessionId, u32)>,
}

impl Indexed {
    /// Works out the hashes; `hash` is the block's.
    pub(crate) fn new(entry: Entry, hash: BlockHash) -> Self {
        let block = &entry.block;
        let transactions = block.transactions.iter().map(|tx| tx.hash()).collect();
        let outcomes = block.transactions.iter().zip(&block.outcomes).zip(0..);
        let (mut operations, mut sessions) = (Vec::new(), Vec::new());
        for ((transaction, outcome), index) in outcomes {
            match outcome {
                Outcome::Committed => {
                    operations.extend(transaction.operation_ids().map(|id| (id, index)));
                }
                Outcome::Conflict { .. } | Outcome::Rejected { .. } => {
                    sessions.extend(transaction.session().map(|id| (id, index)));
                }
            }
        }
        Self {
            entry,
            hash,
            transactions,
            operations,
            sessions,
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.entry.block.header.height
    }

    fn transactions(&self) -> impl Iterator<Item = (&TransactionHash, Location)> {
        let height = self.height();
        let indexed = self.transactions.iter().zip(0..);
        indexed.map(move |(hash, index)| (hash, Location { height, index }))
    }

    fn operations(&self) -> impl Iterator<Item = (&OperationId, Location)> {
        self.located(&self.operations)
    }

    fn sessions(&self) -> impl Iterator<Item = (&SessionId, Location)> {
        self.located(&self.sessions)
    }

    fn located<'a, T>(
        &self,
        of: &'a [(T, u32)],
    ) -> impl Iterator<Item = (&'a T, Location)> + use<'a, T> {
        let height = self.height();
        of.iter().map(move |(id, index)| {
            let index = *index;
            (id, Location { height, index })
        })
    }

    /// Writes the block's rows; `offset` is where the ledger has it.
    pub(crate) fn write(
        &self,
        transaction: &WriteTransaction,
        offset: u64,
    ) -> Result<(), StoreError> {
        let height = self.height().to_be_bytes();
        let put = |table, key: &[u8], value: &[u8]| -> Result<(), StoreError> {
            transaction.open_table(table)?.insert(key, value)?;
            Ok(())
        };
        put(OFFSETS, &height, &offset.to_be_bytes())?;
        put(BLOCKS, &self.hash.0, &height)?;
        if self.entry.certificate.is_some() {
            put(CERTIFIED, &height, &[])?;
        }
        let mut table = transaction.open_table(TRANSACTIONS)?;
        for (hash, location) in self.transactions() {
            table.insert(hash.0.as_slice(), location.to_bytes().as_slice())?;
        }
        let mut table = transaction.open_table(OPERATIONS)?;
        for (id, location) in self.operations() {
            table.insert(id.0.as_slice(), location.to_bytes().as_slice())?;
        }
        let mut table = transaction.open_table(SESSIONS)?;
        for (id, location) in self.sessions() {
            table.insert(id.0.as_slice(), location.to_bytes().as_slice())?;
        }
        Ok(())
    }
}

/// The blocks in memory, oldest first, and where things in them are.
#[derive(Default)]
pub(crate) struct Recent {
    pub(crate) blocks: VecDeque<std::sync::Arc<Indexed>>,
    pub(crate) heights: HashMap<BlockHash, u64>,
    pub(crate) transactions: HashMap<TransactionHash, Location>,
    pub(crate) operations: HashMap<OperationId, Location>,
    pub(crate) sessions: HashMap<SessionId, Location>,
    pub(crate) certified: BTreeSet<u64>,
}

impl Recent {
    pub(crate) fn push(&mut self, block: std::sync::Arc<Indexed>) {
        self.heights.insert(block.hash, block.height());
        self.transactions
            .extend(block.transactions().map(|(hash, at)| (*hash, at)));
        self.operations
            .extend(block.operations().map(|(id, at)| (*id, at)));
        self.sessions
            .extend(block.sessions().map(|(id, at)| (*id, at)));
        if block.entry.certificate.is_some() {
            self.certified.insert(block.height());
        }
        self.blocks.push_back(block);
    }

    /// Forgets the blocks up to `height`.
    pub(crate) fn forget(&mut self, height: u64) {
        while let Some(block) = self.blocks.pop_front_if(|block| block.height() <= height) {
            self.heights.remove(&block.hash);
            self.certified.remove(&block.height());
            for hash in &block.transactions {
                self.transactions.remove(hash);
            }
            for (id, _) in &block.operations {
                self.operations.remove(id);
            }
            for (id, _) in &block.sessions {
                // A later block in memory may have another transaction of the session.
                if self.sessions.get(id).is_some_and(|at| at.height <= height) {
                    self.sessions.remove(id);
                }
            }
        }
    }

    pub(crate) fn block(&self, height: u64) -> Option<&std::sync::Arc<Indexed>> {
        let first = self.blocks.front()?.height();
        self.blocks
            .get(usize::try_from(height.checked_sub(first)?).ok()?)
    }
}

fn lookup<T>(
    table: &Reading,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let row = table.get(key)?;
    let damaged = || StoreError::Database("an index row does not decode".into());
    row.map(|row| read(row.value()).ok_or_else(damaged))
        .transpose()
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The indexes on disk.
impl Snapshot {
    pub(crate) fn offset(&self, height: u64) -> Result<Option<u64>, StoreError> {
        lookup(&self.offsets, &height.to_be_bytes(), number)
    }

    pub(crate) fn height_of(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError> {
        lookup(&self.blocks, &hash.0, number)
    }

    pub(crate) fn transaction(
        &self,
        hash: &TransactionHash,
    ) -> Result<Option<Location>, StoreError> {
        lookup(&self.transactions, &hash.0, Location::from_bytes)
    }

    pub(crate) fn operation(&self, id: &OperationId) -> Result<Option<Location>, StoreError> {
        lookup(&self.operations, &id.0, Location::from_bytes)
    }

    pub(crate) fn session(&self, id: &SessionId) -> Result<Option<Location>, StoreError> {
        lookup(&self.sessions, &id.0, Location::from_bytes)
    }

    /// The first height at or above `height` whose block has a certificate of its own.
    pub(crate) fn certified_from(&self, height: u64) -> Result<Option<u64>, StoreError> {
        let from = height.to_be_bytes();
        let mut rows = self.certified.range(from.as_slice()..)?;
        let row = rows.next().transpose()?;
        Ok(row.and_then(|(key, _)| number(key.value())))
    }
}
