//! For a service's own tests: a network of one, in memory, in the time of a function call.
//!
//! Every request runs as in direct mode: a handler runs twice and the runs are compared, what it
//! answers becomes a transaction, and the transaction is ratified on the same executor that the
//! validators use. Whatever is wrong panics with what to look at, as a test should.
//!
//! ```
//! use plenary_service::{prelude::*, testing::TestService};
//! use serde_json::json;
//!
//! const VOTES: Table<String, u64> = Table::new("votes");
//! fn vote(cx: &mut Context, Path(motion): Path<String>) -> Result<Json<u64>, Problem> {
//!     let votes = VOTES.get(cx, &motion)?.unwrap_or(0) + 1;
//!     VOTES.put(cx, &motion, &votes)?;
//!     Ok(Json(votes))
//! }
//!
//! let mut service = TestService::new(Service::new("assembly", "1.0.0").post("/vote/{motion}", vote));
//! assert_eq!(service.post("/vote/budget", None).expect(200), json!(1));
//! assert_eq!(service.post("/vote/budget", None).expect(200), json!(2));
//! ```

use crate::{
    budget::Limits,
    context::{Context, OperationContext},
    executor::{Executor, Options, Simulation, unanswered},
    service::Service,
    session::Session,
    state::StateView,
};
use plenary_types::{
    Author, Changes, ClientSignature, Commitment, Genesis, Method, Operation, OperationId, Outcome,
    PrivateKey, Problem, Request, Response, ServiceId, SessionId, StateKey, Timestamp, Transaction,
    Version,
    genesis::{ClientSignatures, Member},
    session::chain_digest,
};
use serde_json::Value;
use std::{fmt, sync::Arc};

/// Where the clients of tests believe the service to be.
const ORIGIN: &str = "http://service.test";
/// When the networks of tests begin: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp(1_767_225_600_000);

/// A service with state in memory; see the [module](self).
pub struct TestService {
    executor: Executor,
    genesis: Genesis,
    state: Arc<Changes>,
    height: u64,
    now: Timestamp,
    client: PrivateKey,
    nonce: u64,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResponse {
    asked: String,
    response: Response,
}

/// A session of a [`TestService`]: its operations change nothing until it commits.
#[derive(Debug, Clone)]
pub struct TestSession {
    session: Option<Session>,
    client: PrivateKey,
    operations: Vec<Operation>,
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

#[track_caller]
fn or_panic<T, E: fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

impl TestService {
    /// A new network with the service's default config.
    ///
    /// # Panics
    ///
    /// Where the service's declaration is wrong, or its genesis function refuses.
    #[track_caller]
    pub fn new(service: Service) -> Self {
        let config = service.config().clone();
        Self::with_config(service, config)
    }

    /// A new network with another config in its genesis.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn with_config(service: Service, config: Value) -> Self {
        let id: ServiceId = service.id().clone();
        let executor = or_panic(Executor::new(service, Options { double_run: true }));
        let members = (200..204).map(|seed| Member {
            name: format!("validator-{seed}"),
            key: key(seed).public_key(),
        });
        let genesis = or_panic(Genesis::new(
            "test",
            START,
            ClientSignatures::Required,
            id,
            members.collect(),
            Vec::new(),
            config,
        ));
        let state = Arc::new(or_panic(executor.genesis(&genesis)));
        Self {
            executor,
            genesis,
            state,
            height: 0,
            now: START,
            client: key(1),
            nonce: 0,
        }
    }

    /// Makes the requests that follow those of client number `client`; tests begin as client 1.
    pub fn as_client(&mut self, client: u8) -> &mut Self {
        self.client = key(client);
        self
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    /// How many transactions were committed.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The state, as committed.
    pub fn state(&self) -> &Changes {
        &self.state
    }

    /// Looks into tables as a handler does: `service.inspect(|cx| STOCK.get(cx, &item))`. What
    /// the function writes is dropped.
    ///
    /// # Panics
    ///
    /// Where it refuses.
    #[track_caller]
    pub fn inspect<T>(&self, look: impl FnOnce(&mut Context) -> Result<T, Problem>) -> T {
        let operation = OperationId::of("plenary test inspection", &[]);
        let origin = OperationContext {
            operation,
            session: operation.into(),
            client: None,
            time: self.now,
        };
        let mut cx = Context::new(origin, self.view(), Arc::default(), Limits::NONE, true);
        or_panic(look(&mut cx))
    }

    /// `GET target`.
    ///
    /// # Panics
    ///
    /// Where a handler is not deterministic or a validator would not have agreed.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> TestResponse {
        self.send(self.request(Method::Get, target, None))
    }

    /// `POST target` with a JSON body, or with none.
    ///
    /// # Panics
    ///
    /// Where a handler is not deterministic or a validator would not have agreed.
    #[track_caller]
    pub fn post(&mut self, target: &str, body: impl Into<Option<Value>>) -> TestResponse {
        self.send(self.request(Method::Post, target, body.into()))
    }

    /// Sends any request.
    ///
    /// # Panics
    ///
    /// Where a handler is not deterministic or a validator would not have agreed.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> TestResponse {
        let asked = format!("{} {}", request.method, request.target);
        let is_read = self
            .executor
            .route(&request)
            .is_ok_and(|route| !route.is_operation());
        let response = if is_read {
            or_panic(self.executor.read(self.view(), &request, self.now)).response()
        } else {
            self.operate(request)
        };
        TestResponse { asked, response }
    }

