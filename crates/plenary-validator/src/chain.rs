//! The chain: building blocks, checking those of others, and making them final.
//!
//! The core of a validator, without network, clock or task of its own. It keeps what each block
//! that is not yet final would change (an [`Executed`]), so that a child can be built and checked
//! on a parent that may still lose; a block that loses its round leaves nothing behind but an
//! entry here, dropped when its height is final.
//!
//! ProcessProposal (Algorithm 1 of the paper) is [`Chain::check`]: re-execute every operation on
//! the parent's state, and compare every outcome and the state root before the vote.

pub use crate::bad_block::{BadBlock, ChainError};
use crate::{mempool::Candidate, repeats::Repeats};
use parking_lot::Mutex;
use plenary_consensus::Proposal;
use plenary_service::{Executor, Layered, StateView};
use plenary_store::{Prepared, Store};
use plenary_types::{
    Block, BlockHash, Certificate, Changes, Genesis, Header, OperationId, Outcome, Timestamp,
    Transaction, TransactionHash, Version,
    block::{outcomes_root, transactions_root},
    limits::{MAX_BLOCK_BYTES, MAX_BLOCK_STEPS, MAX_CLOCK_DRIFT_MS, MAX_OPERATION_AGE_MS},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// How many blocks of a ledger are executed again between two writes of the state.
const REPLAYED: usize = 64;

/// A block that was executed on its parents, and what it would change.
pub struct Executed {
    /// The block.
    pub block: Arc<Block>,
    prepared: Arc<Prepared>,
    pub(crate) transactions: HashSet<TransactionHash>,
    pub(crate) committed: HashSet<OperationId>,
}

/// What comes of executing transactions in order.
struct Execution {
    outcomes: Vec<Outcome>,
    prepared: Arc<Prepared>,
    committed: HashSet<OperationId>,
}

/// The finalized chain, in the store, and what is executed above it.
pub struct Chain {
    genesis: Arc<Genesis>,
    executor: Arc<Executor>,
    store: Arc<Store>,
    /// The last final block's height and time.
    tip: Tip,
    unfinalized: HashMap<BlockHash, Arc<Executed>>,
    running: Running,
}

/// An operation that a chain executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Its transaction.
    pub transaction: TransactionHash,
    /// Its index there.
    pub step: usize,
}

/// The operation that a chain is executing, to be looked at while it does.
pub type Running = Arc<Mutex<Option<At>>>;

#[derive(Clone, Copy)]
struct Tip {
    height: u64,
    time: Timestamp,
}

impl From<&Header> for Tip {
    fn from(header: &Header) -> Self {
        Self {
            height: header.height,
            time: header.time,
        }
    }
}

impl Chain {
    /// The chain that `store` holds, with what its ledger has beyond its state executed again:
    /// what a crash between the two leaves.
    ///
    /// # Errors
    ///
    /// Where the ledger does not re-execute, or the files cannot be read.
    pub fn open(
        genesis: Arc<Genesis>,
        executor: Arc<Executor>,
        store: Arc<Store>,
    ) -> Result<Self, ChainError> {
        let tip = store.block(store.tip().height)?;
        let tip = tip.unwrap_or_else(|| store.genesis_block().clone());
        let mut chain = Self {
            genesis,
            executor,
            tip: Tip::from(&tip.header),
            store: store.clone(),
            unfinalized: HashMap::new(),
            running: Running::default(),
        };
        for entry in store.replay() {
            let entry = entry?;
            chain.finalize(&entry.block, entry.certificate)?;
            if store.unflushed() >= REPLAYED {
                store.flush()?;
            }
        }
        Ok(chain)
    }

