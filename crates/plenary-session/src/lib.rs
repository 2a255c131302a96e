//! Layer 2: a session node.
//!
//! A client works in a *session*: each step is answered at once by a session node, which runs it
//! on the finalized state it follows and on what the session has written so far. When the session
//! is done, all of it is committed to layer 1 as one transaction, which every validator re-executes
//! before it votes. Layer 2 is trusted with latency, never with integrity.

pub mod agreement;
mod alone;
pub mod api;
mod asked;
pub mod bell;
pub mod commit;
pub mod error;
pub mod evidence;
pub mod feed;
pub mod follow;
mod inbox;
pub mod log;
pub mod message;
pub mod metrics;
pub mod node;
pub mod participation;
pub mod peers;
pub mod record;
mod recovery;
pub mod refused;
pub mod replica;
pub mod rival;
mod server;
pub mod session;
pub mod sessions;
pub mod step;
pub mod submissions;

pub use server::{SessionNode, Settings, StartError, start};
