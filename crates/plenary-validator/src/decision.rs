//! What layer 1 has decided of a session, as a node's own ledger has it: so validators and session
//! nodes tell the same.
//!
//! A session can have several transactions: one that was in conflict is run again and comes in
//! another. The last of them counts, and one that is committed counts for ever.
//!
//! Nobody but its owner changes what is told of a session. A transaction is of the session that its
//! first operation names, whatever the paths of its requests say, and that name is a digest of the
//! client's key and nonce. Validators take a transaction into a block only if that client has signed
//! every request in it and, in the commitment, the whole chain: what a stranger signs is of another
//! session, or in no block. What the owner has signed, a dishonest node of the genesis can bring once
//! more, with other reads or times; it has to sign for it, can at most get another conflict or a
//! rejection, which name its transaction, and cannot hide a commit: that is looked for first, in an
//! index that other outcomes do not touch, and no later block has an operation of it. A client that
//! does not sign has nothing that layer 1 could know it by: its sessions are those of whoever knows
//! the nonce.

use crate::{direct, error::Refusal, finality::Landed, lookup::transaction_at, winner::winner};
use plenary_store::Store;
use plenary_types::{
    Operation, OperationId, Outcome, Problem, SessionId, Transaction, TransactionHash,
    session::chain_digest,
};
use serde_json::{Value, json};

/// What layer 1 has decided of a session.
#[derive(Debug)]
pub struct Decision {
    /// The session's transaction.
    pub transaction: Transaction,
    /// Where it is, and its outcome.
    pub landed: Landed,
}

impl Decision {
    /// The decision that counts for a session; nothing where no block has a transaction of it.
    ///
    /// # Errors
    ///
    /// Where the ledger cannot be read.
    pub fn of_session(store: &Store, id: SessionId) -> Result<Option<Self>, Refusal> {
        let committed = store.operation(&OperationId(id.0))?;
        for location in [committed, store.uncommitted(&id)?].into_iter().flatten() {
            let (transaction, outcome) = transaction_at(store, location)?;
            // As a later step of another session, the operation was committed for that one.
            if transaction.session() == Some(id) {
                let landed = Landed {
                    height: location.height,
                    index: location.index,
                    outcome,
                };
                return Ok(Some(Self {
                    transaction,
                    landed,
                }));
            }
        }
        Ok(None)
    }

    /// The session as a session node describes it, without what only session nodes know: when it
    /// expires, and where and on which height each step ran.
    pub fn describe(&self, store: &Store) -> Value {
        let Self {
            transaction,
            landed,
        } = self;
        let (hash, first) = (transaction.hash(), transaction.operations.first());
        let finality = match (&landed.outcome, transaction.endorsements.is_empty()) {
            (Outcome::Committed, _) => "final",
            (_, false) => "replicated",
            (_, true) => "simulated",
        };
        let step = |(sequence, operation): (usize, &Operation)| {
            json!({
                "sequence": sequence,
                "operation": operation.id(),
                "method": operation.request.method,
                "target": operation.request.target,
                "status": operation.response.status,
                "finality": finality,
            })
        };
        let operations = transaction.operations.iter().enumerate();
        json!({
            "session": transaction.session(),
            "status": status(&landed.outcome),
            "owner": first.and_then(Operation::client),
            "opened": first.map(|first| first.time),
            "chain": chain_digest(&transaction.operations),
            "operations": operations.map(step).collect::<Vec<_>>(),
            "transaction": hash,
            "height": landed.height,
            "why": against(store, hash, landed),
        })
    }
}

/// What a session is called whose transaction has this outcome.
pub fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::Conflict { .. } => "conflict",
        Outcome::Rejected { .. } => "rejected",
    }
}

/// What layer 1 decided against a session, as a problem; nothing where it is committed.
pub fn against(store: &Store, transaction: TransactionHash, landed: &Landed) -> Option<Problem> {
    let mut problem = direct::decided(transaction, &landed.outcome)?;
    let Outcome::Conflict { keys, .. } = &landed.outcome else {
        return Some(problem);
    };
    let detail = "others changed what the session had read; nothing was applied: rebase it, or open another one";
    problem.detail = detail.to_owned();
    let winner = keys.first().and_then(|key| winner(store, landed, key));
    Some(match winner {
        Some(winner) => problem.with("winner", winner.to_string()),
        None => problem,
    })
}
