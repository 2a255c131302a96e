//! Playing a workflow: at one layer or the other, step by step, with a clock.

use super::DemoFailure;
use crate::{
    commands::Failure,
    demo::{Answers, Demo, Step},
};
use bytes::Bytes;
use plenary_client::{Client, ClientError, Session};
use plenary_service::{Executor, SessionRole};
use plenary_types::{Request, TransactionHash};
use std::time::{Duration, Instant};

/// One step as it was played.
#[derive(Debug, Clone)]
pub(super) struct Played {
    pub(super) step: String,
    pub(super) route: String,
    pub(super) status: u16,
    pub(super) latency: Duration,
    /// The block that has it; nothing for a step of a session.
    pub(super) height: Option<u64>,
    pub(super) transaction: Option<TransactionHash>,
}

/// Which layer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// Validators, each request by itself.
    Direct,
    /// Session nodes: what the routes declare to be a session is one.
    Sessions,
}

/// A client of the network, which knows the service's routes.
pub(super) struct Player<'a> {
    pub(super) client: Client,
    pub(super) executor: &'a Executor,
    pub(super) layer: Layer,
}

/// What came of a request.
struct Sent {
    status: u16,
    body: Bytes,
    height: Option<u64>,
    transaction: Option<TransactionHash>,
}

impl Player<'_> {
    /// Plays the whole workflow once.
    pub(super) async fn round(&self, demo: &Demo) -> Result<Vec<Played>, Failure> {
        let (mut answers, mut session) = (Answers::default(), None);
        let mut round = Vec::with_capacity(demo.steps.len());
        for step in &demo.steps {
            round.push(self.step(step, &mut answers, &mut session).await?);
        }
        Ok(round)
    }

    async fn step(
        &self,
        step: &Step,
        answers: &mut Answers,
        session: &mut Option<Session>,
    ) -> Result<Played, Failure> {
        let call = (step.call)(answers).map_err(|error| DemoFailure::Missing {
            step: step.name.clone(),
            error,
        })?;
        let started = Instant::now();
        let sent = self.send(&call.request, session).await;
        let latency = started.elapsed();
        let refused = |status, body: String| DemoFailure::Refused {
            step: step.name.clone(),
            status,
            body,
        };
        let sent = match sent {
            Err(ClientError::Problem { problem, .. }) => {
                return Err(refused(problem.status, problem.to_string()).into());
            }
            Ok(sent) if sent.status >= 400 => {
                let body = String::from_utf8_lossy(&sent.body).into_owned();
                return Err(refused(sent.status, body).into());
            }
            other => other?,
        };
        answers.add(&step.name, &sent.body);
        Ok(Played {
            step: step.name.clone(),
            route: self.route(&call.request),
            status: sent.status,
            latency,
            height: sent.height,
            transaction: sent.transaction,
        })
    }

    async fn send(
        &self,
        request: &Request,
        session: &mut Option<Session>,
    ) -> Result<Sent, ClientError> {
        let route = self.executor.route(request).ok();
        let role = match self.layer {
            Layer::Direct => None,
            Layer::Sessions => route.and_then(|route| route.role()),
        };
        match (role, session) {
            (Some(SessionRole::Opens), session) => {
                let opened = self.client.open_with(request, None).await?;
                let opened = session.insert(opened);
                let response = opened.steps().first().map(|step| step.response().clone());
                Ok(Sent {
                    status: response.as_ref().map_or(0, |response| response.status),
                    body: response.map(|response| response.body).unwrap_or_default(),
                    height: None,
                    transaction: None,
                })
            }
            (Some(SessionRole::In { .. }), Some(session)) => {
                let answer = session.send(request, None).await?;
                Ok(Sent {
                    status: answer.status,
                    body: answer.body,
                    height: None,
                    transaction: None,
                })
            }
            (Some(SessionRole::Commits { .. }), Some(session)) => {
                let committed = session.commit_by(request).await?;
                let response = committed.response();
                Ok(Sent {
                    status: response.map_or(0, |response| response.status),
                    body: response
                        .map(|response| response.body.clone())
                        .unwrap_or_default(),
                    height: Some(committed.height()),
                    transaction: Some(committed.transaction.hash()),
                })
            }
            _ => {
                let answer = self.client.send(request, None).await?;
                Ok(Sent {
                    status: answer.status,
                    body: answer.body,
                    height: answer.height,
                    transaction: answer.transaction,
                })
            }
        }
    }

    /// The route that a request takes, or its path where there is none.
    fn route(&self, request: &Request) -> String {
        let route = self.executor.route(request);
        let pattern = route
            .as_ref()
            .map_or(request.path(), |route| route.pattern());
        format!("{} {pattern}", request.method)
    }
}
