//! A session while it is open: its operations run one on another's writes.

use crate::{
    context::Writes,
    executor::{ExecuteError, Executor, Simulation, unanswered},
    state::StateView,
};
use plenary_types::{Author, Request, SessionId, Timestamp};
use std::sync::Arc;

/// What a session has written so far: an overlay over whatever state its next operation runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: SessionId,
    writes: Arc<Writes>,
}

impl Session {
    /// A session before its first operation, whose name it has.
    pub fn open(id: SessionId) -> Self {
        Self {
            id,
            writes: Arc::default(),
        }
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What its operations have written.
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// Runs the session's next operation. A refusal leaves the session as it was.
    ///
    /// Each operation may run on a later `view` than the one before; it must be final state, as
    /// for [`Executor::simulate`].
    ///
    /// # Errors
    ///
    /// Where state could not be read, or the handler is seen not to be deterministic; the session
    /// is as it was.
    pub fn simulate(
        &mut self,
        executor: &Executor,
        view: Arc<dyn StateView>,
        request: Request,
        author: Author,
        time: Timestamp,
    ) -> Result<Simulation, ExecuteError> {
        let operation = unanswered(request, author, time);
        if let Err(problem) = executor.belongs(&operation, self.id) {
            return Ok(Simulation::Refused(problem));
        }
        let (simulation, writes) = executor.answer(view, &self.writes, self.id, operation)?;
        self.keep(writes);
        Ok(simulation)
    }

    /// Adds an operation's writes.
    pub(crate) fn keep(&mut self, writes: Writes) {
        Arc::make_mut(&mut self.writes).extend(writes);
    }

    pub(crate) fn overlay(&self) -> &Arc<Writes> {
        &self.writes
    }

    pub(crate) fn into_writes(self) -> Writes {
        Arc::unwrap_or_clone(self.writes)
    }
}
