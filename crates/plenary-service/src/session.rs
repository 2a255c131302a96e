//! A session while it is open: its operations run one on another's writes.

use crate::{
    context::Writes,
    difference::Difference,
    executor::{ExecuteError, Execution, Executor, Simulation, unanswered},
    state::StateView,
};
use bytes::Bytes;
use plenary_types::{Author, Operation, Request, SessionId, StateKey, Timestamp};
use std::sync::Arc;

/// What a session has written so far: an overlay over whatever state its next operation runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: SessionId,
    writes: Arc<Writes>,
}

/// What a session had written, before its last operation, to the keys that this one wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undo(Vec<(StateKey, Option<Option<Bytes>>)>);

impl Session {
    /// A session before its first operation, whose name it has.
    pub fn open(id: SessionId) -> Self {
        Self {
            id,
            writes: Arc::default(),
        }
    }

    /// A session that has written so far what `writes` says.
    pub fn resume(id: SessionId, writes: Writes) -> Self {
        Self {
            id,
            writes: Arc::new(writes),
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

    /// Runs the session's next operation, and keeps what it writes. A refusal leaves the session as
    /// it was.
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
        let (simulation, writes) = self.try_next(executor, view, request, author, time)?;
        self.keep(writes);
        Ok(simulation)
    }

    /// Runs what may become the session's next operation: what it writes is
    /// [kept](Self::keep) once the operation is the session's. Nothing where it is refused.
    ///
    /// # Errors
    ///
    /// As [`simulate`](Self::simulate).
    pub fn try_next(
        &self,
        executor: &Executor,
        view: Arc<dyn StateView>,
        request: Request,
        author: Author,
        time: Timestamp,
    ) -> Result<(Simulation, Writes), ExecuteError> {
        let operation = unanswered(request, author, time);
        if let Err(problem) = executor.belongs(&operation, self.id) {
            return Ok((Simulation::Refused(problem), Writes::new()));
        }
        executor.answer(view, &self.writes, self.id, operation)
    }

    /// Runs an operation again that another node answered as the session's next, and compares
    /// response and reads: what it writes, or the first difference.
    ///
    /// # Errors
    ///
    /// As [`simulate`](Self::simulate).
    pub fn check(
        &self,
        executor: &Executor,
        view: Arc<dyn StateView>,
        operation: &Operation,
    ) -> Result<Result<Writes, Difference>, ExecuteError> {
        let (request, author) = (operation.request.clone(), operation.author.clone());
        let (own, writes) = self.try_next(executor, view, request, author, operation.time)?;
        let difference = match own {
            Simulation::Answered(own) => Difference::between_operations(operation, &own),
            Simulation::Refused(problem) => Some(Difference::refusal(&operation.response, problem)),
        };
        Ok(difference.map_or(Ok(writes), Err))
    }

    /// Answers a request that only reads, on what the session has written over `view`.
    ///
    /// # Errors
    ///
    /// As [`simulate`](Self::simulate).
    pub fn read(
        &self,
        executor: &Executor,
        view: Arc<dyn StateView>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Execution, ExecuteError> {
        executor.read_over(view, &self.writes, request, now)
    }

    /// Adds an operation's writes; gives what [takes them back](Self::take_back).
    pub fn keep(&mut self, writes: Writes) -> Undo {
        let all = Arc::make_mut(&mut self.writes);
        let replaced = writes.into_iter().map(|(key, value)| {
            let before = all.insert(key.clone(), value);
            (key, before)
        });
        Undo(replaced.collect())
    }

    /// Takes the writes of its last operation back.
    pub fn take_back(&mut self, Undo(replaced): Undo) {
        let all = Arc::make_mut(&mut self.writes);
        for (key, before) in replaced {
            match before {
                Some(value) => all.insert(key, value),
                None => all.remove(&key),
            };
        }
    }

    pub(crate) fn overlay(&self) -> &Arc<Writes> {
        &self.writes
    }

    pub(crate) fn into_writes(self) -> Writes {
        Arc::unwrap_or_clone(self.writes)
    }
}
