//! Beaufort's command line: the signaling server through which browsers find each other, a replica that needs none,
//! members' keys, the check of a certificate, and the paper's evaluation.
//!
//! Nothing here is part of the agreement. A signaling server that lies can keep members apart, and
//! nothing else: members prove to each other who they are, over a channel that it does not see.

mod check;
mod cli;
mod evaluation;
mod keys;
mod members;
mod replica;
pub mod signaling;

pub use cli::run;
