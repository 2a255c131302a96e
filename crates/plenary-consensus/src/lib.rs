//! The ordering engine behind one plain interface.

mod adapter;
mod application;
mod block;
mod clock;
mod convert;
mod delivery;
mod demand;
mod engine;
mod failure;
mod gossip;
mod network;
mod observer;
mod signal;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod stack;
mod store;

pub use application::{Acknowledgement, Application, Proposal};
pub use demand::Demand;
pub use engine::{
    Config, Engine, EngineError, MAX_BROADCAST_BYTES, MAX_UNACKNOWLEDGED, Status, start,
};
