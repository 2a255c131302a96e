//! The ordering engine behind one plain interface.

mod application;
mod demand;
mod engine;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;

pub use application::{Acknowledgement, Application, Proposal};
pub use demand::Demand;
pub use engine::{
    Config, Engine, EngineError, MAX_BROADCAST_BYTES, MAX_UNACKNOWLEDGED, Status, start,
};
