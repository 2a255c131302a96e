//! Whole networks of validators in one deterministic run: everything below the HTTP server, with
//! a virtual clock, a seeded network, crashes and Byzantine validators. A failing seed replays
//! exactly: set `SEED`.

#![allow(clippy::unwrap_used)]

mod byzantine;
mod faults;
mod loops;
mod outcomes;

use plenary_validator::testing::{bank, world};