    /// Builds a block of `candidates` on the last of `ancestors`, or on the finalized tip where
    /// there are none, leaving out those that are on that chain already or too old. `None` where
    /// nothing is left, unless the engine requires a block, which is empty then.
    ///
    /// # Errors
    ///
    /// Where an ancestor is bad or the state cannot be read.
    pub fn build(
        &mut self,
        proposal: &Proposal,
        ancestors: &[Arc<Block>],
        candidates: &[Arc<Candidate>],
    ) -> Result<Option<Block>, ChainError> {
        let parents = self.extend(ancestors)?;
        let parent = self.tip_of(&parents);
        let time = Timestamp(proposal.now.0.max(parent.time.0));
        let mut repeats = Repeats::new(&self.store, &parents);
        let mut transactions = Vec::with_capacity(candidates.len());
        let mut hashes = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let transaction = &candidate.transaction;
            if in_time(transaction, time) && repeats.admit(candidate.hash, transaction)? {
                transactions.push(transaction.clone());
                hashes.push(candidate.hash);
            }
        }
        if transactions.is_empty() && !proposal.required {
            return Ok(None);
        }
        let execution = self.execute(&parents, proposal.height, &transactions, &hashes)?;
        transactions.truncate(execution.outcomes.len());
        hashes.truncate(execution.outcomes.len());
        let header = Header {
            genesis: self.genesis.hash(),
            height: proposal.height,
            round: proposal.round,
            parent: proposal.parent,
            proposer: proposal.proposer,
            time,
            count: transactions.len() as u32,
            transactions: transactions_root(&transactions),
            outcomes: outcomes_root(&transactions, &execution.outcomes),
            state: execution.prepared.root,
        };
        let block = Block {
            header,
            transactions,
            outcomes: execution.outcomes,
        };
        self.remember(
            Arc::new(block.clone()),
            hashes,
            execution.prepared,
            execution.committed,
        );
        Ok(Some(block))
    }

    /// Checks a block on its ancestors, all above the finalized tip, oldest first. The caller has
    /// validated those of its transactions that `validated` does not name; the rest is checked
    /// here. What was executed is kept for children and for [`finalize`](Self::finalize).
    ///
    /// # Errors
    ///
    /// Why the block gets no vote.
    pub fn check(
        &mut self,
        block: &Arc<Block>,
        ancestors: &[Arc<Block>],
        now: Timestamp,
    ) -> Result<(), ChainError> {
        let parents = self.extend(ancestors)?;
        if self.unfinalized.contains_key(&block.hash()) {
            return Ok(());
        }
        let parent = self.tip_of(&parents).time;
        if block.header.time < parent || block.header.time > now.plus_ms(MAX_CLOCK_DRIFT_MS) {
            let found = block.header.time;
            return Err(bad(block, BadBlock::Time { parent, found, now }));
        }
        self.replay(block, &parents).map(drop)
    }

    /// Makes a block final: applies it to the store. Blocks come in height order; one that is
    /// final already changes nothing. Says whether it was new.
    ///
    /// # Errors
    ///
    /// Where re-execution does not give what a quorum signed, or the state cannot be written:
    /// either way this node must stop, for it can no longer follow.
    pub fn finalize(
        &mut self,
        block: &Arc<Block>,
        certificate: Option<Certificate>,
    ) -> Result<bool, ChainError> {
        let tip = self.tip.height;
        if block.header.height <= tip {
            return Ok(false);
        }
        if block.header.height != tip + 1 {
            return Err(bad(block, BadBlock::Ancestor(tip + 1)));
        }
        let executed = match self.unfinalized.get(&block.hash()) {
            Some(executed) => executed.clone(),
            None => self.replay(block, &[])?,
        };
        self.store.apply(
            executed.block.clone(),
            certificate,
            executed.prepared.clone(),
        )?;
        self.tip = Tip::from(&block.header);
        self.unfinalized
            .retain(|_, other| other.block.header.height > block.header.height);
        Ok(true)
    }

    /// The operation that is being executed, for whoever gives the chain up.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// The transactions of blocks that are executed but not final, from the given one down.
    pub fn included(&self, ancestors: &[Arc<Block>]) -> HashSet<TransactionHash> {
        let executed = ancestors
            .iter()
            .filter_map(|block| self.unfinalized.get(&block.hash()));
        executed
            .flat_map(|executed| executed.transactions.iter().copied())
            .collect()
    }

    /// Executes those ancestors above the finalized tip that are not yet, and returns all of them.
    fn extend(&mut self, ancestors: &[Arc<Block>]) -> Result<Vec<Arc<Executed>>, ChainError> {
        let tip = self.tip.height;
        let mut parents: Vec<Arc<Executed>> = Vec::with_capacity(ancestors.len());
        for block in ancestors.iter().filter(|block| block.header.height > tip) {
            if block.header.height != tip + 1 + parents.len() as u64 {
                return Err(bad(
                    block,
                    BadBlock::Ancestor(tip + 1 + parents.len() as u64),
                ));
            }
            let executed = match self.unfinalized.get(&block.hash()) {
                Some(executed) => executed.clone(),
                None => self.replay(block, &parents)?,
            };
            parents.push(executed);
        }
        Ok(parents)
    }

    fn tip_of(&self, parents: &[Arc<Executed>]) -> Tip {
        parents
            .last()
            .map_or(self.tip, |parent| Tip::from(&parent.block.header))
    }

    /// Everything about a block that does not depend on a clock: the same for a vote, for
    /// catching up and for the audit.
    fn replay(
        &mut self,
        block: &Arc<Block>,
        parents: &[Arc<Executed>],
    ) -> Result<Arc<Executed>, ChainError> {
        let header = &block.header;
        let parent = self.tip_of(parents);
        if header.height != parent.height + 1 {
            let found = header.height;
            return Err(bad(
                block,
                BadBlock::Height {
                    parent: parent.height,
                    found,
                },
            ));
        }
        let size = block.transactions.iter().map(Transaction::size).sum();
        if size > MAX_BLOCK_BYTES {
            return Err(bad(block, BadBlock::TooLarge(size)));
        }
        let mut repeats = Repeats::new(&self.store, parents);
        let hashes: Vec<_> = block.transactions.iter().map(Transaction::hash).collect();
        for (index, (transaction, hash)) in block.transactions.iter().zip(&hashes).enumerate() {
            if !in_time(transaction, header.time) {
                return Err(bad(block, BadBlock::OperationTime { index }));
            }
            if !repeats.admit(*hash, transaction)? {
                return Err(bad(block, BadBlock::Replayed { index }));
            }
        }
        let execution = self.execute(parents, header.height, &block.transactions, &hashes)?;
        let executed = execution.outcomes.len();
        if executed < block.transactions.len() {
            return Err(bad(block, BadBlock::TooMuchWork { executed }));
        }
        if let Some(reason) = disagreement(block, &execution) {
            return Err(bad(block, reason));
        }
        let (prepared, committed) = (execution.prepared, execution.committed);
        Ok(self.remember(block.clone(), hashes, prepared, committed))
    }

    /// Executes transactions in order, as many as fit the budget of one block: none is begun once
    /// it is spent. `hashes` are theirs.
    fn execute(
        &self,
        parents: &[Arc<Executed>],
        height: u64,
        transactions: &[Transaction],
        hashes: &[TransactionHash],
    ) -> Result<Execution, ChainError> {
        let base = self.store.state().view(self.tip.height)?;
        let below: Vec<Arc<Changes>> = parents
            .iter()
            .rev()
            .map(|parent| parent.prepared.changes.clone())
            .collect();
        let mut merged: Arc<Changes> = Arc::default();
        let mut outcomes = Vec::with_capacity(transactions.len());
        let mut committed = HashSet::new();
        let mut steps: u64 = 0;
        for (index, (transaction, hash)) in transactions.iter().zip(hashes).enumerate() {
            if steps >= MAX_BLOCK_STEPS {
                break;
            }
            let mut layers = Vec::with_capacity(below.len() + 1);
            layers.push(merged.clone());
            layers.extend(below.iter().cloned());
            let view: Arc<dyn StateView> = Arc::new(Layered::new(layers, base.clone()));
            let version = Version {
                height,
                index: index as u32,
            };
            let begins = |step| {
                let transaction = *hash;
                *self.running.lock() = Some(At { transaction, step });
            };
            let ratified = self
                .executor
                .ratify_watched(view, transaction, version, begins);
            // Whoever gives the chain up later must not blame an operation that came back.
            *self.running.lock() = None;
            let ratified = ratified?;
            if ratified.outcome == Outcome::Committed {
                Arc::make_mut(&mut merged).extend(ratified.changes);
                committed.extend(transaction.operation_ids());
            }
            steps = steps.saturating_add(ratified.steps);
            outcomes.push(ratified.outcome);
        }
        let prepared: Vec<Arc<Prepared>> = parents
            .iter()
            .map(|parent| parent.prepared.clone())
            .collect();
        let merged = Arc::unwrap_or_clone(merged);
        let prepared = Arc::new(self.store.state().prepare(&prepared, height, merged)?);
        Ok(Execution {
            outcomes,
            prepared,
            committed,
        })
    }

    fn remember(
        &mut self,
        block: Arc<Block>,
        hashes: Vec<TransactionHash>,
        prepared: Arc<Prepared>,
        committed: HashSet<OperationId>,
    ) -> Arc<Executed> {
        let executed = Arc::new(Executed {
            transactions: hashes.into_iter().collect(),
            prepared,
            committed,
            block: block.clone(),
        });
        self.unfinalized.insert(block.hash(), executed.clone());
        executed
    }
}

fn bad(block: &Block, reason: BadBlock) -> ChainError {
    ChainError::Bad {
        height: block.header.height,
        hash: block.hash(),
        reason: Box::new(reason),
    }
}

fn disagreement(block: &Block, execution: &Execution) -> Option<BadBlock> {
    let pairs = block.outcomes.iter().zip(&execution.outcomes);
    for (index, (claimed, computed)) in pairs.enumerate() {
        if claimed != computed {
            let request = block.transactions[index]
                .operations
                .first()
                .map(|first| &first.request);
            return Some(BadBlock::Outcome {
                index,
                route: request.map_or_else(String::new, |r| format!("{} {}", r.method, r.target)),
                claimed: claimed.clone(),
                computed: computed.clone(),
            });
        }
    }
    let computed = execution.prepared.root;
    let claimed = block.header.state;
    (claimed != computed).then_some(BadBlock::StateRoot { claimed, computed })
}

/// Whether every operation's time fits a block of that time.
fn in_time(transaction: &Transaction, block: Timestamp) -> bool {
    transaction.operations.iter().all(|operation| {
        operation.time <= block.plus_ms(MAX_CLOCK_DRIFT_MS)
            && operation.time.plus_ms(MAX_OPERATION_AGE_MS) >= block
    })
}
