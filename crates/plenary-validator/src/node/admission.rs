//! Admission: what a node lets into its mempool, and what it votes for, before anything is executed.

use super::Node;
use crate::{chain::At, error::Refusal, lookup::transaction_at, mempool::Candidate};
use bytes::Bytes;
use plenary_types::{
    Block, Transaction, TransactionHash, encode,
    limits::{MAX_CLOCK_DRIFT_MS, MAX_OPERATION_AGE_MS},
};
use std::sync::Arc;

impl Node {
    /// Takes a transaction from a client or a session node: validates it, queues it and tells
    /// the other validators.
    ///
    /// # Errors
    ///
    /// Why it is not taken.
    pub fn submit(&self, transaction: Transaction) -> Result<TransactionHash, Refusal> {
        transaction.validate(&self.genesis)?;
        self.submit_validated(Candidate::new(transaction))
    }

    /// Takes a transaction that is known to be valid, for this node made it.
    ///
    /// # Errors
    ///
    /// Why it is not taken.
    pub fn submit_validated(&self, mut candidate: Candidate) -> Result<TransactionHash, Refusal> {
        candidate.brought = true;
        let encoded = encode(&candidate.transaction);
        let hash = self.queue(candidate)?;
        if let Some(broadcast) = self.broadcast.get() {
            broadcast(encoded);
        }
        Ok(hash)
    }

    fn queue(&self, candidate: Candidate) -> Result<TransactionHash, Refusal> {
        self.check(&candidate)?;
        let hash = candidate.hash;
        let mut mempool = self.mempool.lock();
        mempool.insert(Arc::new(candidate))?;
        self.work.notify_one();
        // Under the lock, so that it cannot come after a lowering for an emptied mempool.
        self.demand.raise();
        Ok(hash)
    }

    /// Checks that a block could still take a valid transaction.
    ///
    /// # Errors
    ///
    /// Why none will: its times, a route that hangs, or it, or an operation of it, is in a block
    /// already.
    pub(crate) fn check(&self, candidate: &Candidate) -> Result<(), Refusal> {
        self.check_age(candidate)?;
        self.check_routes(&candidate.transaction)?;
        if let Some(location) = self.store.transaction(&candidate.hash)? {
            return Err(Refusal::Replayed {
                transaction: candidate.hash,
                height: location.height,
            });
        }
        for id in &candidate.operations {
            if let Some(location) = self.store.operation(id)? {
                return Err(Refusal::Replayed {
                    transaction: transaction_at(&self.store, location)?.0.hash(),
                    height: location.height,
                });
            }
        }
        Ok(())
    }

    fn check_age(&self, candidate: &Candidate) -> Result<(), Refusal> {
        let now = self.now();
        let operations = candidate.transaction.operations.iter().enumerate();
        for (step, operation) in operations {
            let time = operation.time;
            if time > now.plus_ms(MAX_CLOCK_DRIFT_MS) || time.plus_ms(MAX_OPERATION_AGE_MS) < now {
                return Err(Refusal::Clock {
                    step,
                    time: time.0,
                    now: now.0,
                });
            }
        }
        Ok(())
    }

    /// Queues transactions that other validators passed on, checking all their signatures in one
    /// batch. What does not hold is dropped: whoever made it hears of it from the validator it
    /// asked.
    pub fn receive_all(&self, messages: impl IntoIterator<Item = Bytes>) {
        let mut transactions = Vec::new();
        for message in messages {
            match plenary_types::decode::<Transaction>(message) {
                Ok(transaction) => transactions.push(transaction),
                Err(error) => {
                    self.metrics.garbage.inc();
                    tracing::debug!(%error, "a peer sent what is no transaction");
                }
            }
        }
        {
            let mempool = self.mempool.lock();
            transactions.retain(|transaction| mempool.get(&transaction.hash()).is_none());
        }
        let verdicts = Transaction::validate_all(&transactions, &self.genesis);
        for (transaction, verdict) in transactions.into_iter().zip(verdicts) {
            let queued = verdict
                .map_err(Refusal::from)
                .and_then(|()| self.queue(Candidate::new(transaction)));
            if let Err(refusal) = queued {
                tracing::debug!(%refusal, "a transaction from a peer is not taken");
            }
        }
    }

    /// Whether all of a block's transactions are valid, checking only those that this node has
    /// not seen.
    pub(super) fn validate_body(&self, block: &Block) -> bool {
        let mut transactions = block.transactions.iter();
        if let Some(refusal) = transactions.find_map(|it| self.check_routes(it).err()) {
            tracing::warn!(height = block.header.height, %refusal, "a proposal gets no vote");
            return false;
        }
        let unknown: Vec<Transaction> = {
            let mempool = self.mempool.lock();
            let unknown = |transaction: &&Transaction| mempool.get(&transaction.hash()).is_none();
            block.transactions.iter().filter(unknown).cloned().collect()
        };
        Transaction::validate_all(&unknown, &self.genesis)
            .iter()
            .all(|verdict| match verdict {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(height = block.header.height, %error, "a proposal has an invalid transaction");
                    false
                }
            })
    }

    /// Suspends the route of an operation in one of `blocks` or in the mempool, and drops what
    /// waits for it.
    pub(super) fn suspend(&self, At { transaction, step }: At, blocks: &[Arc<Block>]) {
        let waiting = self.pending_transaction(&transaction);
        let waiting = waiting.iter().map(|candidate| &candidate.transaction);
        let mut known = blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .chain(waiting);
        let found = known.find(|known| known.hash() == transaction);
        let operation = found.and_then(|found| found.operations.get(step));
        if let Some(operation) = operation
            && let Ok(route) = self.executor.route(&operation.request)
        {
            self.suspensions.suspend(route, self.now());
            self.drop_waiting(|mempool| {
                mempool.take_out(|transaction| self.check_routes(transaction).is_err())
            });
        }
    }

    /// Refuses a transaction with an operation whose route is suspended.
    pub(super) fn check_routes(&self, transaction: &Transaction) -> Result<(), Refusal> {
        if self.suspensions.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let routes = transaction.operations.iter();
        let mut routes = routes.flat_map(|operation| self.executor.route(&operation.request));
        routes.try_for_each(|route| self.suspensions.check(route, now))
    }
}
