//! The proof that a session node broke its word: what it promised for a step, and what was
//! committed instead.
//!
//! It can exist only where the client's signature does not cover the step. Whoever signs the chain
//! it saw cannot be given another; for the others, and for a session of one operation, this is
//! what makes the lie of a session node provable to anyone.

use crate::{
    genesis::Genesis,
    keys::PublicKey,
    outcome::Outcome,
    receipt::{Receipt, ReceiptError},
    session::{Promise, chain_digest},
    transaction::Transaction,
};
use serde::{Deserialize, Serialize};

/// A promise, and the committed transaction that breaks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenPromise {
    /// What was promised.
    pub promise: Promise,
    /// The transaction's canonical encoding, in hexadecimal.
    #[serde(with = "as_hex")]
    pub transaction: Transaction,
    /// The proof that it is committed.
    pub receipt: Receipt,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromiseProofError {
    /// The promise is by no session node of the network, or its signature does not verify.
    #[error("the promise is not signed by a session node of this network")]
    Promise,
    /// The receipt does not hold.
    #[error("the receipt does not hold: {0}")]
    Receipt(#[from] ReceiptError),
    /// The receipt is of another transaction.
    #[error("the receipt is not of this transaction")]
    OtherTransaction,
    /// The transaction was not committed, so that it breaks nothing.
    #[error("the transaction was not committed: {0}")]
    NotCommitted(Outcome),
    /// The transaction is of another session.
    #[error("the promise is for a step of another session than the transaction's")]
    OtherSession,
    /// The client signed what was committed.
    #[error("the client itself signed the chain that was committed")]
    Signed,
    /// What was committed is what was promised.
    #[error("the promise was kept: the transaction has the promised step")]
    Kept,
}

impl BrokenPromise {
    /// Checks the proof with nothing but the genesis. Gives the node that promised and the node
    /// that originated the transaction: where they are the same, it broke its word; where not, one
    /// of the two did.
    ///
    /// # Errors
    ///
    /// The first reason that it proves nothing.
    pub fn verify(&self, genesis: &Genesis) -> Result<(PublicKey, PublicKey), PromiseProofError> {
        let promise = &self.promise;
        if !genesis.is_session_node(&promise.node) || !promise.verify(&genesis.hash()) {
            return Err(PromiseProofError::Promise);
        }
        let verified = self.receipt.verify(genesis)?;
        if verified.transaction != self.transaction.hash() {
            return Err(PromiseProofError::OtherTransaction);
        }
        if verified.outcome != Outcome::Committed {
            return Err(PromiseProofError::NotCommitted(verified.outcome));
        }
        if self.transaction.session() != Some(promise.session) {
            return Err(PromiseProofError::OtherSession);
        }
        let operations = &self.transaction.operations;
        let step = promise.sequence as usize;
        if let Some(commitment) = &self.transaction.commitment {
            // Whatever the client signed, it wanted; the response that it could not yet see is
            // the only one that a promise can still be broken with.
            if !commitment.closing || step + 1 != operations.len() {
                return Err(PromiseProofError::Signed);
            }
        }
        let kept = operations
            .get(..=step)
            .is_some_and(|committed| chain_digest(committed) == promise.chain);
        match kept {
            true => Err(PromiseProofError::Kept),
            false => Ok((promise.node, self.transaction.originator)),
        }
    }
}

mod as_hex {
    use crate::transaction::Transaction;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        transaction: &Transaction,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(crate::encode(transaction)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Transaction, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        crate::decode(bytes.into()).map_err(D::Error::custom)
    }
}
