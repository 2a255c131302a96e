//! Why a block gets no vote, or cannot be made final.

use plenary_service::ExecuteError;
use plenary_store::StoreError;
use plenary_types::{
    BlockHash, Digest, Outcome, Timestamp,
    limits::{MAX_BLOCK_BYTES, MAX_BLOCK_STEPS, MAX_CLOCK_DRIFT_MS},
};

/// Why a block gets no vote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// Its transactions are over the bound.
    #[error("its transactions have {0} bytes, more than the {MAX_BLOCK_BYTES} allowed")]
    TooLarge(usize),
    /// Its height is not its parent's plus one.
    #[error("its height {found} does not follow its parent's {parent}")]
    Height {
        /// The parent's height.
        parent: u64,
        /// The block's.
        found: u64,
    },
    /// Its time is before its parent's, or too far ahead.
    #[error(
        "its time {found} is not between its parent's {parent} and this node's {now} plus {MAX_CLOCK_DRIFT_MS} ms"
    )]
    Time {
        /// The parent's time.
        parent: Timestamp,
        /// The block's time.
        found: Timestamp,
        /// This node's clock.
        now: Timestamp,
    },
    /// A transaction in it is not valid, whatever the state.
    #[error("transaction {index} is not valid: {error}")]
    Invalid {
        /// Its index.
        index: usize,
        /// Why.
        error: String,
    },
    /// A transaction, or a committed operation, is on the chain already.
    #[error("transaction {index} repeats what is on the chain already")]
    Replayed {
        /// Its index.
        index: usize,
    },
    /// Its transactions cost more than a block may.
    #[error(
        "its first {executed} transactions cost the {MAX_BLOCK_STEPS} steps of a block, and there are more"
    )]
    TooMuchWork {
        /// How many could be begun.
        executed: usize,
    },
    /// An operation's time is too far from the block's.
    #[error("transaction {index} has an operation too far from the block's time")]
    OperationTime {
        /// Its index.
        index: usize,
    },
    /// An outcome is not what re-execution gives.
    #[error(
        "transaction {index} ({route}) is claimed as: {claimed}; re-execution gives: {computed}"
    )]
    Outcome {
        /// Its index.
        index: usize,
        /// The request of its first operation.
        route: String,
        /// What the proposer claims.
        claimed: Outcome,
        /// What this validator computed.
        computed: Outcome,
    },
    /// The state root is not what re-execution gives.
    #[error("its state root is {claimed}; re-execution gives {computed}")]
    StateRoot {
        /// What the proposer claims.
        claimed: Digest,
        /// What this validator computed.
        computed: Digest,
    },
    /// A block before it is bad, or unknown.
    #[error("its ancestor at height {0} is missing")]
    Ancestor(u64),
}

/// Why a block could not be checked or made final.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The block is bad, for every honest validator.
    #[error("block {height} ({hash}) is bad: {reason}")]
    Bad {
        /// Its height.
        height: u64,
        /// Its hash.
        hash: BlockHash,
        /// Why.
        reason: Box<BadBlock>,
    },
    /// A handler could not be run to its end: state could not be read, or two runs differ.
    #[error(transparent)]
    Execution(#[from] ExecuteError),
    /// This node's files could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
