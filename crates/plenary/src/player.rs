//! Playing a workflow: at one layer or the other, step by step, with a clock.

use crate::{
    commands::Failure,
    config::Role,
    demo::{Answers, Demo, MissingAnswer, Step},
    keys,
    network::Network,
    supervise::Cluster,
};
use bytes::Bytes;
use plenary_client::{Answer, Client, ClientError, Session};
use plenary_service::{Executor, SessionRole};
use plenary_types::{Method, Problem, Request, TransactionHash};
use std::time::{Duration, Instant};

/// Which layer a workflow is played at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Validators, each request by itself.
    Direct,
    /// Session nodes: what the routes declare to be a session is one, with all that is asked for
    /// while it is open.
    Sessions,
}

/// A client of the network, which knows the service's routes.
pub(crate) struct Player<'a> {
    pub(crate) client: Client,
    executor: &'a Executor,
    layer: Layer,
    /// Whether it fetches and checks the receipts of its sessions.
    receipts: bool,
}

/// A workflow that is being played.
pub(crate) struct Playing<'a> {
    player: &'a Player<'a>,
    steps: std::slice::Iter<'a, Step>,
    answers: Answers,
    session: Option<Session>,
}

/// One step that was played, whatever came of it.
#[derive(Debug)]
pub(crate) struct Played {
    /// Its name.
    pub(crate) step: String,
    pub(crate) method: Method,
    /// The pattern of its route, or its path where there is no route.
    pub(crate) endpoint: String,
    /// Whether it is answered by layer 2, without consensus.
    pub(crate) at_layer2: bool,
    /// Whether it commits a session.
    pub(crate) commits: bool,
    /// From the request to the answer and the end of its checks, or to the refusal.
    pub(crate) latency: Duration,
    /// How long it took after that to fetch and check the receipt.
    pub(crate) receipt: Option<Duration>,
}

/// What came of a step that was done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) status: u16,
    /// The block that has it; nothing for a step of a session, and for what only reads.
    pub(crate) height: Option<u64>,
    pub(crate) transaction: Option<TransactionHash>,
}

/// A step needs what no answer has.
#[derive(Debug, thiserror::Error)]
#[error("step `{step}`: {error}")]
pub(crate) struct Unplayable {
    /// The step.
    pub(crate) step: String,
    /// What it needs.
    error: MissingAnswer,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepFailure {
    /// It was refused.
    #[error("step `{step}` was answered with status {status}: {body}")]
    Refused {
        /// The step.
        step: String,
        /// The problem's code, or the status where the answer is none.
        code: String,
        /// The answer's status.
        status: u16,
        /// The answer's body.
        body: String,
    },
    /// There is no answer, or none that can be trusted.
    #[error("step `{step}`: {error}")]
    Client {
        /// The step.
        step: String,
        /// What went wrong.
        error: Box<ClientError>,
    },
}

/// An answer, and where it is in the ledger.
struct Sent {
    done: Done,
    body: Bytes,
    receipt: Option<Duration>,
}

impl<'a> Player<'a> {
    /// A client of the network that `cluster` runs, with the key in the network's directory.
    pub(crate) fn new(
        cluster: &Cluster,
        network: &Network,
        executor: &'a Executor,
        layer: Layer,
    ) -> Result<Self, Failure> {
        let client = Client::new(cluster.urls(Role::Validator))?
            .with_genesis(network.genesis.clone())
            .with_key(keys::load(&network.client_key_path())?);
        let client = match layer {
            Layer::Direct => client,
            Layer::Sessions => client.with_session_nodes(cluster.urls(Role::Session))?,
        };
        Ok(Self::of(client, executor, layer, true))
    }

    /// Any client; `receipts` says whether it fetches and checks the receipts of its sessions.
    pub(crate) fn of(client: Client, executor: &'a Executor, layer: Layer, receipts: bool) -> Self {
        Self {
            client,
            executor,
            layer,
            receipts,
        }
    }

    /// Begins to play a workflow.
    pub(crate) fn begin(&'a self, demo: &'a Demo) -> Playing<'a> {
        Playing {
            player: self,
            steps: demo.steps.iter(),
            answers: Answers::default(),
            session: None,
        }
    }

