//! A block: transactions in order, the outcome of each, and a header that binds both.
//!
//! The validators sign the header's hash. The header holds what the engine ordered the block
//! under ([`Round`], proposer, parent), so nothing about a block is known only to the engine.

use crate::{
    codec::{codec, read_list},
    digest::{BlockHash, Digest, GenesisHash, TransactionHash},
    genesis::Genesis,
    keys::PublicKey,
    limits::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS},
    merkle,
    outcome::{self, Outcome},
    time::Timestamp,
    transaction::Transaction,
};
use bytes::BufMut;
use commonware_codec::{Buf, Encode as _, EncodeSize, Error, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};

/// Where in the engine's run a block was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// The validator set's epoch.
    pub epoch: u64,
    /// The view (Tendermint: round) of the proposal.
    pub view: u64,
    /// The view of the parent's proposal.
    pub parent_view: u64,
}
codec!(Round {
    epoch,
    view,
    parent_view
});

/// What the validators sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The network.
    pub genesis: GenesisHash,
    /// Distance from genesis, which is 0.
    pub height: u64,
    /// Where the engine ordered it.
    pub round: Round,
    /// The block before.
    pub parent: BlockHash,
    /// The validator that built it.
    pub proposer: PublicKey,
    /// The proposer's clock, never before the parent's.
    pub time: Timestamp,
    /// How many transactions it has.
    pub count: u32,
    /// Root over the transactions' hashes.
    pub transactions: Digest,
    /// Root over the outcomes, each with its transaction's hash.
    pub outcomes: Digest,
    /// Root of the state after it.
    pub state: Digest,
}
codec!(Header {
    genesis,
    height,
    round,
    parent,
    proposer,
    time,
    count,
    transactions,
    outcomes,
    state,
});

impl Header {
    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        BlockHash::of("plenary block", &[&self.encode()])
    }
}

/// Why a block's body is not its header's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The number of transactions, of outcomes and the header's count are not the same.
    #[error(
        "block {height} has {transactions} transactions and {outcomes} outcomes, its header says {count}"
    )]
    Count {
        /// The block's height.
        height: u64,
        /// Transactions in the body.
        transactions: usize,
        /// Outcomes in the body.
        outcomes: usize,
        /// What the header says.
        count: u32,
    },
    /// The transactions, or the outcomes, have too many bytes.
    #[error(
        "block {height} has {bytes} bytes of transactions or outcomes, more than the {MAX_BLOCK_BYTES} allowed"
    )]
    TooLarge {
        /// The block's height.
        height: u64,
        /// The larger of both sums.
        bytes: usize,
    },
    /// The transactions have another root.
    #[error("the transactions of block {height} do not have the root in its header")]
    Transactions {
        /// The block's height.
        height: u64,
    },
    /// The outcomes have another root.
    #[error("the outcomes of block {height} do not have the root in its header")]
    Outcomes {
        /// The block's height.
        height: u64,
    },
}

/// A header and what it binds. Decoding checks that it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions, in order.
    pub transactions: Vec<Transaction>,
    /// The outcome of each transaction.
    pub outcomes: Vec<Outcome>,
}

/// The root that a header holds of its block's transactions.
pub fn transactions_root(transactions: &[Transaction]) -> Digest {
    let hashes = transactions.iter().map(|transaction| transaction.hash().0);
    merkle::root(hashes)
}

/// The root that a header holds of its block's outcomes, each with its transaction.
pub fn outcomes_root(transactions: &[Transaction], outcomes: &[Outcome]) -> Digest {
    merkle::root(outcome_leaves(transactions, outcomes))
}

/// Whether these are the transactions of the block, by hash, and their outcomes.
pub fn holds_outcomes(header: &Header, outcomes: &[(TransactionHash, Outcome)]) -> bool {
    let hashes = outcomes.iter().map(|(hash, _)| hash.0);
    let leaves = outcomes
        .iter()
        .map(|(hash, outcome)| outcome::leaf(hash, outcome));
    outcomes.len() == header.count as usize
        && merkle::root(hashes) == header.transactions
        && merkle::root(leaves) == header.outcomes
}

pub(crate) fn outcome_leaves(
    transactions: &[Transaction],
    outcomes: &[Outcome],
) -> impl Iterator<Item = Vec<u8>> {
    let pairs = transactions.iter().zip(outcomes);
    pairs.map(|(transaction, outcome)| outcome::leaf(&transaction.hash(), outcome))
}

impl Block {
    /// The block at height 0: no transactions, and the root of the state the service starts from.
    pub fn genesis(genesis: &Genesis, state: Digest) -> Self {
        let header = Header {
            genesis: genesis.hash(),
            height: 0,
            round: Round::default(),
            parent: BlockHash([0; 32]),
            // Nobody proposed it; the engine wants a validator's key here.
            proposer: genesis.validators[0].key,
            time: genesis.time,
            count: 0,
            transactions: transactions_root(&[]),
            outcomes: outcomes_root(&[], &[]),
            state,
        };
        Self {
            header,
            transactions: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// The block's hash, which is its header's.
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// Checks that the body is the one the header binds.
    ///
    /// # Errors
    ///
    /// Which part is not.
    pub fn check_body(&self) -> Result<(), BlockError> {
        let header = &self.header;
        let height = header.height;
        if self.transactions.len() != header.count as usize
            || self.outcomes.len() != header.count as usize
        {
            return Err(BlockError::Count {
                height,
                transactions: self.transactions.len(),
                outcomes: self.outcomes.len(),
                count: header.count,
            });
        }
        let bytes = size_of_all(&self.transactions).max(size_of_all(&self.outcomes));
        if bytes > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge { height, bytes });
        }
        if transactions_root(&self.transactions) != header.transactions {
            return Err(BlockError::Transactions { height });
        }
        if outcomes_root(&self.transactions, &self.outcomes) != header.outcomes {
            return Err(BlockError::Outcomes { height });
        }
        Ok(())
    }

    /// The most bytes a block that decodes can have.
    pub const fn max_encode_size() -> usize {
        // Header and the lengths of both collections.
        1024 + 2 * MAX_BLOCK_BYTES
    }
}

fn size_of_all(values: &[impl EncodeSize]) -> usize {
    values.iter().map(EncodeSize::encode_size).sum()
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.header.write(buf);
        self.transactions.write(buf);
        self.outcomes.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.header.encode_size() + self.transactions.encode_size() + self.outcomes.encode_size()
    }
}

impl Read for Block {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let block = Self {
            header: Header::read(buf)?,
            transactions: read_list(buf, MAX_BLOCK_TRANSACTIONS)?,
            outcomes: read_list(buf, MAX_BLOCK_TRANSACTIONS)?,
        };
        // A block is stored and cached under its header's hash alone, so a foreign body must not
        // get past decoding.
        block
            .check_body()
            .map_err(|_| Error::Invalid("Block", "the body is not the header's"))?;
        Ok(block)
    }
}
