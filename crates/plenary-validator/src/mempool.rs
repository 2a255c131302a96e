//! The mempool: valid transactions that wait for a block.
//!
//! First come, first served, and bounded in count and in bytes, both in all and for each
//! originator, so that one originator's flood is refused without costing the others their place.
//! What is here has passed [`Transaction::validate`]; a block's transactions that are found here
//! need no second check of their signatures.

use crate::error::Refusal;
use plenary_types::{
    OperationId, PublicKey, Timestamp, Transaction, TransactionHash,
    limits::{MAX_BLOCK_BYTES, MAX_OPERATION_AGE_MS},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// The mempool's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most transactions.
    pub transactions: usize,
    /// Most encoded bytes.
    pub bytes: usize,
    /// Most transactions, and the same share of the bytes, that one originator may have waiting,
    /// in percent.
    pub share: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            transactions: 20_000,
            bytes: 64 * 1024 * 1024,
            share: 50,
        }
    }
}

/// A transaction that passed validation, with what is asked of it again and again.
#[derive(Debug)]
pub struct Candidate {
    /// The transaction.
    pub transaction: Transaction,
    /// Its hash.
    pub hash: TransactionHash,
    /// The names of its operations.
    pub operations: Vec<OperationId>,
    /// Its encoded size.
    pub size: usize,
    /// Whether a client or a session node brought it here, and no other validator: then it is this node's
    /// to broadcast.
    pub brought: bool,
}

impl Candidate {
    /// A candidate of a transaction that the caller knows to be valid.
    pub fn new(transaction: Transaction) -> Self {
        Self {
            hash: transaction.hash(),
            operations: transaction.operation_ids().collect(),
            size: transaction.size(),
            brought: false,
            transaction,
        }
    }
}

#[derive(Default)]
struct Load {
    transactions: usize,
    bytes: usize,
}

/// Transactions that wait, by arrival.
#[derive(Default)]
pub struct Mempool {
    bounds: Bounds,
    arrivals: u64,
    queue: BTreeMap<u64, Arc<Candidate>>,
    places: HashMap<TransactionHash, u64>,
    operations: HashMap<OperationId, Vec<TransactionHash>>,
    loads: HashMap<PublicKey, Load>,
    bytes: usize,
}

impl Mempool {
    /// An empty mempool.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// How many transactions wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The waiting transaction with this hash.
    pub fn get(&self, hash: &TransactionHash) -> Option<&Arc<Candidate>> {
        self.queue.get(self.places.get(hash)?)
    }

    /// The waiting transactions that have this operation, by arrival.
    pub fn with_operation(&self, id: &OperationId) -> Vec<Arc<Candidate>> {
        let hashes = self.operations.get(id).into_iter().flatten();
        hashes.filter_map(|hash| self.get(hash)).cloned().collect()
    }

    /// Adds a transaction; one that is here already is left in its place.
    ///
    /// # Errors
    ///
    /// Where the mempool, or the originator's share of it, is full.
    pub fn insert(&mut self, candidate: Arc<Candidate>) -> Result<(), Refusal> {
        if self.places.contains_key(&candidate.hash) {
            return Ok(());
        }
        let originator = candidate.transaction.originator;
        self.check_bounds(&originator, candidate.size)?;
        let place = self.arrivals;
        self.arrivals += 1;
        let load = self.loads.entry(originator).or_default();
        load.transactions += 1;
        load.bytes += candidate.size;
        self.bytes += candidate.size;
        self.places.insert(candidate.hash, place);
        for id in &candidate.operations {
            self.operations.entry(*id).or_default().push(candidate.hash);
        }
        self.queue.insert(place, candidate);
        Ok(())
    }

    fn check_bounds(&self, originator: &PublicKey, size: usize) -> Result<(), Refusal> {
        let Bounds {
            transactions,
            bytes,
            share,
        } = self.bounds;
        if self.queue.len() >= transactions || self.bytes + size > bytes {
            return Err(Refusal::MempoolFull {
                waiting: self.queue.len(),
            });
        }
        let none = Load::default();
        let load = self.loads.get(originator).unwrap_or(&none);
        if load.transactions >= transactions * share / 100
            || load.bytes + size > bytes * share / 100
        {
            return Err(Refusal::OriginatorFull {
                waiting: load.transactions,
            });
        }
        Ok(())
    }

    /// Takes a transaction out.
    pub fn remove(&mut self, hash: &TransactionHash) -> Option<Arc<Candidate>> {
        let place = self.places.remove(hash)?;
        let candidate = self.queue.remove(&place)?;
        self.bytes -= candidate.size;
        if let Some(load) = self.loads.get_mut(&candidate.transaction.originator) {
            load.transactions -= 1;
            load.bytes -= candidate.size;
            if load.transactions == 0 {
                self.loads.remove(&candidate.transaction.originator);
            }
        }
        for id in &candidate.operations {
            if let Some(hashes) = self.operations.get_mut(id) {
                hashes.retain(|other| other != hash);
                if hashes.is_empty() {
                    self.operations.remove(id);
                }
            }
        }
        Some(candidate)
    }

    /// Takes out the transactions that have grown too old for any block from `now` on.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Arc<Candidate>> {
        self.take_out(|transaction| {
            let mut times = transaction
                .operations
                .iter()
                .map(|operation| operation.time);
            times.any(|time| time.plus_ms(MAX_OPERATION_AGE_MS) < now)
        })
    }

    /// Takes out the transactions that are not wanted any more.
    pub fn take_out(&mut self, unwanted: impl Fn(&Transaction) -> bool) -> Vec<Arc<Candidate>> {
        let waiting = self.queue.values();
        let unwanted = waiting.filter(|candidate| unwanted(&candidate.transaction));
        let hashes: Vec<_> = unwanted.map(|candidate| candidate.hash).collect();
        hashes.iter().filter_map(|hash| self.remove(hash)).collect()
    }

    /// The oldest transactions that were brought here, at most `most`.
    pub fn oldest_brought(&self, most: usize) -> Vec<Arc<Candidate>> {
        let brought = self.queue.values().filter(|candidate| candidate.brought);
        brought.take(most).cloned().collect()
    }

    /// The oldest transactions that fit a block and are not in `excluded`, in order of arrival.
    pub fn select(&self, excluded: &HashSet<TransactionHash>, most: usize) -> Vec<Arc<Candidate>> {
        let mut selected = Vec::new();
        let mut bytes = 0;
        for candidate in self.queue.values() {
            if selected.len() == most || bytes + candidate.size > MAX_BLOCK_BYTES {
                break;
            }
            if !excluded.contains(&candidate.hash) {
                bytes += candidate.size;
                selected.push(candidate.clone());
            }
        }
        selected
    }
}
