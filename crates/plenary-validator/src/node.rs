//! The node: one validator's parts, and what the ordering engine asks of them.
//!
//! The engine calls in from its own threads ([`Application`]); HTTP handlers call in from theirs.
//! Both meet at three locks, the chain's ([`Worker`]), the mempool's and the waiters', of which none
//! is taken while another is held.

use crate::{
    chain::{Chain, ChainError},
    direct::Originator,
    error::Refusal,
    evidence::EvidenceLog,
    finality::{Finality, Landed},
    flush::Flusher,
    guard::{Guard, HANDLER_LIMIT},
    intake::Intake,
    mempool::{Bounds, Candidate, Mempool},
    metrics::Metrics,
    suspension::Suspensions,
    turns::Turns,
    worker::{GivenUp, Worker},
};
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_consensus::{Acknowledgement, Application, Demand, Proposal};
use plenary_service::Executor;
use plenary_store::Store;
use plenary_types::{
    Block, BlockHash, Certificate, Genesis, OperationId, Outcome, PrivateKey, PublicKey, Timestamp,
    Transaction, TransactionHash, encode, evidence::Evidence, limits::MAX_BLOCK_TRANSACTIONS,
};
use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};
use tokio::sync::{Notify, watch};

mod admission;

/// How many waiting transactions are broadcast again at a time.
const REBROADCAST: usize = 100;
/// How many handlers run at a time on behalf of HTTP clients, for each of the machine's cores. They
/// compute, and each has a thread: more of them bring nothing but memory.
const HANDLERS_PER_CORE: usize = 4;

/// Sends a message to the other validators' nodes.
pub type Broadcast = Box<dyn Fn(Bytes) + Send + Sync>;

/// What a node is made of.
pub struct Parts {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This validator's key.
    pub key: PrivateKey,
    /// The executor of the service.
    pub executor: Arc<Executor>,
    /// State and ledger.
    pub store: Arc<Store>,
    /// Where evidence is kept.
    pub evidence: EvidenceLog,
    /// How final blocks become durable.
    pub flusher: Flusher,
    /// The engine's start signal.
    pub demand: Demand,
    /// How long the execution of one block may take.
    pub block_limit: Duration,
    /// The node's clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// One validator.
pub struct Node {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This validator's key.
    pub key: PrivateKey,
    /// The executor of the service.
    pub executor: Arc<Executor>,
    /// State and ledger.
    pub store: Arc<Store>,
    /// Proof of others' misbehaviour.
    pub evidence: EvidenceLog,
    /// Who waits for which transaction.
    pub finality: Finality,
    /// What is counted.
    pub metrics: Metrics,
    /// Where handlers run that were asked for over HTTP.
    pub guard: Guard,
    /// Who is next at a contended key.
    pub turns: Turns,
    /// What other validators pass on.
    pub intake: Intake,
    worker: Worker,
    /// Routes whose operations are let into no block.
    suspensions: Suspensions,
    mempool: Mutex<Mempool>,
    flusher: Flusher,
    demand: Demand,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    broadcast: OnceLock<Broadcast>,
    failure: watch::Sender<Option<String>>,
    /// Wakes who waits for the mempool to have something.
    work: Notify,
}

impl Node {
    /// Puts a node together on what its store holds, replaying what the ledger has beyond the
    /// state.
    ///
    /// # Errors
    ///
    /// Where the ledger does not re-execute, or the state cannot be read.
    pub fn new(parts: Parts) -> Result<Self, ChainError> {
        let Parts {
            genesis,
            key,
            executor,
            store,
            evidence,
            flusher,
            demand,
            block_limit,
            clock,
        } = parts;
        let (network, runs, on) = (genesis.clone(), executor.clone(), store.clone());
        let open = move || Chain::open(network.clone(), runs.clone(), on.clone());
        let worker = Worker::new(block_limit, Box::new(open))?;
        let tip = store.tip().height;
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Self {
            finality: Finality::new(tip),
            metrics: Metrics::default(),
            guard: Guard::new(HANDLERS_PER_CORE * cores, HANDLER_LIMIT),
            intake: Intake::default(),
            turns: Turns::default(),
            worker,
            suspensions: Suspensions::default(),
            mempool: Mutex::new(Mempool::new(Bounds::default())),
            broadcast: OnceLock::new(),
            failure: watch::Sender::new(None),
            work: Notify::new(),
            genesis,
            key,
            executor,
            store,
            evidence,
            flusher,
            demand,
            clock,
        })
    }

