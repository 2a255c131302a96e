//! What layer 1 decides of a transaction: committed, conflict or rejected, by invariants 4 and 5.
#![allow(missing_docs, clippy::unwrap_used)]

mod chain;
#[path = "../common/mod.rs"]
mod common;
mod operations;
mod sessions;
