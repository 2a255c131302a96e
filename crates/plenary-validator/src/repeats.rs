//! What must not come again on a chain: transactions, and the operations of committed ones. An
//! operation whose transaction ended in conflict or was rejected may come again in another.

use crate::chain::Executed;
use plenary_store::{Store, StoreError};
use plenary_types::{OperationId, Transaction, TransactionHash};
use std::{collections::HashSet, sync::Arc};

/// The transactions and operations of a chain that ends in a block being built or checked.
pub(crate) struct Repeats<'a> {
    store: &'a Store,
    parents: &'a [Arc<Executed>],
    transactions: HashSet<TransactionHash>,
    operations: HashSet<OperationId>,
}

impl<'a> Repeats<'a> {
    pub(crate) fn new(store: &'a Store, parents: &'a [Arc<Executed>]) -> Self {
        Self {
            store,
            parents,
            transactions: HashSet::new(),
            operations: HashSet::new(),
        }
    }

    /// Whether the transaction, of this hash, repeats nothing so far; from then on, it counts itself. Within a
    /// block an operation comes at most once, whatever the outcome, so that this needs no
    /// execution.
    pub(crate) fn admit(
        &mut self,
        hash: TransactionHash,
        transaction: &Transaction,
    ) -> Result<bool, StoreError> {
        let known = self
            .parents
            .iter()
            .any(|parent| parent.transactions.contains(&hash))
            || !self.transactions.insert(hash)
            || self.store.transaction(&hash)?.is_some();
        if known {
            return Ok(false);
        }
        let ids: Vec<OperationId> = transaction.operation_ids().collect();
        for id in &ids {
            let repeated = self.operations.contains(id)
                || self
                    .parents
                    .iter()
                    .any(|parent| parent.committed.contains(id))
                || self.store.operation(id)?.is_some();
            if repeated {
                return Ok(false);
            }
        }
        self.operations.extend(ids);
        Ok(true)
    }
}
