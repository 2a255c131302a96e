//! A node's memory: the final blocks, the state they made, and where everything is.
//!
//! [`Ledger`] is the truth, one file that only grows; [`State`] and the indexes are made from it
//! and kept in a database beside it. [`Store`] owns all three, says when a block is durable, and
//! brings them back together after a crash. `docs/storage.md` draws the files.

mod database;
mod error;
mod files;
mod index;
mod ledger;
mod rows;
mod state;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use database::{Tip, reset_unfinished};
pub use error::{Damage, File, StoreError};
pub use files::{Files, Nowhere};
pub use index::Location;
pub use ledger::{Audit, AuditError, Audited, Entry, Ledger};
pub use state::{Prepared, State};
pub use store::Store;