    /// Connects the node to the other validators. Only the first call counts.
    pub fn connect(&self, broadcast: Broadcast) {
        let _ = self.broadcast.set(broadcast);
    }

    /// The node's clock.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// How many transactions wait for a block.
    pub fn pending(&self) -> usize {
        self.mempool.lock().len()
    }

    /// The waiting transaction that has this operation.
    pub fn pending_operation(&self, id: &OperationId) -> Option<Arc<Candidate>> {
        self.mempool.lock().with_operation(id).into_iter().next()
    }

    /// The waiting transaction with this hash.
    pub fn pending_transaction(&self, hash: &TransactionHash) -> Option<Arc<Candidate>> {
        self.mempool.lock().get(hash).cloned()
    }

    /// Why the node had to stop, once it had to.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Stops the node for good: it can no longer follow its network.
    pub(crate) fn fail(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::error!(%reason, "the validator stops");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(reason);
            first
        });
    }

    /// What the chain's worker gives for `blocks`; nothing where it was given up, and the route
    /// that it hung on is suspended.
    fn in_time<T>(&self, worked: Result<T, GivenUp>, blocks: &[Arc<Block>]) -> Option<T> {
        let given_up = match worked {
            Ok(result) => return Some(result),
            Err(given_up) => given_up,
        };
        self.guard.abandon();
        tracing::error!(
            ?given_up,
            "a block was given up: a handler does not come back"
        );
        if let Some(at) = given_up.at {
            self.suspend(at, blocks);
        }
        None
    }

    /// Drops transactions that no block may take any more, and tells who waits for them.
    fn drop_waiting(&self, take_out: impl FnOnce(&mut Mempool) -> Vec<Arc<Candidate>>) {
        let dropped = {
            let mut mempool = self.mempool.lock();
            let dropped = take_out(&mut mempool);
            if mempool.is_empty() {
                self.demand.lower();
            }
            dropped
        };
        for candidate in dropped {
            self.finality.supersede(&candidate.hash);
        }
    }

    /// Waits until something waits for a block.
    pub async fn until_work(&self) {
        while self.pending() == 0 {
            self.work.notified().await;
        }
    }

    /// Broadcasts again what was brought to this node and no block has taken yet: the first time it
    /// may have been lost, or the others may have been down.
    pub fn rebroadcast(&self) {
        let waiting = self.mempool.lock().oldest_brought(REBROADCAST);
        if let Some(broadcast) = self.broadcast.get() {
            for candidate in waiting {
                broadcast(encode(&candidate.transaction));
            }
        }
    }

    /// Makes what is final durable and stops the node's own threads.
    pub fn stop(&self) {
        self.intake.stop();
        self.flusher.stop();
    }

    /// Takes out of the mempool what a final block settled, and tells who waits.
    fn settle(&self, block: &Block) {
        let height = block.header.height;
        let hashes = block.transactions.iter().map(Transaction::hash);
        let hashes: Vec<TransactionHash> = hashes.collect();
        self.drop_waiting(|mempool| {
            let mut superseded = Vec::new();
            for (index, hash) in hashes.iter().enumerate() {
                mempool.remove(hash);
                if block.outcomes.get(index) != Some(&Outcome::Committed) {
                    continue;
                }
                for id in block.transactions[index].operation_ids() {
                    for other in mempool.with_operation(&id) {
                        superseded.extend(mempool.remove(&other.hash));
                    }
                }
            }
            superseded
        });
        // Whoever is told then finds it in the metrics.
        self.metrics.count(block);
        for ((hash, outcome), index) in hashes.into_iter().zip(&block.outcomes).zip(0..) {
            let outcome = outcome.clone();
            self.finality.land(
                hash,
                Landed {
                    height,
                    index,
                    outcome,
                },
            );
        }
        self.finality.advance(height);
    }
}

