//! Transactions on their way to layer 1, until a final block has them.

use crate::follow::submit::Refused;
use parking_lot::Mutex;
use plenary_types::{
    Block, OperationId, Outcome, PublicKey, Timestamp, Transaction, TransactionHash,
};
use std::collections::{BTreeMap, HashMap};

/// A transaction that is not final yet.
#[derive(Debug, Clone)]
struct Submission {
    transaction: Transaction,
    sent: Timestamp,
    attempts: usize,
    /// Which validators refuse it for good, and the code that they say why with.
    refusals: BTreeMap<PublicKey, String>,
}

/// What a node has submitted.
#[derive(Default)]
pub struct Submissions(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    transactions: BTreeMap<TransactionHash, Submission>,
    /// Which of them has an operation.
    operations: HashMap<OperationId, TransactionHash>,
}

impl Waiting {
    fn remove(&mut self, hash: &TransactionHash) -> Option<Transaction> {
        let submission = self.transactions.remove(hash)?;
        for id in submission.transaction.operation_ids() {
            if self.operations.get(&id) == Some(hash) {
                self.operations.remove(&id);
            }
        }
        Some(submission.transaction)
    }
}

impl Submissions {
    /// Notes that a transaction is sent for the first time.
    pub fn add(&self, transaction: Transaction, now: Timestamp) {
        let hash = transaction.hash();
        let mut waiting = self.0.lock();
        let ids = transaction.operation_ids();
        waiting.operations.extend(ids.map(|id| (id, hash)));
        let submission = Submission {
            sent: now,
            attempts: 1,
            refusals: BTreeMap::new(),
            transaction,
        };
        waiting.transactions.insert(hash, submission);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().transactions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The transaction with an operation, where it is on its way.
    pub fn with_operation(&self, id: &OperationId) -> Option<Transaction> {
        let waiting = self.0.lock();
        let submission = waiting.transactions.get(waiting.operations.get(id)?)?;
        Some(submission.transaction.clone())
    }

    /// Those that were last sent more than `pause_ms` before `now`, each with how often it was sent
    /// before; noted as sent again.
    pub fn overdue(&self, now: Timestamp, pause_ms: u64) -> Vec<(Transaction, usize)> {
        let mut overdue = Vec::new();
        for submission in self.0.lock().transactions.values_mut() {
            if submission.sent.plus_ms(pause_ms) <= now {
                overdue.push((submission.transaction.clone(), submission.attempts));
                submission.sent = now;
                submission.attempts += 1;
            }
        }
        overdue
    }

    /// Whether this one is among them.
    pub fn contains(&self, hash: &TransactionHash) -> bool {
        self.0.lock().transactions.contains_key(hash)
    }

    /// Notes a validator's refusal, where it is `for_good`. Takes the transaction out, and gives it,
    /// once `enough` of them refuse it with the same code.
    pub fn refused(
        &self,
        refused: &Refused,
        enough: usize,
        for_good: impl FnOnce(&Transaction) -> bool,
    ) -> Option<Transaction> {
        let mut waiting = self.0.lock();
        let submission = waiting.transactions.get_mut(&refused.transaction)?;
        if !for_good(&submission.transaction) {
            return None;
        }
        let (validator, code) = (refused.validator, &refused.problem.code);
        submission.refusals.insert(validator, code.clone());
        let agree = submission.refusals.values().filter(|one| *one == code);
        match agree.count() >= enough {
            true => waiting.remove(&refused.transaction),
            false => None,
        }
    }

    /// Takes out what a final block settles. Gives those that never can be final any more, for it
    /// commits an operation of theirs in another transaction, and which.
    pub fn settle(&self, block: &Block) -> Vec<(Transaction, TransactionHash)> {
        let mut waiting = self.0.lock();
        let mut superseded = Vec::new();
        for (transaction, outcome) in block.transactions.iter().zip(&block.outcomes) {
            if waiting.transactions.is_empty() {
                break;
            }
            waiting.remove(&transaction.hash());
            if *outcome != Outcome::Committed {
                continue;
            }
            for id in transaction.operation_ids() {
                if let Some(other) = waiting.operations.get(&id).copied() {
                    let removed = waiting.remove(&other);
                    superseded.extend(removed.map(|removed| (removed, transaction.hash())));
                }
            }
        }
        superseded
    }
}
