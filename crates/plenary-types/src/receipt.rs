//! Receipts: offline proof that a transaction has its outcome in a final block.
//!
//! A certificate may be a descendant's: every block below a final one is final. A receipt then
//! carries the headers from its block up to the certified one, linked by their parents' hashes.

use crate::{
    block::{Block, Header, outcome_leaves},
    certificate::{Certificate, CertificateError},
    digest::{BlockHash, Digest, GenesisHash, TransactionHash},
    genesis::Genesis,
    limits::MAX_DESCENDANTS,
    merkle,
    outcome::{self, Outcome},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the receipt's form.
const FORM: u8 = 1;

/// A proof of a transaction's outcome. As JSON it is made for people and machines alike; any
/// field that is changed makes it fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The form of this receipt: 1.
    pub version: u8,
    /// The transaction.
    pub transaction: TransactionHash,
    /// What became of it.
    pub outcome: Outcome,
    /// Its index in the block.
    pub index: u32,
    /// The path from the outcome's leaf to the header's outcomes root.
    pub path: Vec<Digest>,
    /// The header of its block.
    pub header: Header,
    /// Headers after it, each the child of the one before, up to the certified one; empty where
    /// the block itself is certified.
    pub descendants: Vec<Header>,
    /// The signatures over the last header.
    pub certificate: Certificate,
}

/// What a receipt proves: a quorum of the network's validators agreed that `transaction` has
/// `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The network's name.
    pub network: String,
    /// The network.
    pub genesis: GenesisHash,
    /// The transaction.
    pub transaction: TransactionHash,
    /// What became of it.
    pub outcome: Outcome,
    /// The block it is in.
    pub block: BlockHash,
    /// The block's height.
    pub height: u64,
    /// Its index in the block.
    pub index: u32,
    /// The block's time, by its proposer's clock.
    pub time: Timestamp,
    /// The height of the block that was signed: `height` or a descendant's.
    pub certified_height: u64,
    /// The names of the validators that signed.
    pub signers: Vec<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "transaction {} is {} at height {} of {}, signed by {}",
            self.transaction,
            self.outcome,
            self.height,
            self.network,
            self.signers.join(", ")
        )
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The form is not known.
    #[error("receipt version {0} is not known to this program, which reads version {FORM}")]
    Version(u8),
    /// The outcome is not in the header's outcomes tree at that index.
    #[error(
        "the outcome of transaction {0} is not in the block: transaction, outcome, index or path was altered"
    )]
    Path(TransactionHash),
    /// The headers are not linked.
    #[error(
        "header {position} after the block (height {height}) is not the child of the one before"
    )]
    Link {
        /// Position among the descendants, from 0.
        position: usize,
        /// The height it claims.
        height: u64,
    },
    /// Too many headers.
    #[error("{0} descendant headers are more than the {MAX_DESCENDANTS} a receipt may have")]
    Descendants(usize),
    /// The certificate does not hold.
    #[error("the certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
}

impl Receipt {
    /// Makes the receipt of the transaction at `index` of `block`, or nothing where there is none.
    pub fn new(
        block: &Block,
        index: u32,
        descendants: Vec<Header>,
        certificate: Certificate,
    ) -> Option<Self> {
        let transaction = block.transactions.get(index as usize)?;
        let outcome = block.outcomes.get(index as usize)?;
        let leaves = outcome_leaves(&block.transactions, &block.outcomes);
        Some(Self {
            version: FORM,
            transaction: transaction.hash(),
            outcome: outcome.clone(),
            index,
            path: merkle::prove(leaves, index as usize)?,
            header: block.header.clone(),
            descendants,
            certificate,
        })
    }

    /// Checks the receipt with nothing but the genesis, and says what it proves.
    ///
    /// # Errors
    ///
    /// The first reason it proves nothing.
    pub fn verify(&self, genesis: &Genesis) -> Result<Verified, ReceiptError> {
        if self.version != FORM {
            return Err(ReceiptError::Version(self.version));
        }
        if self.descendants.len() > MAX_DESCENDANTS {
            return Err(ReceiptError::Descendants(self.descendants.len()));
        }
        let header = &self.header;
        let leaf = outcome::leaf(&self.transaction, &self.outcome);
        let (index, count) = (u64::from(self.index), u64::from(header.count));
        if !merkle::verify(&header.outcomes, count, leaf, index, &self.path) {
            return Err(ReceiptError::Path(self.transaction));
        }
        let mut last = header;
        for (position, next) in self.descendants.iter().enumerate() {
            if next.parent != last.hash() || Some(next.height) != last.height.checked_add(1) {
                return Err(ReceiptError::Link {
                    position,
                    height: next.height,
                });
            }
            last = next;
        }
        self.certificate.verify(last, genesis)?;
        let signers = self.certificate.signatures.iter();
        let signers = signers.filter_map(|entry| genesis.validators.get(entry.validator as usize));
        Ok(Verified {
            network: genesis.network.clone(),
            genesis: genesis.hash(),
            transaction: self.transaction,
            outcome: self.outcome.clone(),
            block: header.hash(),
            height: header.height,
            index: self.index,
            time: header.time,
            certified_height: last.height,
            signers: signers.map(|validator| validator.name.clone()).collect(),
        })
    }
}
