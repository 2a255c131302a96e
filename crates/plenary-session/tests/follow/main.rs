//! Following validators over HTTP, honest ones and others, and sending transactions to them.

#![allow(clippy::unwrap_used)]

mod fake;
mod following;
#[path = "../../../plenary-validator/tests/http/network.rs"]
#[allow(dead_code)] // Shared; not all of it is needed here.
mod network;
mod real;
mod submitting;

use plenary_validator::testing::bank;
