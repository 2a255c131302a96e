//! What the ledger has at a place that an index names.

use crate::error::Refusal;
use plenary_store::{Location, Store, StoreError};
use plenary_types::{Outcome, Receipt, Transaction, limits::MAX_DESCENDANTS};

/// The transaction at a place in the ledger, and its outcome.
///
/// # Errors
///
/// Where the ledger cannot be read.
pub fn transaction_at(
    store: &Store,
    location: Location,
) -> Result<(Transaction, Outcome), Refusal> {
    let missing = || StoreError::Database(format!("block {} is missing", location.height));
    let block = store.block(location.height)?.ok_or_else(missing)?;
    let index = location.index as usize;
    match (block.transactions.get(index), block.outcomes.get(index)) {
        (Some(transaction), Some(outcome)) => Ok((transaction.clone(), outcome.clone())),
        _ => Err(missing().into()),
    }
}

/// The receipt of the transaction at a place in the ledger; none yet where no block at or above it
/// has a certificate of its own here.
///
/// # Errors
///
/// Where the ledger cannot be read.
pub fn receipt_at(store: &Store, location: Location) -> Result<Option<Receipt>, Refusal> {
    let Location { height, index } = location;
    let Some(certified) = store.certified_from(height)? else {
        return Ok(None);
    };
    let block = store.block(height)?;
    let certificate = store.certificate(certified)?;
    let mut descendants = Vec::new();
    for above in height + 1..=certified.min(height + MAX_DESCENDANTS as u64) {
        descendants.extend(store.block(above)?.map(|block| block.header.clone()));
    }
    Ok(block
        .zip(certificate)
        .and_then(|(block, certificate)| Receipt::new(&block, index, descendants, certificate)))
}
