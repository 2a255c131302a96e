//! Requests outside of any session: each is a session of one operation, in direct mode.

use crate::node::Node;
use plenary_service::Executor;
use plenary_store::Store;
use plenary_types::{Genesis, OperationId, PrivateKey, Timestamp, Transaction};
use plenary_validator::{
    direct::Originator, error::Refusal as Layer1Refusal, finality::Finality, guard::Guard,
    turns::Turns,
};

/// How many transactions may be on their way to layer 1.
const MAX_SUBMISSIONS: usize = 20_000;

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
        Node::now(self)
    }

    fn waiting(&self, id: &OperationId) -> Option<Transaction> {
        self.submissions.with_operation(id)
    }

    fn submit(&self, transaction: Transaction) -> Result<(), Layer1Refusal> {
        let waiting = self.submissions.len();
        if waiting >= MAX_SUBMISSIONS {
            return Err(Layer1Refusal::MempoolFull { waiting });
        }
        self.submissions.add(transaction.clone(), self.now());
        self.outside.submit(&transaction, 0);
        Ok(())
    }
}
