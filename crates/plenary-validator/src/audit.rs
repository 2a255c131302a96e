//! The audit: re-executing a whole ledger from genesis, trusting nothing in it.
//!
//! Every byte of the file is read and checked, every block must be its parent's child and be
//! final by a certificate, every signature in it must hold, and every operation is run again by
//! the executor that the validators use: each outcome and each state root must come out the same.

use crate::chain::{Chain, ChainError};
use plenary_service::{
    Service, ServiceError,
    executor::{Executor, Options},
};
use plenary_store::{Store, StoreError, ledger::Audit};
use plenary_types::{Digest, Genesis, Outcome, ServiceId, Transaction};
use std::{path::Path, sync::Arc};

/// How many blocks are applied between two writes of the scratch state.
const GROUP: u64 = 64;

/// What an audit found in a ledger that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The last height.
    pub height: u64,
    /// How many transactions were committed.
    pub committed: u64,
    /// How many ended in conflict.
    pub conflicts: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// The root of the state that came out.
    pub state_root: Digest,
}

/// What is wrong with a ledger, and where.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The genesis is for another service.
    #[error(
        "the genesis is for service {genesis}, this program is {program}; audit with the program that the network runs"
    )]
    Service {
        /// What the genesis names.
        genesis: ServiceId,
        /// What this program is.
        program: ServiceId,
    },
    /// The service's genesis function refuses.
    #[error("{0}")]
    Definition(#[from] ServiceError),
    /// The file, a link or a certificate is not right.
    #[error("{0}")]
    Ledger(#[from] StoreError),
    /// A transaction's signatures do not hold.
    #[error("block {height}, transaction {index}: {error}")]
    Transaction {
        /// The block.
        height: u64,
        /// The transaction's index.
        index: usize,
        /// What does not hold.
        error: plenary_types::TransactionError,
    },
    /// Re-execution gives another result.
    #[error("{0}")]
    Execution(#[from] ChainError),
}

/// Audits the ledger in `data_dir`, or the ledger file itself. `progress` is told how many bytes
/// of how many are done.
///
/// # Errors
///
/// The first thing that is wrong, and where.
pub fn audit(
    service: Service,
    genesis: &Genesis,
    ledger: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, AuditError> {
    let program = service.id();
    if genesis.service != program {
        let genesis = genesis.service.clone();
        return Err(AuditError::Service { genesis, program });
    }
    let changes = service.genesis_changes(genesis)?;
    let store = Arc::new(Store::scratch(genesis, || changes)?);
    let executor = Arc::new(Executor::new(Arc::new(service), Options::default()));
    let mut chain = Chain::new(Arc::new(genesis.clone()), executor, store.clone());
    let mut report = Report {
        height: 0,
        committed: 0,
        conflicts: 0,
        rejected: 0,
        state_root: store.genesis_root(),
    };
    let mut audit = Audit::open(ledger, genesis, store.genesis_root())?;
    let total = audit.len();
    while let Some(entry) = audit.next() {
        let (block, certificate) = entry?;
        let height = block.header.height;
        let verdicts = Transaction::validate_all(&block.transactions, genesis);
        for (index, verdict) in verdicts.into_iter().enumerate() {
            verdict.map_err(|error| AuditError::Transaction {
                height,
                index,
                error,
            })?;
        }
        for outcome in &block.outcomes {
            match outcome {
                Outcome::Committed => report.committed += 1,
                Outcome::Conflict { .. } => report.conflicts += 1,
                Outcome::Rejected { .. } => report.rejected += 1,
            }
        }
        report.height = height;
        report.state_root = block.header.state;
        chain.finalize(&Arc::new(block), certificate)?;
        if height.is_multiple_of(GROUP) {
            store.flush()?;
        }
        progress(audit.position(), total);
    }
    Ok(report)
}
