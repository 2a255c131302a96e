//! Direct mode (DeWS): request, compute, consensus, log, response.
//!
//! The validator that a request reaches is its originator: it runs the handler on the finalized
//! state, makes a transaction of the request and the response, and answers once the transaction
//! is final. A handler that refuses is answered at once and leaves no trace. Where another
//! transaction changed what the handler had read, the originator runs it again on the new state,
//! while the client waits; the client's signature is on the request alone, so that is its right.

use crate::{
    error::Refusal,
    finality::{Ending, Finality, Landed},
    guard::Guard,
    lookup::transaction_at,
    turns::Turns,
};
use plenary_service::{Executor, Route, Simulation};
use plenary_store::Store;
use plenary_types::{
    Author, Genesis, Operation, OperationId, Outcome, PrivateKey, Problem, Request, Response,
    SessionId, Stage, Timestamp, Transaction, TransactionHash,
};
use std::{sync::Arc, time::Duration};

/// How often a request that meets a conflict is run anew, while its client waits, before it is told.
const ATTEMPTS: usize = 64;

/// A node that originates transactions of single operations: a validator, or a session node for
/// requests outside of any session.
pub trait Originator: Send + Sync + 'static {
    /// The node's key.
    fn key(&self) -> &PrivateKey;
    /// The network.
    fn genesis(&self) -> &Genesis;
    /// The executor of the service.
    fn executor(&self) -> &Executor;
    /// State and ledger.
    fn store(&self) -> &Store;
    /// Who waits for which transaction.
    fn finality(&self) -> &Finality;
    /// Where handlers run.
    fn guard(&self) -> &Guard;
    /// Who is next at a contended key.
    fn turns(&self) -> &Turns;
    /// The node's clock.
    fn now(&self) -> Timestamp;
    /// The transaction with this operation that is on its way through this node.
    fn waiting(&self, id: &OperationId) -> Option<Transaction>;
    /// Sends a transaction that is valid, for the node has just made it, on its way.
    ///
    /// # Errors
    ///
    /// Why it is not taken.
    fn submit(&self, transaction: Transaction) -> Result<(), Refusal>;
}

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
pub async fn operate<N: Originator>(
    node: &Arc<N>,
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
            .guard()
            .run(route, node.now(), move || originate(&*own, asked, by))
            .await;
        let transaction = match originated.map_err(|refusal| refusal.problem())? {
            Originated::Transaction(transaction) => transaction,
            Originated::Refused(response) => return Ok(Answer::Refused(response)),
        };
        let hash = transaction.hash();
        let waiter = node.finality().wait(hash);
        if let Err(refusal) = node.submit(transaction) {
            node.finality().forget(&hash);
            match refusal {
                // It was committed between the look and the submission.
                Refusal::Replayed { .. } => continue,
                refusal => return Err(refusal.problem()),
            }
        }
        let ending = tokio::time::timeout_at(deadline, waiter).await;
        match ending {
            Err(_) => {
                node.finality().forget(&hash);
                return Ok(Answer::Pending { transaction: hash });
            }
            Ok(Ok(Ending::Landed(landed))) => {
                match (decided(hash, &landed.outcome), &landed.outcome) {
                    (None, _) => return committed(&**node, hash, landed),
                    (Some(conflict), Outcome::Conflict { keys, .. }) => {
                        last = conflict;
                        // The turn that it had, at another key perhaps, is over.
                        _turn = None;
                        match tokio::time::timeout_at(deadline, node.turns().take(keys)).await {
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
    Transaction(Transaction),
    /// The handler refused.
    Refused(Response),
}

/// Runs the handler on the finalized state and makes a transaction of what it answered.
///
/// # Errors
///
/// Where the state cannot be read.
pub fn originate(
    node: &impl Originator,
    request: Request,
    author: Author,
) -> Result<Originated, Refusal> {
    let (_, view) = node.store().state().latest();
    let simulated = node
        .executor()
        .simulate(view, request, author, node.now())?;
    match simulated {
        Simulation::Refused(problem) => Ok(Originated::Refused(problem.to_response())),
        Simulation::Answered(operation) => {
            let (genesis, service) = (node.genesis().hash(), node.genesis().service.clone());
            let operations = vec![operation];
            let transaction =
                Transaction::sign(node.key(), &genesis, service, operations, None, Vec::new())?;
            Ok(Originated::Transaction(transaction))
        }
    }
}

/// The answer that the same operation had before, or will have: a retry has one effect.
async fn first_answer<N: Originator>(
    node: &Arc<N>,
    request: &Request,
    id: OperationId,
    deadline: tokio::time::Instant,
) -> Result<Option<Answer>, Problem> {
    if let Some(pending) = node.waiting(&id) {
        let hash = pending.hash();
        let waiter = node.finality().wait(hash);
        if node.waiting(&id).is_some_and(|still| still.hash() == hash) {
            same_request(&pending, id, request)?;
            if tokio::time::timeout_at(deadline, waiter).await.is_err() {
                node.finality().forget(&hash);
                return Ok(Some(Answer::Pending { transaction: hash }));
            }
        }
    }
    answered_before(&**node, request, id)
}

/// The final answer that an operation has had, alone or in a session.
///
/// # Errors
///
/// Where the ledger cannot be read, or the operation was of another request.
pub fn answered_before(
    node: &impl Originator,
    request: &Request,
    id: OperationId,
) -> Result<Option<Answer>, Problem> {
    let located = node.store().operation(&id);
    let located = located.map_err(|error| Refusal::from(error).problem())?;
    let Some(location) = located else {
        return Ok(None);
    };
    let (transaction, outcome) =
        transaction_at(node.store(), location).map_err(|error| error.problem())?;
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

fn committed(
    node: &impl Originator,
    hash: TransactionHash,
    landed: Landed,
) -> Result<Answer, Problem> {
    let (transaction, _) =
        transaction_at(node.store(), landed.location()).map_err(|error| error.problem())?;
    assert_eq!(transaction.hash(), hash, "a transaction is where it landed");
    let id = transaction.operations.first().map(Operation::id);
    let id = id.ok_or_else(|| Refusal::NonceReused.problem())?;
    answer_of(node, &transaction, id, landed)
}

fn answer_of(
    node: &impl Originator,
    transaction: &Transaction,
    id: OperationId,
    landed: Landed,
) -> Result<Answer, Problem> {
    let operation = operation_of(transaction, id).ok_or_else(|| Refusal::NonceReused.problem())?;
    let session = match transaction.session() {
        Some(session) if transaction.operations.len() > 1 => session,
        _ => node.executor().session_of(&operation.request, id)?,
    };
    Ok(Answer::Final {
        response: operation.response.clone(),
        session,
        transaction: transaction.hash(),
        landed,
    })
}