    async fn send(
        &self,
        request: &Request,
        role: Option<&SessionRole>,
        session: &mut Option<Session>,
    ) -> Result<Sent, ClientError> {
        match (role, session) {
            (Some(SessionRole::Opens), session) => {
                let opened = self.client.open_with(request, None).await?;
                let opened = session.insert(opened);
                let response = opened.steps().first().map(|step| step.response().clone());
                Ok(Sent {
                    done: Done {
                        status: response.as_ref().map_or(0, |response| response.status),
                        height: None,
                        transaction: None,
                    },
                    body: response.map(|response| response.body).unwrap_or_default(),
                    receipt: None,
                })
            }
            (Some(SessionRole::Commits { .. }), Some(session)) => {
                self.commit(session, request).await
            }
            (_, Some(session)) => Ok(session.send(request, None).await?.into()),
            (_, None) => Ok(self.client.send(request, None).await?.into()),
        }
    }

    async fn commit(&self, session: &mut Session, request: &Request) -> Result<Sent, ClientError> {
        let closed = session.close_by(request).await?;
        let answered = Instant::now();
        let mut receipt = None;
        if self.receipts {
            session.prove(&closed).await?;
            receipt = Some(answered.elapsed());
        }
        let response = closed.response;
        Ok(Sent {
            done: Done {
                status: response.as_ref().map_or(200, |response| response.status),
                height: closed.height,
                transaction: Some(closed.transaction),
            },
            body: response.map(|response| response.body).unwrap_or_default(),
            receipt,
        })
    }
}

impl Playing<'_> {
    /// Plays the next step; nothing after the last one, and nothing after one that was not done.
    pub(crate) async fn next(
        &mut self,
    ) -> Result<Option<(Played, Result<Done, StepFailure>)>, Unplayable> {
        let Some(step) = self.steps.next() else {
            return Ok(None);
        };
        let call = (step.call)(&self.answers).map_err(|error| Unplayable {
            step: step.name.clone(),
            error,
        })?;
        let request = &call.request;
        let route = self.player.executor.route(request).ok();
        let role = match self.player.layer {
            Layer::Direct => None,
            Layer::Sessions => route.and_then(|route| route.role()),
        };
        let at_layer2 = match role {
            Some(SessionRole::Opens) => true,
            Some(SessionRole::Commits { .. }) => false,
            Some(SessionRole::In { .. }) | None => self.session.is_some(),
        };
        let started = Instant::now();
        let sent = self.player.send(request, role, &mut self.session).await;
        if matches!(role, Some(SessionRole::Commits { .. })) {
            self.session = None;
        }
        let receipt = sent.as_ref().ok().and_then(|sent| sent.receipt);
        let latency = started.elapsed() - receipt.unwrap_or_default();
        let end = match sent {
            Ok(sent) if sent.done.status < 400 => {
                self.answers.add(&step.name, sent.body);
                Ok(sent.done)
            }
            failed => {
                // What follows needs what this one did not do.
                self.steps = [].iter();
                Err(StepFailure::of(&step.name, failed))
            }
        };
        let played = Played {
            step: step.name.clone(),
            method: request.method,
            endpoint: route
                .map_or(request.path(), |route| route.pattern())
                .to_owned(),
            at_layer2,
            commits: matches!(role, Some(SessionRole::Commits { .. })),
            latency,
            receipt,
        };
        Ok(Some((played, end)))
    }
}

impl StepFailure {
    fn of(step: &str, failed: Result<Sent, ClientError>) -> Self {
        let step = step.to_owned();
        match failed {
            Ok(Sent { done, body, .. }) => Self::Refused {
                step,
                code: serde_json::from_slice(&body).map_or_else(
                    |_| done.status.to_string(),
                    |problem: Problem| problem.code.clone(),
                ),
                status: done.status,
                body: String::from_utf8_lossy(&body).into_owned(),
            },
            Err(ClientError::Problem { problem, .. }) => Self::Refused {
                step,
                code: problem.code.clone(),
                status: problem.status,
                body: Problem::to_string(&problem),
            },
            Err(error) => Self::Client {
                step,
                error: Box::new(error),
            },
        }
    }
}

impl StepFailure {
    /// What kind of failure it is, in one word.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Refused { code, .. } => code.clone(),
            Self::Client { error, .. } => match **error {
                ClientError::Unreachable { .. } => "unreachable",
                ClientError::Form { .. } => "unreadable",
                ClientError::Unproven { .. } => "unproven",
                ClientError::Broken(_) => "broken-promise",
                ClientError::NotCommitted(_) => "not-committed",
                ClientError::Pending { .. } => "pending",
                _ => "client",
            }
            .into(),
        }
    }
}

impl From<Answer> for Sent {
    fn from(answer: Answer) -> Self {
        Self {
            done: Done {
                status: answer.status,
                height: answer.transaction.and(answer.height),
                transaction: answer.transaction,
            },
            body: answer.body,
            receipt: None,
        }
    }
}
