//! Session nodes over HTTP, on a network of real validators.

#![allow(clippy::unwrap_used)]

mod bank;
mod ends;
mod looking;
#[path = "../../../plenary-validator/tests/http/network.rs"]
#[allow(dead_code)] // Shared; not all of it is needed here.
mod network;
mod nodes;
mod sessions;
