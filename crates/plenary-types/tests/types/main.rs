//! Tests of the shared values, as one program.

#![allow(clippy::unwrap_used)]

mod block;
mod decoding;
mod evidence;
mod genesis;
mod golden;
mod merkle;
mod problem;
mod receipt;
mod samples;
mod session;
mod signature;
mod state;
mod transaction;
