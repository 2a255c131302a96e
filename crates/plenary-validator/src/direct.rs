//! Direct mode (DeWS): request, compute, consensus, log, response.
//!
//! The validator that a request reaches is its originator: it runs the handler on the finalized
//! state, makes a transaction of the request and the response, and answers once the transaction
//! is final. A handler that refuses is answered at once and leaves no trace. Where another
//! transaction changed what the handler had read, the originator runs it again on the new state,
//! while the client waits; the client's signature is on the request alone, so that is its right.

use crate::{
    error::Refusal,
    finality::{Ending, Landed},
    mempool::Candidate,
    node::Node,
};
use plenary_service::{Route, Simulation};
use plenary_types::{
    Author, Operation, OperationId, Outcome, Problem, Request, Response, SessionId, Stage,
    Transaction, TransactionHash,
};
use std::{sync::Arc, time::Duration};

/// How often a request that meets a conflict is run anew, while its client waits, before it is told.
const ATTEMPTS: usize = 64;

/// How an operation was answered.
#[derive(Debug)]
pub enum Answer {
    /// It is final.
    Final {
        /// The handler's response.
        response: Response,
        /// The transaction.
        transaction: TransactionHash,
        /// Where it is.
        landed: Landed,
        /// Its session.
        session: SessionId,
    },
    /// It is on its way; the wait ended first.
    Pending {
        /// The transaction to ask for.
        transaction: TransactionHash,
    },
    /// The handler refused; there is no trace of it.
    Refused(Response),
}

/// Runs an operation of `route` through consensus, waiting for the outcome up to `wait`.
///
/// # Errors
///
/// Why it was not taken, or what layer 1 decided against it.
pub async fn operate(
    node: &Arc<Node>,
    route: &Route,
    request: Request,
    author: Author,
    wait: Duration,
) -> Result<Answer, Problem> {
    let deadline = tokio::time::Instant::now() + wait;
    let id = author.operation();
    let mut last = Refusal::Stopping.problem();
    let mut _turn = None;
    for _ in 0..ATTEMPTS {
        if let Some(answer) = first_answer(node, &request, id, deadline).await? {
            return Ok(answer);
        }
        let own = node.clone();
        let (asked, by) = (request.clone(), author.clone());
        let originated = node
            .guard
            .run(route, node.now(), move || originate(&own, asked, by))
            .await;
        let candidate = match originated.map_err(|refusal| refusal.problem())? {
            Originated::Transaction(candidate) => candidate,
            Originated::Refused(response) => return Ok(Answer::Refused(response)),
        };
        let hash = candidate.hash;
        let waiter = node.finality.wait(hash);
        if let Err(refusal) = node.submit_validated(candidate) {
            node.finality.forget(&hash);
            match refusal {
                // It was committed between the look and the submission.
                Refusal::Replayed { .. } => continue,
                refusal => return Err(refusal.problem()),
            }
        }
        let ending = tokio::time::timeout_at(deadline, waiter).await;
        match ending {
            Err(_) => {
                node.finality.forget(&hash);
                return Ok(Answer::Pending { transaction: hash });
            }
            Ok(Ok(Ending::Landed(landed))) => {
                match (decided(hash, &landed.outcome), &landed.outcome) {
                    (None, _) => return committed(node, hash, landed),
                    (Some(conflict), Outcome::Conflict { keys, .. }) => {
                        last = conflict;
                        // The turn that it had, at another key perhaps, is over.
                        _turn = None;
                        match tokio::time::timeout_at(deadline, node.turns.take(keys)).await {
                            Ok(turn) => _turn = Some(turn),
                            Err(_) => break,
                        }
                    }
                    (Some(problem), _) => return Err(problem),
                }
            }
            Ok(Ok(Ending::Superseded)) => {}
            Ok(Err(_)) => break,
        }
    }
    Err(last)
}

