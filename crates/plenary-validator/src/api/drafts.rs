//! `POST drafts`: a session that its client brings itself, because no session node serves it.
//!
//! The client has signed every request and the chain of what it was answered. This validator runs
//! all of it again on its latest final state, as the session's originator. Where every response is
//! the one that the client signed, it makes the transaction and submits it; or else it says which
//! step differs, and nothing is submitted.
//!
//! The times are the client's word, within the bounds that its signatures and
//! [`Node::submit`](crate::node::Node::submit) set: what a handler saw as "now" cannot be had from
//! anybody else.

use super::{Api, transactions::land};
use crate::{
    error::Refusal,
    http::{Failure, reach, read_body},
    mempool::Candidate,
    node::Node,
};
use axum::{body::Body, extract::State, http::HeaderMap, response::Response};
use plenary_service::{Difference, Session, Simulation};
use plenary_types::{
    Commitment, Operation, Problem, Stage, Transaction, limits::MAX_TRANSACTION_BYTES,
    session::Draft,
};
use std::sync::Arc;

pub(super) async fn submit(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let body = read_body(body, MAX_TRANSACTION_BYTES).await?;
    let draft: Draft = plenary_types::decode(body).map_err(|error| {
        let detail = format!("the body is not a canonically encoded session: {error}");
        Problem::bad_request("malformed-draft", detail).at(Stage::Layer1)
    })?;
    let node = &api.node;
    // Nothing is run that its client has not signed, or that was committed before.
    let commitment = draft.commitment;
    let claimed = sign(node, draft.operations.clone(), commitment)?;
    claimed.validate(&node.genesis).map_err(Refusal::from)?;
    node.check(&Candidate::new(claimed))?;
    // On an earlier state than the session's own a step may be answered otherwise.
    reach(&node.finality, &headers).await?;
    let operations = run(node, draft).await?;
    let transaction = sign(node, operations, commitment)?;
    land(&api, &headers, Candidate::new(transaction)).await
}

fn sign(
    node: &Node,
    operations: Vec<Operation>,
    commitment: Option<Commitment>,
) -> Result<Transaction, Refusal> {
    let (genesis, service) = (node.genesis.hash(), node.genesis.service.clone());
    let endorsements = Vec::new();
    let signed = Transaction::sign(
        &node.key,
        &genesis,
        service,
        operations,
        commitment,
        endorsements,
    );
    Ok(signed?)
}

/// Runs a session's operations again, one on another's writes, each under the guard.
async fn run(node: &Arc<Node>, draft: Draft) -> Result<Vec<Operation>, Failure> {
    let (_, view) = node.store.state().latest();
    let count = draft.operations.len();
    let closing = draft.commitment.is_some_and(|it| it.closing);
    let mut session: Option<Session> = None;
    let mut operations = Vec::with_capacity(count);
    for (step, claimed) in draft.operations.into_iter().enumerate() {
        let open = session.unwrap_or_else(|| Session::open(claimed.id().into()));
        let (own, on) = (node.clone(), view.clone());
        let (request, author) = (claimed.request.clone(), claimed.author.clone());
        let route = node.executor.route(&claimed.request)?;
        let job = move || {
            let mut session = open;
            let simulation = match count {
                // As it will be ratified: in the session that its path names.
                1 => own.executor.simulate(on, request, author, claimed.time)?,
                _ => session.simulate(&own.executor, on, request, author, claimed.time)?,
            };
            Ok((simulation, session))
        };
        let (simulation, next) = node.guard.run(route, node.now(), job).await?;
        session = Some(next);
        // The response to the request that ends a session is not the client's to know.
        let seen = !(closing && step + 1 == count);
        let difference = match &simulation {
            Simulation::Answered(own) if seen => {
                Difference::between_responses(&claimed.response, &own.response)
            }
            Simulation::Answered(_) => None,
            Simulation::Refused(problem) if seen => {
                Some(Difference::refusal(&claimed.response, problem.clone()))
            }
            Simulation::Refused(problem) => return Err(problem.clone().into()),
        };
        if let Some(difference) = difference {
            return Err(differs(step, &claimed, &difference).into());
        }
        if let Simulation::Answered(own) = simulation {
            operations.push(own);
        }
    }
    Ok(operations)
}

fn differs(step: usize, claimed: &Operation, difference: &Difference) -> Problem {
    let (method, target) = (claimed.request.method, &claimed.request.target);
    let detail = format!(
        "step {step}, {method} {target}, is answered otherwise than the client has signed, on the \
         state of now ({difference}); nothing was submitted: run the session again"
    );
    Problem::conflict("responses-differ", detail)
        .at(Stage::Layer1)
        .with("step", step)
        .with("difference", difference.to_string())
}
