//! Layer 1: a validator.
//!
//! A validator takes transactions ([`mempool`]), builds blocks of them and checks those of others
//! by re-executing every operation ([`chain`]), keeps what became final (`plenary-store`), and
//! serves it ([`api`]). Ordering is the engine's (`plenary-consensus`), which calls in through
//! [`node`]. In direct mode ([`direct`]) it is the originator of every request that reaches it.
//!
//! The life of a transaction:
//!
//! 1. It comes by HTTP, is validated and queued, and is broadcast to the other validators.
//! 2. The leader builds a block: it executes the queue's head on the parent's state.
//! 3. Every validator re-executes the block and compares outcomes and state root before it votes.
//! 4. A quorum of votes makes it final: it is applied in memory, whoever waits is answered, and
//!    it becomes durable with its neighbours in one write ([`flush`]).

pub mod api;
pub mod audit;
mod bad_block;
pub mod chain;
pub mod decision;
pub mod direct;
pub mod error;
pub mod evidence;
pub mod finality;
pub mod flush;
pub mod frames;
pub mod guard;
pub mod http;
pub mod intake;
pub mod lookup;
pub mod mempool;
pub mod metrics;
pub mod node;
mod repeats;
mod suspension;
#[cfg(feature = "testing")]
pub mod testing;
pub mod turns;
mod validator;
mod winner;
pub mod worker;

pub use validator::{Settings, StartError, Validator, start};
