//! Committing a session, giving it up, and running it again after a conflict.
//!
//! What a commit costs beyond its last step: the client's commitment is checked and the transaction
//! signed; one wait for the disk, so that a crash finds the transaction again; one message to the
//! validator that leads next; and what layer 1 costs. The session is decided when this node has
//! verified and executed the block that has it: no validator's word is taken for it.

use crate::{
    error::Refusal,
    feed::Event,
    message::{Given, Owner},
    node::Node,
    record::Record,
    session::{Entry, Live, Status, Step},
    step::{lock, not_open},
};
use plenary_service::{Simulation, Writes};
use plenary_types::{
    Commitment, Endorsement, Operation, Outcome, Request, Response, Signature, Transaction, encode,
};
use plenary_validator::lookup::transaction_at;
use serde_json::{Value, json};
use std::sync::Arc;

/// A client's word on a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It has seen the whole chain, and signed it, if it signs.
    Whole(Option<Signature>),
    /// The last step is the request that asked for the commit; the signature was made with it.
    Closing(Option<Signature>),
}

/// A step that was run again after a conflict.
#[derive(Debug, Clone)]
pub struct Rerun {
    /// The step as it is now.
    pub step: Step,
    /// What it was answered before.
    pub before: Response,
}

impl Rerun {
    /// What changed, as clients are told.
    pub fn change(&self) -> Value {
        let (sequence, now) = (self.step.promise.sequence, &self.step.operation);
        change(sequence, &now.request, &self.before, &now.response)
    }
}

/// What a request was answered, and is answered now that it is run again.
fn change(sequence: u32, request: &Request, before: &Response, after: &Response) -> Value {
    json!({
        "sequence": sequence,
        "method": request.method,
        "target": request.target,
        "changed": before != after,
        "before": answered(before),
        "after": answered(after),
    })
}

fn answered(response: &Response) -> Value {
    let body: Value = serde_json::from_slice(&response.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&response.body).into());
    json!({ "status": response.status, "content_type": response.content_type, "body": body })
}

impl Node {
    /// Sends a session to layer 1, unless it is on its way already. What comes of it, the session's
    /// feed tells.
    ///
    /// # Errors
    ///
    /// Why it cannot be committed; it is as it was.
    pub fn commit(self: &Arc<Self>, entry: &Arc<Entry>, word: Word) -> Result<(), Refusal> {
        let transaction = {
            let mut live = lock(entry)?;
            match live.status {
                Status::Committing(_) | Status::Decided(..) | Status::Refused(_) => return Ok(()),
                Status::Open if live.closing => return Ok(()),
                Status::Open => {}
                Status::Over(_) => return Err(not_open(entry, &live)),
            }
            let transaction = self.transaction(entry, &live, word)?;
            live.closing = true;
            transaction
        };
        let record = encode(&Record::Committing(transaction.clone()));
        let (node, committing) = (self.clone(), entry.clone());
        self.log.append(entry.life, record, move || {
            node.submit_session(&committing, transaction)
        });
        Ok(())
    }

    fn transaction(&self, entry: &Entry, live: &Live, word: Word) -> Result<Transaction, Refusal> {
        let last = live.steps.last().ok_or(Refusal::Empty(entry.id))?;
        let chain = live.chain();
        let genesis = self.genesis.hash();
        let commitment = match (live.owner, word) {
            (Owner::Token(_), _) => None,
            (Owner::Client(_), Word::Whole(None) | Word::Closing(None)) => {
                return Err(Refusal::CommitmentRequired { chain });
            }
            (Owner::Client(key), Word::Whole(Some(signature))) => Some(Commitment {
                key,
                closing: false,
                signature,
            }),
            (Owner::Client(key), Word::Closing(Some(signature))) => Some(Commitment {
                key,
                closing: true,
                signature,
            }),
        };
        // Against the chain as it was promised step by step, which need not be digested again.
        let signed = |commitment: &Commitment| match commitment.closing {
            false => commitment.commits(&genesis, &chain),
            true => {
                let (id, request) = (last.operation.id(), &last.operation.request);
                let before = live.chain_before_last();
                // Usually its step has brought it, and it was verified before that ran.
                live.closes == Some((before, id, commitment.signature))
                    || commitment.closes(&genesis, &before, id, request)
            }
        };
        if commitment.is_some_and(|commitment| !signed(&commitment)) {
            return Err(Refusal::Commitment { chain });
        }
        // Layer 1 takes no transaction with one that does not hold.
        let agreement = &last.agreement;
        agreement.retain(|endorsement| endorsement.verify(&genesis, &chain));
        if !agreement.is_endorsed() {
            // The client may have been answered by another node, or before this one was restarted.
            self.ask_again(live, last);
            return Err(self.lacking(agreement));
        }
        let operations = live.operations();
        let mut endorsements = agreement.endorsements();
        endorsements.sort_by_key(|endorsement: &Endorsement| endorsement.key);
        Ok(Transaction::sign(
            &self.key,
            &genesis,
            self.genesis.service.clone(),
            operations,
            commitment,
            endorsements,
        )?)
    }

