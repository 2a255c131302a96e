//! The engine against a small application: an ordered log of texts.

#![allow(missing_docs, clippy::unwrap_used)]

mod log;
mod simulated;
mod tcp;
