//! The program as its users run it: real processes, real sockets, real signals.
#![allow(missing_docs, clippy::unwrap_used, unreachable_pub)]
#![cfg(unix)]

mod bench;
mod bench_plain;
mod commands;
mod crashes;
mod dev;
mod load;
mod network;
mod rounds;
mod sessions;
mod support;
