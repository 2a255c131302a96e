//! Following validators over HTTP, honest ones and others, and sending transactions to them.

#![allow(clippy::unwrap_used)]

mod fake;
mod following;
mod submitting;