impl Originator for Node {
    fn key(&self) -> &PrivateKey {
        &self.key
    }

    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn executor(&self) -> &Executor {
        &self.executor
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn finality(&self) -> &Finality {
        &self.finality
    }

    fn guard(&self) -> &Guard {
        &self.guard
    }

    fn turns(&self) -> &Turns {
        &self.turns
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn waiting(&self, id: &OperationId) -> Option<Transaction> {
        let waiting = self.mempool.lock().with_operation(id).into_iter().next();
        waiting.map(|candidate| candidate.transaction.clone())
    }

    fn submit(&self, transaction: Transaction) -> Result<(), Refusal> {
        self.submit_validated(Candidate::new(transaction)).map(drop)
    }
}

impl Application for Node {
    fn height(&self) -> u64 {
        self.store.tip().height
    }

    fn propose(&self, proposal: &Proposal, ancestors: &[Arc<Block>]) -> Option<Block> {
        self.drop_waiting(|mempool| mempool.expire(proposal.now));
        let known = ancestors.to_vec();
        let excluded = self.worker.finish(|chain| chain.included(&known));
        let candidates = self
            .mempool
            .lock()
            .select(&excluded, MAX_BLOCK_TRANSACTIONS);
        let asked = proposal.clone();
        let built = self
            .worker
            .run(move |chain| chain.build(&asked, &known, &candidates));
        match self.in_time(built, ancestors)? {
            Ok(block) => block,
            Err(error) => {
                tracing::warn!(%error, "no block can be built here");
                None
            }
        }
    }

    fn verify(&self, block: &Arc<Block>, ancestors: &[Arc<Block>], now: Timestamp) -> bool {
        if !self.validate_body(block) {
            return false;
        }
        let (checked, known) = (block.clone(), ancestors.to_vec());
        let verdict = self
            .worker
            .run(move |chain| chain.check(&checked, &known, now));
        let blocks = [ancestors, std::slice::from_ref(block)].concat();
        match self.in_time(verdict, &blocks) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.metrics.refused_proposals.inc();
                tracing::warn!(proposer = %block.header.proposer, %error, "a proposal gets no vote");
                false
            }
            None => false,
        }
    }

    fn finalize(
        &self,
        block: Arc<Block>,
        certificate: Option<Certificate>,
        acknowledgement: Acknowledgement,
    ) {
        let finalized = self
            .worker
            .finish(|chain| chain.finalize(&block, certificate));
        match finalized {
            Ok(new) => {
                if new {
                    self.settle(&block);
                }
                self.flusher.durable(block.header.height, acknowledgement);
            }
            Err(error) => self.fail(error),
        }
    }

    fn evidence(&self, evidence: Evidence) {
        self.metrics.evidence.inc();
        if let Err(error) = self.evidence.add(evidence) {
            tracing::error!(%error, "evidence could not be kept");
        }
    }

    fn receive(&self, _from: PublicKey, message: Bytes) {
        if let Err(message) = self.intake.push(message) {
            self.receive_all([message]);
        }
    }

    fn block(&self, height: u64) -> Option<(Arc<Block>, Option<Certificate>)> {
        match self.store.entry(height) {
            Ok(entry) => entry.map(|entry| (entry.block, entry.certificate)),
            Err(error) => {
                tracing::error!(%error, height, "the ledger cannot be read");
                None
            }
        }
    }

    fn height_of(&self, hash: &BlockHash) -> Option<u64> {
        self.store.height_of(hash).ok().flatten()
    }
}
