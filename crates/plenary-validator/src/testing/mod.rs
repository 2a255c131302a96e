//! For tests of whole networks: validators in the engine's deterministic simulation, and a service
//! for them to run. Feature `testing`.

#![allow(clippy::unwrap_used)] // A network that cannot be made is a failed test.

pub mod bank;
pub mod world;