/// What layer 1 decided against a transaction, as a problem; nothing for a committed one.
pub fn decided(hash: TransactionHash, outcome: &Outcome) -> Option<Problem> {
    let problem = match outcome {
        Outcome::Committed => return None,
        Outcome::Conflict { step, keys } => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let detail = "others changed what the request had read; nothing was applied, send it \
                          again with a new nonce";
            Problem::conflict("conflict", detail)
                .with("step", *step)
                .with("keys", keys)
                .retryable()
        }
        Outcome::Rejected { step, .. } => {
            Problem::new(422, "rejected", outcome).with("step", *step)
        }
    };
    Some(problem.at(Stage::Layer1).about(hash))
}

/// What running a handler as the originator gives.
#[derive(Debug)]
pub enum Originated {
    /// A transaction to submit.
    Transaction(Candidate),
    /// The handler refused.
    Refused(Response),
}

/// Runs the handler on the finalized state and makes a transaction of what it answered.
///
/// # Errors
///
/// Where the state cannot be read.
pub fn originate(node: &Node, request: Request, author: Author) -> Result<Originated, Refusal> {
    let (_, view) = node.store.state().latest();
    match node.executor.simulate(view, request, author, node.now())? {
        Simulation::Refused(problem) => Ok(Originated::Refused(problem.to_response())),
        Simulation::Answered(operation) => {
            let (genesis, service) = (node.genesis.hash(), node.genesis.service.clone());
            let transaction = Transaction::sign(
                &node.key,
                &genesis,
                service,
                vec![operation],
                None,
                Vec::new(),
            )?;
            Ok(Originated::Transaction(Candidate::new(transaction)))
        }
    }
}

/// The answer that the same operation had before, or will have: a retry has one effect.
async fn first_answer(
    node: &Arc<Node>,
    request: &Request,
    id: OperationId,
    deadline: tokio::time::Instant,
) -> Result<Option<Answer>, Problem> {
    if let Some(pending) = node.pending_operation(&id) {
        let waiter = node.finality.wait(pending.hash);
        if node.pending_transaction(&pending.hash).is_some() {
            same_request(&pending.transaction, id, request)?;
            if tokio::time::timeout_at(deadline, waiter).await.is_err() {
                node.finality.forget(&pending.hash);
                return Ok(Some(Answer::Pending {
                    transaction: pending.hash,
                }));
            }
        }
    }
    let located = node
        .store
        .operation(&id)
        .map_err(|error| Refusal::from(error).problem())?;
    let Some(location) = located else {
        return Ok(None);
    };
    let (transaction, outcome) = node
        .transaction_at(location)
        .map_err(|error| error.problem())?;
    same_request(&transaction, id, request)?;
    let landed = Landed {
        height: location.height,
        index: location.index,
        outcome,
    };
    answer_of(node, &transaction, id, landed).map(Some)
}

fn same_request(
    transaction: &Transaction,
    id: OperationId,
    request: &Request,
) -> Result<(), Problem> {
    match operation_of(transaction, id) {
        Some(operation) if operation.request == *request => Ok(()),
        _ => Err(Refusal::NonceReused.problem()),
    }
}

fn operation_of(transaction: &Transaction, id: OperationId) -> Option<&Operation> {
    transaction
        .operations
        .iter()
        .find(|operation| operation.id() == id)
}

fn committed(node: &Node, hash: TransactionHash, landed: Landed) -> Result<Answer, Problem> {
    let (transaction, _) = node
        .transaction_at(landed.location())
        .map_err(|error| error.problem())?;
    assert_eq!(transaction.hash(), hash, "a transaction is where it landed");
    let id = transaction.operations.first().map(Operation::id);
    let id = id.ok_or_else(|| Refusal::NonceReused.problem())?;
    answer_of(node, &transaction, id, landed)
}

fn answer_of(
    node: &Node,
    transaction: &Transaction,
    id: OperationId,
    landed: Landed,
) -> Result<Answer, Problem> {
    let operation = operation_of(transaction, id).ok_or_else(|| Refusal::NonceReused.problem())?;
    Ok(Answer::Final {
        response: operation.response.clone(),
        session: node.executor.session_of(&operation.request, id)?,
        transaction: transaction.hash(),
        landed,
    })
}