    /// The commit is on disk: from here on it ends, whatever crashes.
    fn submit_session(&self, entry: &Entry, transaction: Transaction) {
        let hash = transaction.hash();
        {
            let mut live = entry.live.lock();
            live.closing = false;
            if live.status != Status::Open {
                // Another node's commit of it was final before this one was on disk.
                return;
            }
            live.status = Status::Committing(hash);
        }
        self.submissions.add(transaction.clone(), self.now());
        entry.feed.push(Event::Submitted { transaction: hash });
        self.outside.submit(&transaction, 0);
    }

    /// Gives a session up, for its owner.
    ///
    /// # Errors
    ///
    /// Where it is no longer open.
    pub fn abort(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Refusal> {
        {
            let live = lock(entry)?;
            if live.status == Status::Over(Given::Aborted) {
                return Ok(());
            }
            if !live.is_open() {
                return Err(not_open(entry, &live));
            }
        }
        self.end(entry, Given::Aborted);
        Ok(())
    }

    /// Runs the requests of a session in conflict again, on the current state, and opens it anew.
    ///
    /// # Errors
    ///
    /// Where it is not in conflict, or a request is refused now; it stays in conflict then.
    pub fn rebase(&self, entry: &Arc<Entry>) -> Result<Vec<Rerun>, Refusal> {
        let mut live = lock(entry)?;
        let conflict = match &live.status {
            Status::Decided(_, landed) if matches!(landed.outcome, Outcome::Conflict { .. }) => {
                landed.location()
            }
            status => {
                return Err(Refusal::NotInConflict {
                    session: entry.id,
                    status: status.name(),
                });
            }
        };
        if matches!(live.owner, Owner::Token(_)) {
            return Err(Refusal::RebaseUnsigned(entry.id));
        }
        // This node may have had only a part of the session; the ledger has all of it.
        let (transaction, _) = transaction_at(&self.store, conflict)?;
        let before = transaction.operations.clone();
        let (height, again) = self.run_again(entry, &before)?;
        let steps = before.len() as u32;
        let record = encode(&Record::Rebased { steps });
        self.log.append(entry.life, record, || {});
        live.clear(entry.id);
        entry.feed.push(Event::Rebased);
        let mut rerun = Vec::with_capacity(again.len());
        for (before, (operation, writes)) in before.into_iter().zip(again) {
            rerun.push(Rerun {
                step: self.propose(entry, &mut live, operation, writes, height),
                before: before.response,
            });
        }
        Ok(rerun)
    }

    /// Runs requests that were run before, as a session of their own on the latest state.
    fn run_again(
        &self,
        entry: &Entry,
        operations: &[Operation],
    ) -> Result<(u64, Vec<(Operation, Writes)>), Refusal> {
        let (tip, view) = self.store.state().latest();
        let mut overlay = plenary_service::Session::open(entry.id);
        let now = self.now();
        let mut again = Vec::with_capacity(operations.len());
        for (sequence, before) in (0..).zip(operations) {
            let (request, author) = (before.request.clone(), before.author.clone());
            match overlay.try_next(&self.executor, view.clone(), request, author, now)? {
                (Simulation::Answered(operation), writes) => {
                    overlay.keep(writes.clone());
                    again.push((operation, writes));
                }
                (Simulation::Refused(problem), _) => {
                    let rerun = (0..).zip(operations.iter().zip(&again));
                    let steps = rerun.map(|(sequence, (before, (now, _)))| {
                        change(sequence, &now.request, &before.response, &now.response)
                    });
                    return Err(Refusal::RebaseRefused {
                        sequence,
                        problem,
                        steps: steps.collect(),
                    });
                }
            }
        }
        Ok((tip.height, again))
    }
}
