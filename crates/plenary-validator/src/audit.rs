//! The audit: re-executing a whole ledger from genesis, trusting nothing in it.
//!
//! Every byte of the file is read and checked, every block must be its parent's child and be
//! final by a certificate, every signature in it must hold, and every operation is run again by
//! the executor that the validators use: each outcome and each state root must come out the same.

use crate::chain::{Chain, ChainError};
use plenary_service::{Executor, Options, SeedError, Service, ServiceError};
use plenary_store::{Audit, Files, Store, StoreError};
use plenary_types::{Digest, Genesis, Outcome, Transaction};
use std::{path::Path, sync::Arc};

/// How many blocks are applied between two writes of the scratch state.
const GROUP: u64 = 64;

/// What an audit found in a ledger that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The last height.
    pub height: u64,
    /// The last height at or below which every block is certified; above it the file lacks the
    /// certificate, as it may where the node was stopped right after the block.
    pub certified: u64,
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
    /// The service is not well declared.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// The genesis is not one that the service can start from.
    #[error("{0}")]
    Genesis(#[from] SeedError),
    /// The file, a link or a certificate is not right.
    #[error("{0}")]
    Ledger(#[from] plenary_store::AuditError),
    /// The scratch state failed.
    #[error("{0}")]
    Scratch(#[from] StoreError),
    /// A transaction's signatures do not hold.
    #[error("byte {offset}, block {height}, transaction {index}: {error}")]
    Transaction {
        /// Where the block is in the file.
        offset: u64,
        /// The block.
        height: u64,
        /// The transaction's index.
        index: usize,
        /// What does not hold.
        error: plenary_types::TransactionError,
    },
    /// Re-execution gives another result.
    #[error("byte {offset}: {error}")]
    Execution {
        /// Where the block is in the file.
        offset: u64,
        /// What is different.
        error: ChainError,
    },
}

/// Audits the ledger in `data_dir`, which stays as it is. `progress` is told how many bytes of how
/// many are done.
///
/// # Errors
///
/// The first thing that is wrong, and where.
pub fn audit(
    service: impl Into<Arc<Service>>,
    genesis: &Genesis,
    data_dir: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, AuditError> {
    let executor = Arc::new(Executor::new(service, Options::default())?);
    let changes = executor.genesis(genesis)?;
    let store = Arc::new(Store::open(Files::nowhere(), genesis, || {
        Ok::<_, SeedError>(changes)
    })?);
    let open = Chain::open(Arc::new(genesis.clone()), executor, store.clone());
    let mut chain = open.map_err(|error| AuditError::Execution { offset: 0, error })?;
    let first = store.genesis_block().header.clone();
    let mut report = Report {
        height: 0,
        certified: 0,
        committed: 0,
        conflicts: 0,
        rejected: 0,
        state_root: first.state,
    };
    let mut audit = Audit::open(data_dir, genesis, first)?;
    while let Some(entry) = audit.next() {
        let entry = entry?;
        let (offset, block) = (entry.offset, entry.block);
        let height = block.header.height;
        let verdicts = Transaction::validate_all(&block.transactions, genesis);
        for (index, verdict) in verdicts.into_iter().enumerate() {
            verdict.map_err(|error| AuditError::Transaction {
                offset,
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
        chain
            .finalize(&block, entry.certificate)
            .map_err(|error| AuditError::Execution { offset, error })?;
        report.height = height;
        report.state_root = block.header.state;
        if height.is_multiple_of(GROUP) {
            store.flush()?;
        }
        let (done, all) = audit.progress();
        progress(done, all);
    }
    report.certified = audit.certified();
    Ok(report)
}
