//! The executor: runs an operation's handler on a view of state, and says what it answered, read
//! and wrote. There is one, for layer 2, its peers, proposers, validators and auditors alike.
//!
//! It does no I/O but for a log line where a handler panics, keeps nothing between calls, and may be
//! called from any thread. Nothing that it runs can hurt it: a handler that panics or goes over its
//! budget ends in a refusal, the same on every node.

use crate::{
    context::{Context, OperationContext, Writes},
    difference::Difference,
    extract::Parts,
    registry::{Registry, RouteName, ServiceError},
    service::{Route, Service},
    state::{StateError, StateView},
    unwind::{Unwound, catch},
};
use bytes::Bytes;
use plenary_types::{
    Author, Changes, Genesis, Operation, OperationId, Problem, Read, Request, Response, ServiceId,
    SessionId, Stage, StateKey, Timestamp, Version, Versioned,
};
use std::sync::Arc;

/// How an executor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Runs every handler twice and compares: for tests and for `dev`.
    pub double_run: bool,
}

/// Why there is no execution: no fault of the operation's client, and nothing to vote on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The two runs of a handler differ: it is not a function of state, context and request.
    #[error("the handler of {route} is not deterministic: {difference}; see docs/determinism.md")]
    Nondeterministic {
        /// The handler's route.
        route: RouteName,
        /// What is different.
        difference: Difference,
    },
}

/// What came of running a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The handler's response, or why it refused: then it has written nothing.
    pub answer: Result<Response, Problem>,
    /// What it read of the view, in order of first read. Also there for a refusal.
    pub reads: Vec<Read>,
    /// What it wrote.
    pub writes: Writes,
    /// What it spent of its budget.
    pub steps: u64,
    /// Where the handler panicked, the message and the place. It may differ from node to node, so
    /// it is no part of the answer; the executor logs it.
    pub panic: Option<String>,
}

impl Execution {
    pub(crate) fn refused(problem: Problem) -> Self {
        Self {
            answer: Err(problem),
            reads: Vec::new(),
            writes: Writes::new(),
            steps: 0,
            panic: None,
        }
    }

    /// The response that the client gets: the handler's, or its problem.
    pub fn response(&self) -> Response {
        match &self.answer {
            Ok(response) => response.clone(),
            Err(problem) => problem.to_response(),
        }
    }
}

/// What an originator has of a request it ran.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "made and matched at once, never kept"
)]
pub enum Simulation {
    /// An operation to put into a transaction.
    Answered(Operation),
    /// Nothing to put anywhere: the client gets the problem, and that is all.
    Refused(Problem),
}

/// Why there is no genesis state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SeedError {
    /// The genesis is another service's.
    #[error("the genesis is for {genesis}, this program is {program}")]
    Service {
        /// The genesis's.
        genesis: ServiceId,
        /// The program's.
        program: ServiceId,
    },
    /// The service refuses the genesis's config.
    #[error("the service does not take the config of the genesis: {0}")]
    Refused(Problem),
    /// The service's genesis function panicked.
    #[error("the service's genesis function panicked: {0}")]
    Panicked(String),
    /// The genesis function is not deterministic.
    #[error("the service's genesis function is not deterministic: {0}")]
    Nondeterministic(Difference),
}

/// Runs a service's handlers; see the [module](self).
pub struct Executor {
    registry: Registry,
    options: Options,
}

impl Executor {
    /// Makes a service ready to run.
    ///
    /// # Errors
    ///
    /// What is wrong with the service's declaration.
    pub fn new(service: impl Into<Arc<Service>>, options: Options) -> Result<Self, ServiceError> {
        let registry = Registry::new(service.into())?;
        Ok(Self { registry, options })
    }

    /// The service that it runs.
    pub fn service(&self) -> &Arc<Service> {
        &self.registry.service
    }

    /// The route that answers a request.
    ///
    /// # Errors
    ///
    /// 404 `unknown-route` and 405 `method-not-allowed`.
    pub fn route(&self, request: &Request) -> Result<&Route, Problem> {
        self.registry.route(request)
    }

    /// The session that an operation belongs to where it is alone in its transaction: the one
    /// that its path names, or else its own.
    ///
    /// # Errors
    ///
    /// 400 `invalid-session-id` where the path names none; and where there is no route.
    pub fn session_of(
        &self,
        request: &Request,
        operation: OperationId,
    ) -> Result<SessionId, Problem> {
        self.registry.session_of(request, operation)
    }

