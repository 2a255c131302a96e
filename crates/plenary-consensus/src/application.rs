//! What an application does for the engine: build, check and apply blocks.

use bytes::Bytes;
use plenary_types::{
    Block, BlockHash, Certificate, PublicKey, Round, Timestamp, evidence::Evidence,
};
use std::{fmt, sync::Arc};

/// What a block to be built must say of itself; the engine refuses a block that says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The block's height: its parent's and one.
    pub height: u64,
    /// The round it is proposed in.
    pub round: Round,
    /// The block to build on.
    pub parent: BlockHash,
    /// The validator that builds: always this one.
    pub proposer: PublicKey,
    /// This validator's clock.
    pub now: Timestamp,
    /// Whether a block is wanted even where it would be empty: votes were lost, and only a
    /// descendant can make the ancestors final.
    pub required: bool,
}

/// The application's promise that a final block is durable with it.
///
/// The engine delivers a block again after a restart until it has been completed for it, and
/// forgets the block some time after. Dropping one without completing it says that the
/// application has failed; the engine then stops with an error.
pub struct Acknowledgement(Option<Box<dyn FnOnce() + Send>>);

impl Acknowledgement {
    /// An acknowledgement that runs `completed` once it is completed.
    pub fn new(completed: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(completed)))
    }

    /// Tells the engine that the block, and every one below it, is durable.
    pub fn complete(mut self) {
        if let Some(completed) = self.0.take() {
            completed();
        }
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledgement")
    }
}

/// The replicated state machine that the engine orders blocks for.
///
/// The engine calls from its own threads, several methods at a time, and none while it holds a
/// lock. `propose`, `verify` and `finalize` may take as long as execution takes; the others must
/// return soon. A block may be asked about while a competing one, or the same one, is being
/// finalized: the application orders that for itself.
pub trait Application: Send + Sync + 'static {
    /// Height of the last block applied.
    fn height(&self) -> u64;

    /// Builds the next block, or nothing where there is nothing to commit and no block is
    /// [`required`](Proposal::required). It is asked again whenever [`Demand`](crate::Demand) is
    /// raised.
    ///
    /// `ancestors` are the blocks above [`height`](Self::height) that are not known to be final,
    /// ascending; the last is the parent. With none the parent is the last block applied. The
    /// application may have applied some of them in the meantime.
    fn propose(&self, proposal: &Proposal, ancestors: &[Arc<Block>]) -> Option<Block>;

    /// Whether `block` is right: re-executes it on the last of `ancestors` (as for
    /// [`propose`](Self::propose)) and compares. Without it the validator does not vote to make
    /// the block final.
    ///
    /// The engine has checked the header's genesis, height, parent, proposer and round, the body
    /// against the header, and that the block's time is not more than
    /// [`MAX_CLOCK_DRIFT_MS`](plenary_types::limits::MAX_CLOCK_DRIFT_MS) after `now`. That the
    /// time is not before the parent's, and transactions, outcomes and state, are the
    /// application's. Blocks without transactions are right. The answer must be the same on every
    /// correct validator: it may depend on the block and its ancestors, not on `now`.
    fn verify(&self, block: &Arc<Block>, ancestors: &[Arc<Block>], now: Timestamp) -> bool;

    /// Takes a final block: every height, in order, one at a time, at least once. A block at or
    /// below [`height`](Self::height) was delivered before: acknowledge it and do nothing else.
    ///
    /// `certificate` is there where the block has one of its own; otherwise a descendant's makes
    /// it final. The engine keeps delivering while up to
    /// [`MAX_UNACKNOWLEDGED`](crate::MAX_UNACKNOWLEDGED) blocks are not acknowledged, so an
    /// application may make many durable at once.
    fn finalize(
        &self,
        block: Arc<Block>,
        certificate: Option<Certificate>,
        acknowledgement: Acknowledgement,
    );

    /// Takes a proof, already verified, that a validator misbehaved. The same may come twice.
    fn evidence(&self, evidence: Evidence);

    /// Takes what the application of validator `from` broadcast. Anything may be in it.
    fn receive(&self, from: PublicKey, message: Bytes);

    /// The final block at `height`, with its certificate, for peers that were away. It is asked
    /// for blocks it has acknowledged.
    fn block(&self, height: u64) -> Option<(Arc<Block>, Option<Certificate>)>;

    /// The height of the final block with this hash, where the application has it.
    fn height_of(&self, hash: &BlockHash) -> Option<u64>;
}
