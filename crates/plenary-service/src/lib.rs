//! What a service author writes against, and the executor that runs it.
//!
//! A [`Service`] maps methods and path patterns to handlers: plain functions of a [`Context`] and
//! extractors. The [`Executor`] runs one operation on a view of state and says what it answered,
//! read and wrote; [`Executor::ratify`] re-executes a whole transaction and decides its outcome.
//! Every node uses the same, so that there is nothing to agree on twice.
//!
//! Pure: no I/O, no clock, no randomness, no threads. `docs/determinism.md` says how a handler
//! ends the same way everywhere.

mod bounds;
pub mod budget;
pub mod context;
pub mod difference;
pub mod executor;
pub mod extract;
mod finality;
pub mod handler;
pub mod key;
mod openapi;
mod path;
pub mod ratify;
mod recorder;
pub mod registry;
pub mod response;
pub mod service;
pub mod session;
pub mod state;
pub mod table;
pub mod testing;
mod unwind;

pub use budget::Limits;
pub use context::{Context, OperationContext, Writes};
pub use difference::Difference;
pub use executor::{ExecuteError, Execution, Executor, Options, SeedError, Simulation};
pub use extract::{FromRequest, Json, Parts, Path, Query, Rejection};
pub use finality::with_l1;
pub use handler::Handler;
pub use http::StatusCode;
pub use key::TableKey;
pub use ratify::Ratification;
pub use registry::{OPEN_SESSION, RouteName, ServiceError};
pub use response::IntoResponse;
#[doc(hidden)]
pub use serde;
pub use service::{Route, Service, SessionRole};
pub use session::{Session, Undo};
pub use state::{Layered, StateError, StateView};
pub use table::Table;

/// What a service's source wants in scope.
pub mod prelude {
    pub use crate::{
        Context, FromRequest, IntoResponse, Json, Limits, Path, Query, Service, StatusCode, Table,
        TableKey, id_type,
    };
    pub use plenary_types::{
        OperationId, Problem, PublicKey, Response, SessionId, Signature, Timestamp,
    };
}