    /// The state that a network starts with, at version 0.0.
    ///
    /// # Errors
    ///
    /// Where the genesis is not for this service or its config is not what the service takes.
    pub fn genesis(&self, genesis: &Genesis) -> Result<Changes, SeedError> {
        if genesis.service != self.service().id {
            return Err(SeedError::Service {
                genesis: genesis.service.clone(),
                program: self.service().id.clone(),
            });
        }
        let first = self.seed(genesis)?;
        if self.options.double_run {
            let second = self.seed(genesis)?;
            if let Some(difference) = Difference::between_writes(&first, &second) {
                return Err(SeedError::Nondeterministic(difference));
            }
        }
        Ok(versioned(first, Version::default()))
    }

    fn seed(&self, genesis: &Genesis) -> Result<Writes, SeedError> {
        let Some(seed) = &self.service().seed else {
            return Ok(Writes::new());
        };
        let operation = OperationId::of("plenary genesis operation", &[&genesis.hash().0]);
        let mut cx = Context::seeding(OperationContext {
            operation,
            session: operation.into(),
            client: None,
            time: genesis.time,
        });
        let result = catch(|| seed(&mut cx, &genesis.config));
        match result {
            Ok(Ok(())) => Ok(cx.into_spent().writes),
            Ok(Err(problem)) => Err(SeedError::Refused(problem)),
            Err(Unwound::Panicked(message)) => Err(SeedError::Panicked(message)),
            Err(Unwound::Ended) => Err(SeedError::Panicked("ended from below".to_owned())),
        }
    }

    /// Runs an operation on the session's `earlier` writes over `view`.
    ///
    /// A request that has no route, or that is a read, is refused.
    ///
    /// # Errors
    ///
    /// Where state could not be read, or the handler is seen not to be deterministic.
    pub fn execute(
        &self,
        view: Arc<dyn StateView>,
        earlier: &Arc<Writes>,
        origin: OperationContext,
        request: &Request,
    ) -> Result<Execution, ExecuteError> {
        let (route, parts) = match self.registry.parts(request) {
            Ok(found) => found,
            Err(problem) => return Ok(Execution::refused(problem)),
        };
        if !route.is_operation() {
            let detail = format_args!("{} {} only reads", route.method, route.pattern);
            let problem = Problem::new(400, "not-an-operation", detail).at(Stage::Request);
            return Ok(Execution::refused(problem));
        }
        self.run(route, &parts, || {
            Context::new(
                origin,
                Arc::clone(&view),
                Arc::clone(earlier),
                self.service().limits,
                true,
            )
        })
    }

