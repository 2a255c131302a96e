//! What a service author writes against, and the executor that runs it.
pub mod state;
