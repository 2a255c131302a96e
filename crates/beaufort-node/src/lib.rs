//! Beaufort's command line: the signaling server through which browsers find each other, and keys.
//!
//! Nothing here is part of the agreement. A signaling server that lies can keep members apart, and
//! nothing else: members prove to each other who they are, over a channel that it does not see.

mod cli;
mod keys;
pub mod signaling;

pub use cli::run;