    /// Answers a request of a route that only reads, at `now`.
    ///
    /// The context's operation and session are named by the request; there is no client.
    ///
    /// # Errors
    ///
    /// Where state could not be read, or the handler is seen not to be deterministic.
    pub fn read(
        &self,
        view: Arc<dyn StateView>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Execution, ExecuteError> {
        self.read_over(view, &Arc::default(), request, now)
    }

    /// Answers a read on a session's `earlier` writes over `view`.
    pub(crate) fn read_over(
        &self,
        view: Arc<dyn StateView>,
        earlier: &Arc<Writes>,
        request: &Request,
        now: Timestamp,
    ) -> Result<Execution, ExecuteError> {
        let (route, parts) = match self.registry.parts(request) {
            Ok(found) => found,
            Err(problem) => return Ok(Execution::refused(problem)),
        };
        let operation = OperationId::of("plenary read", &[&request.digest().0]);
        let origin = OperationContext {
            operation,
            session: operation.into(),
            client: None,
            time: now,
        };
        self.run(route, &parts, || {
            let (view, earlier) = (Arc::clone(&view), Arc::clone(earlier));
            Context::new(origin, view, earlier, self.service().limits, false)
        })
    }

    /// Runs a request on `view` as an originator in direct mode: alone, in the session that its
    /// path names.
    ///
    /// `view` must be final state: a version in an unfinalized block can come to stand for
    /// another value, and its reader would be taken for a liar.
    ///
    /// # Errors
    ///
    /// Where state could not be read, or the handler is seen not to be deterministic.
    pub fn simulate(
        &self,
        view: Arc<dyn StateView>,
        request: Request,
        author: Author,
        time: Timestamp,
    ) -> Result<Simulation, ExecuteError> {
        let operation = unanswered(request, author, time);
        match self.session_of(&operation.request, operation.id()) {
            Ok(session) => self
                .answer(view, &Arc::default(), session, operation)
                .map(|(it, _)| it),
            Err(problem) => Ok(Simulation::Refused(problem)),
        }
    }

    /// Runs an operation that has no response yet, and gives it one.
    pub(crate) fn answer(
        &self,
        view: Arc<dyn StateView>,
        earlier: &Arc<Writes>,
        session: SessionId,
        mut operation: Operation,
    ) -> Result<(Simulation, Writes), ExecuteError> {
        let origin = origin(&operation, session);
        let execution = self.execute(view, earlier, origin, &operation.request)?;
        match execution.answer {
            Ok(response) => {
                operation.response = response;
                operation.reads = execution.reads;
                Ok((Simulation::Answered(operation), execution.writes))
            }
            Err(problem) => Ok((Simulation::Refused(problem), Writes::new())),
        }
    }

    fn run(
        &self,
        route: &Route,
        parts: &Parts<'_>,
        context: impl Fn() -> Context,
    ) -> Result<Execution, ExecuteError> {
        let first = self.run_once(route, parts, context())?;
        if let Some(panic) = &first.panic {
            let (method, pattern) = (route.method, &route.pattern);
            tracing::error!(%method, %pattern, %panic, "a handler panicked; its operation is refused");
        }
        if self.options.double_run {
            let second = self.run_once(route, parts, context())?;
            if let Some(difference) = Difference::between(&first, &second) {
                let route = route.into();
                return Err(ExecuteError::Nondeterministic { route, difference });
            }
        }
        Ok(first)
    }

    fn run_once(
        &self,
        route: &Route,
        parts: &Parts<'_>,
        mut cx: Context,
    ) -> Result<Execution, StateError> {
        let result = catch(|| (route.handler)(&mut cx, parts));
        let spent = cx.into_spent();
        let mut panic = None;
        // Why it was ended comes first: a handler cannot make an answer of it.
        let answer = match (spent.end, result) {
            (Some(end), _) => Err(end.into_problem()?),
            (None, Ok(answer)) => answer.and_then(|response| self.check_response(response)),
            (None, Err(Unwound::Panicked(message))) => {
                panic = Some(message);
                Err(panicked(route))
            }
            (None, Err(Unwound::Ended)) => Err(panicked(route)),
        };
        let answer = answer.map_err(as_an_error);
        let writes = if answer.is_ok() {
            spent.writes
        } else {
            Writes::new()
        };
        Ok(Execution {
            answer,
            reads: spent.reads,
            writes,
            steps: spent.steps,
            panic,
        })
    }

    fn check_response(&self, response: Response) -> Result<Response, Problem> {
        let (size, limit) = (response.body.len(), self.service().limits.response_bytes);
        if size > limit {
            let detail = format_args!("the response has {size} bytes, more than {limit} allowed");
            return Err(Problem::new(500, "response-too-large", detail));
        }
        match response.check() {
            Ok(()) => Ok(response),
            Err(malformed) => Err(Problem::new(500, "invalid-response", malformed)),
        }
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor({}, {:?})", self.service().id, self.options)
    }
}

fn panicked(route: &Route) -> Problem {
    let detail = format_args!(
        "the handler of {} {} panicked; the nodes' logs say where",
        route.method, route.pattern
    );
    Problem::new(500, "handler-panicked", detail)
}

/// A refusal's status must be one of an error, or clients take it for success.
fn as_an_error(mut problem: Problem) -> Problem {
    if !(400..=599).contains(&problem.status) {
        problem.status = 500;
    }
    problem
}

/// An operation before its handler has run.
pub(crate) fn unanswered(request: Request, author: Author, time: Timestamp) -> Operation {
    Operation {
        request,
        author,
        time,
        reads: Vec::new(),
        response: Response {
            status: 0,
            content_type: String::new(),
            body: Bytes::new(),
        },
    }
}

/// The context that an operation runs in.
pub(crate) fn origin(operation: &Operation, session: SessionId) -> OperationContext {
    OperationContext {
        operation: operation.id(),
        session,
        client: operation.client(),
        time: operation.time,
    }
}

/// Writes as the changes of the transaction at `version`.
pub(crate) fn versioned(writes: Writes, version: Version) -> Changes {
    let entry = |(key, value): (StateKey, Option<Bytes>)| {
        (key, value.map(|value| Versioned { version, value }))
    };
    writes.into_iter().map(entry).collect()
}
