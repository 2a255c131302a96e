//! The service as its author would serve it alone: axum, one state in memory, one durable log.
//!
//! The handlers are run by the same executor. An answer leaves once the operation is on disk, in the
//! very log that a session node has, with the same groups and the same syncs. What it does not do:
//! no signature is checked or made, nothing is promised, digested or sent to another node, no version
//! is kept, and nothing is committed anywhere else. A handler runs in the task that has the request,
//! and one runs at a time.

use crate::{
    app::App,
    arenas,
    commands::{Failure, start::input_closed, system},
    config::load_genesis,
    network::NetworkError,
};
use axum::{
    Router,
    extract::{Request as HttpRequest, State as Shared},
    response::Response as HttpResponse,
    serve::ListenerExt as _,
};
use parking_lot::{Mutex, RwLock};
use plenary_service::{Executor, OperationContext, Options, StateError, StateView, Writes};
use plenary_session::log::{Log, in_directory};
use plenary_types::{
    Author, Changes, Genesis, Operation, Request, Response, SessionId, StateKey, Timestamp,
    Version, Versioned, encode, genesis::ClientSignatures,
};
use plenary_validator::{
    error::Refusal,
    http::{Failure as Problem, author, from_http, to_http},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::oneshot};

/// Serve the handlers behind a plain web server.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The genesis whose config the state starts from
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Where the log is written
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Serves until standard input is closed. Prints its URL once it listens.
pub(crate) fn run(app: &App, args: &Args) -> Result<(), Failure> {
    arenas::limit();
    let executor = Executor::new(app.service.clone(), Options::default());
    let executor = executor.map_err(NetworkError::Service)?;
    let genesis = load_genesis(&args.genesis)?;
    let plain = Arc::new(Plain::new(executor, &genesis, &args.data_dir)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(system("threads"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(system("a port on loopback"))?;
        let address = listener
            .local_addr()
            .map_err(system("a port on loopback"))?;
        println!("http://{address}");
        let listener = listener.tap_io(|connection| {
            // A connection that stays with Nagle's algorithm is served all the same.
            let _ = connection.set_nodelay(true);
        });
        let router = Router::new().fallback(serve).with_state(plain.clone());
        tokio::select! {
            served = axum::serve(listener, router) => served.map_err(system("to serve HTTP")),
            _ = input_closed(true) => Ok(()),
        }
    })?;
    plain.log.stop();
    Ok(())
}

/// The state, all of it in memory.
struct State(RwLock<Changes>);

impl StateView for State {
    fn get(&self, key: &StateKey) -> Result<Option<Versioned>, StateError> {
        StateView::get(&*self.0.read(), key)
    }

    fn range(
        &self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, StateError> {
        StateView::range(&*self.0.read(), from, to, limit)
    }
}

impl State {
    fn keep(&self, writes: Writes) {
        let version = Version::default();
        let written = writes.into_iter().map(|(key, value)| {
            let value = value.map(|value| Versioned { version, value });
            (key, value)
        });
        self.0.write().extend(written);
    }
}

/// The server's parts.
struct Plain {
    executor: Executor,
    state: Arc<State>,
    /// Held by the one operation that runs.
    running: Mutex<()>,
    log: Log,
}

impl Plain {
    fn new(executor: Executor, genesis: &Genesis, data_dir: &Path) -> Result<Self, Failure> {
        let changes = executor.genesis(genesis).map_err(NetworkError::Seed)?;
        let failed = |reason| eprintln!("error: {reason}");
        let (log, _) = in_directory(data_dir)
            .and_then(|file| Log::grouped(file, failed))
            .map_err(super::PlainFailure::Log)?;
        Ok(Self {
            executor,
            state: Arc::new(State(RwLock::new(changes))),
            running: Mutex::new(()),
            log,
        })
    }

    /// Runs an operation and keeps what it writes; nothing to log where it is refused.
    fn operate(
        &self,
        request: Request,
        author: Author,
        session: SessionId,
    ) -> Result<(Response, Option<Operation>), Refusal> {
        let origin = OperationContext {
            operation: author.operation(),
            session,
            client: None,
            time: now(),
        };
        let _alone = self.running.lock();
        let (view, nothing) = (self.state.clone(), Arc::default());
        let execution = self.executor.execute(view, &nothing, origin, &request)?;
        let response = execution.response();
        let operation = execution.answer.is_ok().then(|| Operation {
            request,
            author,
            time: origin.time,
            reads: Vec::new(),
            response: response.clone(),
        });
        self.state.keep(execution.writes);
        Ok((response, operation))
    }
}

async fn serve(
    Shared(plain): Shared<Arc<Plain>>,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (parts, request) = from_http(http).await?;
    let route = plain.executor.route(&request)?;
    if !route.is_operation() {
        let read = plain.executor.read(plain.state.clone(), &request, now());
        return Ok(to_http(read.map_err(Refusal::from)?.response()));
    }
    let author = author(&parts, &request, ClientSignatures::Optional, now())?;
    let session = plain.executor.session_of(&request, author.operation())?;
    let (response, operation) = plain.operate(request, author, session)?;
    if let Some(operation) = operation {
        let (durable, written) = oneshot::channel();
        plain.log.append(session, encode(&operation), || {
            // Who asked may be gone.
            let _ = durable.send(());
        });
        written.await.map_err(|_| Refusal::Stopping)?;
        if route.commits_session() {
            plain.log.forget(session);
        }
    }
    Ok(to_http(response))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.unwrap_or_default().as_millis() as u64)
}