    #[track_caller]
    fn operate(&mut self, request: Request) -> Response {
        let author = self.sign(&request);
        let simulated = self
            .executor
            .simulate(self.view(), request, author, self.now);
        match or_panic(simulated) {
            Simulation::Refused(problem) => problem.to_response(),
            Simulation::Answered(operation) => {
                let response = operation.response.clone();
                let outcome = self.commit(vec![operation], None);
                assert_eq!(outcome, Outcome::Committed, "validators would not agree");
                response
            }
        }
    }

    /// A session of the current client, for operations that commit together.
    pub fn session(&self) -> TestSession {
        TestSession {
            session: None,
            client: self.client,
            operations: Vec::new(),
        }
    }

    /// Ratifies a transaction of `operations` and applies it where it is committed.
    #[track_caller]
    fn commit(&mut self, operations: Vec<Operation>, commitment: Option<Commitment>) -> Outcome {
        let transaction = or_panic(Transaction::sign(
            &key(200),
            &self.genesis.hash(),
            self.genesis.service.clone(),
            operations,
            commitment,
            Vec::new(),
        ));
        or_panic(transaction.validate(&self.genesis));
        let version = Version {
            height: self.height + 1,
            index: 0,
        };
        let ratified = or_panic(self.executor.ratify(self.view(), &transaction, version));
        if ratified.outcome == Outcome::Committed {
            self.height += 1;
            let state = Arc::make_mut(&mut self.state);
            state.extend(ratified.changes);
            state.retain(|_: &StateKey, change| change.is_some());
        }
        ratified.outcome
    }

    fn view(&self) -> Arc<dyn StateView> {
        self.state.clone()
    }

    fn request(&self, method: Method, target: &str, body: Option<Value>) -> Request {
        let body = body.map(|body| body.to_string());
        Request {
            method,
            target: target.to_owned(),
            content_type: body.as_ref().map_or("", |_| "application/json").to_owned(),
            body: body.unwrap_or_default().into(),
        }
    }

    #[track_caller]
    fn sign(&mut self, request: &Request) -> Author {
        self.nonce += 1;
        let nonce = format!("nonce-{}", self.nonce);
        let created = self.now.0 / 1000;
        let signed = ClientSignature::sign(&self.client, request, ORIGIN, &nonce, created);
        Author::Signed(or_panic(signed))
    }
}

impl TestSession {
    /// `GET target` in the session.
    ///
    /// # Panics
    ///
    /// Where a handler is not deterministic.
    #[track_caller]
    pub fn get(&mut self, service: &mut TestService, target: &str) -> TestResponse {
        self.send(service, service.request(Method::Get, target, None))
    }

    /// `POST target` in the session, with a JSON body or with none.
    ///
    /// # Panics
    ///
    /// Where a handler is not deterministic.
    #[track_caller]
    pub fn post(
        &mut self,
        service: &mut TestService,
        target: &str,
        body: impl Into<Option<Value>>,
    ) -> TestResponse {
        self.send(service, service.request(Method::Post, target, body.into()))
    }

    #[track_caller]
    fn send(&mut self, service: &mut TestService, request: Request) -> TestResponse {
        let asked = format!("{} {}", request.method, request.target);
        let author = {
            let current = std::mem::replace(&mut service.client, self.client);
            let author = service.sign(&request);
            service.client = current;
            author
        };
        let session = self.session.get_or_insert_with(|| {
            let first = unanswered(request.clone(), author.clone(), service.now);
            Session::open(first.id().into())
        });
        let simulated = session.simulate(
            &service.executor,
            service.view(),
            request,
            author,
            service.now,
        );
        let response = match or_panic(simulated) {
            Simulation::Refused(problem) => problem.to_response(),
            Simulation::Answered(operation) => {
                let response = operation.response.clone();
                self.operations.push(operation);
                response
            }
        };
        TestResponse { asked, response }
    }

    /// The session's name.
    ///
    /// # Panics
    ///
    /// Before its first operation.
    #[track_caller]
    pub fn id(&self) -> SessionId {
        match &self.session {
            Some(session) => session.id(),
            None => panic!("a session is named by its first operation, and there is none yet"),
        }
    }

    /// Commits all operations of the session as one transaction.
    ///
    /// # Panics
    ///
    /// Where the session has no operation.
    #[track_caller]
    pub fn commit(self, service: &mut TestService) -> Outcome {
        let genesis = service.genesis.hash();
        let commitment = Commitment::sign(&self.client, &genesis, &chain_digest(&self.operations));
        service.commit(self.operations, Some(commitment))
    }
}

impl TestResponse {
    /// The status.
    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// The response.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.response.body).unwrap_or_default()
    }

    /// Asserts the status and returns the body as JSON.
    ///
    /// # Panics
    ///
    /// Where the status is another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        let body = String::from_utf8_lossy(&self.response.body);
        assert_eq!(
            self.response.status, status,
            "{} answered {body}",
            self.asked
        );
        self.json()
    }

    /// Asserts a problem's status and code, and returns its detail.
    ///
    /// # Panics
    ///
    /// Where the response is another.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> String {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{} answered {problem}", self.asked);
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }
}
