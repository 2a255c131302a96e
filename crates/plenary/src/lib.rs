//! Plenary's face: what an author of a service needs, and the command line it is given.
//!
//! ```no_run
//! use plenary::prelude::*;
//!
//! const VOTES: Table<String, u64> = Table::new("votes");
//!
//! /// Counts one more vote for a motion.
//! fn vote(cx: &mut Context, Path(motion): Path<String>) -> Result<Json<u64>, Problem> {
//!     let votes = VOTES.get(cx, &motion)?.unwrap_or(0) + 1;
//!     VOTES.put(cx, &motion, &votes)?;
//!     Ok(Json(votes))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     plenary::run(Service::new("assembly", "1.0.0").post("/motions/{motion}/votes", vote))
//! }
//! ```
//!
//! That program runs a network on this machine (`dev`), one validator of a real one (`start`),
//! signed requests (`call`), and the checks anyone can make (`receipt verify`, `ledger verify`).
//! `--help` says the rest.

mod app;
mod arenas;
mod cli;
mod commands;
mod config;
pub mod demo;
mod files;
mod keys;
mod live;
mod located;
mod logging;
mod machine;
mod network;
mod output;
mod player;
mod ports;
mod signals;
mod supervise;

pub use app::App;
pub use cli::run;
pub use {plenary_client as client, plenary_service as service, plenary_types as types};

/// What the source of a service wants in scope.
pub mod prelude {
    pub use crate::{
        App,
        demo::{Call, Demo},
    };
    pub use plenary_service::prelude::*;
}

/// The README's service compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
