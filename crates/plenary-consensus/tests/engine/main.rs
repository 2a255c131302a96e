//! The engine against a small application: an ordered log of texts.

#![allow(missing_docs, clippy::unwrap_used)]

mod byzantine;
mod crash;
#[allow(dead_code, reason = "the example `latency` uses the rest")]
mod log;
mod partition;
mod rest;
mod store;
mod tcp;
mod world;
