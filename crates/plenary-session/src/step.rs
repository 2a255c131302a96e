//! A step, at its originator: the node that its client asked.
//!
//! Simulation consensus (Algorithm 1 of the paper): the originator runs the request and makes the
//! operation; the other session nodes run it as well and compare ([`replica`](crate::replica)).
//! What a step costs: the client's signature is checked, the proposal signed, and with the answer the
//! promise; one wait for the disk, shared with all that wait; and where others are needed, one round
//! trip to them at the same time.
//!
//! Deviation from the paper: nobody waits for a node that is not needed, and a step is answered
//! without any vote: what is wrong with it is found by those that run it, and by layer 1.

use crate::{
    agreement::Agreement,
    error::Refusal,
    message::{Given, Message, Owner, Proposal},
    node::Node,
    record::{Record, StepRecord},
    session::{Entry, Live, Status, Step, operation_size},
    sessions::Most,
};
use parking_lot::MutexGuard;
use plenary_service::{Execution, Simulation, Writes};
use plenary_types::{
    Author, Commitment, Digest, Operation, OperationId, Promise, Request, Response, SessionId,
    Signature, encode,
    limits::{MAX_OPERATIONS, MAX_TRANSACTION_BYTES},
    session::Moment,
};
use plenary_validator::{error::Refusal as Layer1Refusal, lookup::transaction_at};
use std::{sync::Arc, time::Duration};

/// The most bytes of a session's operations: what a transaction has besides them must fit too.
const MAX_SESSION_BYTES: usize = MAX_TRANSACTION_BYTES - 64 * 1024;
/// How long a request waits for the one before it in the same session.
const BUSY: Duration = Duration::from_secs(2);

/// A client's request for a step.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// Its author; a signature has been checked.
    pub author: Author,
    /// The token that came with it.
    pub token: Option<String>,
    /// The chain that the client has seen, where it says so.
    pub seen: Option<Digest>,
    /// The client's signature over what it saw and this request, which is to be the last step.
    pub commitment: Option<Signature>,
}

/// A step that has been run, now or before.
#[derive(Debug, Clone)]
pub struct Stepped {
    /// Its session.
    pub entry: Arc<Entry>,
    /// The step.
    pub step: Step,
}

impl Stepped {
    /// What the handler answered.
    pub fn response(&self) -> &Response {
        &self.step.operation.response
    }

    /// The step's agreement.
    pub fn agreement(&self) -> &Agreement {
        &self.step.agreement
    }
}

/// What came of a request for a step.
#[derive(Debug, Clone)]
pub enum Ran {
    /// A step of the session.
    Stepped(Stepped),
    /// The handler refused; there is no trace of it.
    Refused(Response),
}

impl Node {
    /// Runs the first step of a new session, or finds it where it ran before.
    ///
    /// # Errors
    ///
    /// Why there is no session.
    pub fn open(&self, asked: Asked) -> Result<Ran, Refusal> {
        let id = SessionId::from(asked.author.operation());
        let owner = owner(&asked.author, &asked.request);
        let (now, all) = (self.now(), self.bounds.sessions);
        let (own, most) = (self.key.public_key(), Most { all, same: all });
        let entry = self
            .sessions
            .get_or_insert(id, own, most, || Entry::new(id, own, owner, now));
        let entry = entry.ok_or(Refusal::TooManySessions(all))?;
        let outcome = self.first_step(&entry, asked);
        if !matches!(outcome, Ok(Ran::Stepped(_))) {
            self.forget_unopened(&entry);
        }
        outcome
    }

    fn first_step(&self, entry: &Arc<Entry>, asked: Asked) -> Result<Ran, Refusal> {
        // Committed sessions are forgotten.
        let location = self.store.operation(&asked.author.operation())?;
        match location {
            Some(location) if lock(entry)?.steps.is_empty() => {
                let (transaction, _) = transaction_at(&self.store, location)?;
                Err(Layer1Refusal::Replayed {
                    transaction: transaction.hash(),
                    height: location.height,
                }
                .into())
            }
            _ => self.step(entry, asked),
        }
    }

    /// Forgets a session that has come to no step. Who waits for it just now brings it back.
    pub(crate) fn forget_unopened(&self, entry: &Entry) {
        if let Some(live) = entry.live.try_lock()
            && live.steps.is_empty()
        {
            self.sessions.remove(&entry.id);
        }
    }

    /// Runs the next step of a session, or finds it where it ran before.
    ///
    /// # Errors
    ///
    /// Why it is no step of the session.
    pub fn step(&self, entry: &Arc<Entry>, asked: Asked) -> Result<Ran, Refusal> {
        let mut live = lock(entry)?;
        let id = asked.author.operation();
        if let Some(step) = live.step_of(&id) {
            self.ask_again(&live, step);
            let ran = same(entry, step, &asked.request)?;
            let before = step.promise.sequence as usize;
            check_seen(entry, before, live.chain_at(before), asked.seen)?;
            return Ok(ran);
        }
        if !live.steps.is_empty() || entry.id != id.into() {
            check_owner(entry, &live, &asked.author, asked.token.as_deref())?;
        }
        self.check_open(entry, &live)?;
        check_seen(entry, live.steps.len(), live.chain(), asked.seen)?;
        if self.log.is_behind() {
            return Err(Refusal::NotDurable);
        }
        if let Some(signature) = asked.commitment {
            self.check_closing(&mut live, id, &asked.request, signature)?;
        }
        let now = self.now();
        let (tip, view) = self.store.state().latest();
        let (simulation, writes) =
            live.overlay
                .try_next(&self.executor, view, asked.request, asked.author, now)?;
        match simulation {
            Simulation::Refused(problem) => Ok(Ran::Refused(problem.to_response())),
            Simulation::Answered(operation) => {
                if live.size + operation_size(&operation) > MAX_SESSION_BYTES {
                    return Err(full(entry));
                }
                let step = self.propose(entry, &mut live, operation, writes, tip.height);
                Ok(Ran::Stepped(Stepped {
                    entry: entry.clone(),
                    step,
                }))
            }
        }
    }

    /// Proposes a step again: what was sent before may be lost, or its originator gone.
    pub(crate) fn ask_again(&self, live: &Live, step: &Step) {
        if !step.agreement.is_endorsed() {
            self.tell(&step.proposal(live.owner));
        }
    }

    /// Answers a request that only reads, on what the session has written.
    ///
    /// # Errors
    ///
    /// Where the session is not the client's, or the state cannot be read.
    pub fn read(
        &self,
        entry: &Entry,
        request: &Request,
        author: &Author,
        token: Option<&str>,
    ) -> Result<(u64, Execution), Refusal> {
        let overlay = {
            let live = lock(entry)?;
            check_owner(entry, &live, author, token)?;
            live.overlay.clone()
        };
        let (tip, view) = self.store.state().latest();
        let execution = overlay.read(&self.executor, view, request, self.now())?;
        Ok((tip.height, execution))
    }

    /// Makes an operation the session's next step: writes it down, and proposes it to the others.
    /// What is promised to the client is signed with its answer, once enough of them agree.
    pub(crate) fn propose(
        &self,
        entry: &Arc<Entry>,
        live: &mut Live,
        operation: Operation,
        writes: Writes,
        height: u64,
    ) -> Step {
        let time = operation.time;
        let (moment, chain) = (Moment { time, height }, live.chain_with(&operation));
        let (next, history) = (live.next(), live.history());
        let promise = if self.others().next().is_none() {
            Promise::unsigned(self.key.public_key(), entry.id, next, moment, chain)
        } else {
            let (key, genesis) = (&self.key, self.genesis.hash());
            let promise = Promise::propose(key, &genesis, &history, entry.id, next, moment, chain);
            // Before it is on this node's disk: the others work on it meanwhile.
            self.tell(&Message::Propose(Box::new(Proposal {
                owner: live.owner,
                promise,
                history,
                operation: operation.clone(),
                firm: self.needed() == 0,
            })));
            promise
        };
        let record = StepRecord {
            promise,
            operation,
            writes,
        };
        let step = self.keep(entry, live, record, Agreement::durable);
        self.metrics.steps.inc();
        step
    }

    /// This node's word to a client for a step, whoever proposed it. It may leave once the step holds.
    pub(crate) fn promise(&self, proposed: &Promise) -> Promise {
        proposed.give(&self.key, &self.genesis.hash())
    }

    /// Makes a step the session's next in memory, and appends it to the log; `durable` runs once it
    /// is on disk.
    pub(crate) fn keep(
        &self,
        entry: &Arc<Entry>,
        live: &mut Live,
        record: StepRecord,
        durable: impl FnOnce(&Agreement) + Send + 'static,
    ) -> Step {
        if live.steps.is_empty() {
            self.sessions.keep(entry);
            let (owner, time) = (live.owner, live.opened);
            let session = entry.id;
            let opened = encode(&Record::Opened {
                session,
                owner,
                time,
            });
            self.log.append(entry.life, opened, || {});
        }
        let bytes = record.entry();
        let step = live.push(record, self.needed(), &entry.feed);
        let agreement = step.agreement.clone();
        self.log
            .append(entry.life, bytes, move || durable(&agreement));
        step
    }

    fn check_open(&self, entry: &Entry, live: &Live) -> Result<(), Refusal> {
        if !live.is_open() {
            return Err(not_open(entry, live));
        }
        let limit = self.bounds.time_limit.as_millis() as u64;
        if live.opened.plus_ms(limit) <= self.now() {
            return Err(Refusal::Over {
                session: entry.id,
                given: Given::Expired,
            });
        }
        if live.steps.len() >= MAX_OPERATIONS {
            return Err(full(entry));
        }
        Ok(())
    }

    /// Checks that the client has signed what the session would be with this last request.
    fn check_closing(
        &self,
        live: &mut Live,
        last: OperationId,
        request: &Request,
        signature: Signature,
    ) -> Result<(), Refusal> {
        let chain = live.chain();
        let signed = match live.owner {
            Owner::Token(_) => true,
            Owner::Client(key) => Commitment {
                key,
                closing: true,
                signature,
            }
            .closes(&self.genesis.hash(), &chain, last, request),
        };
        if !signed {
            return Err(Refusal::Commitment { chain });
        }
        live.closes = Some((chain, last, signature));
        Ok(())
    }
}

/// Who owns a session that this request of this author opens.
pub(crate) fn owner(author: &Author, request: &Request) -> Owner {
    match author {
        Author::Signed(signature) => Owner::Client(signature.key()),
        Author::Anonymous { nonce } => Owner::Token(digest_of(&token(nonce, request))),
    }
}

/// The token of a session that this request of a client which does not sign opens.
///
/// Every session node makes the same of it, so that a retry gets it again wherever it is sent. It is
/// as secret as the nonce: whoever knows that and sends the same request is the client, to each node
/// that has answered it. Session nodes know it too, and could always do in the name of a client that
/// does not sign what they like; layer 1 sees the nonce once the session takes no more steps.
pub fn token(nonce: &[u8], request: &Request) -> String {
    Digest::of("plenary session token", &[nonce, &request.digest().0]).to_string()
}

/// Checks that a request is by the session's owner.
///
/// # Errors
///
/// [`Refusal::Foreign`].
pub fn check_owner(
    entry: &Entry,
    live: &Live,
    author: &Author,
    token: Option<&str>,
) -> Result<(), Refusal> {
    let owns = match (live.owner, author) {
        (Owner::Client(key), Author::Signed(signature)) => signature.key() == key,
        (Owner::Token(digest), Author::Anonymous { .. }) => {
            token.is_some_and(|token| digest_of(token) == digest)
        }
        _ => false,
    };
    owns.then_some(()).ok_or(Refusal::Foreign(entry.id))
}

/// A session's state, once the step before has come back.
pub(crate) fn lock(entry: &Entry) -> Result<MutexGuard<'_, Live>, Refusal> {
    let live = entry.live.try_lock_for(BUSY);
    live.ok_or(Refusal::Busy(entry.id))
}

/// Why a session takes no steps.
pub(crate) fn not_open(entry: &Entry, live: &Live) -> Refusal {
    let session = entry.id;
    match live.status {
        Status::Over(given) => Refusal::Over { session, given },
        _ => Refusal::NotOpen {
            session,
            status: match live.closing {
                true => "committing",
                false => live.status.name(),
            },
        },
    }
}

fn full(entry: &Entry) -> Refusal {
    Refusal::Full {
        session: entry.id,
        bytes: MAX_SESSION_BYTES,
    }
}

/// The step that an operation was before: one request has one answer.
fn same(entry: &Arc<Entry>, step: &Step, request: &Request) -> Result<Ran, Refusal> {
    if step.operation.request != *request {
        return Err(Layer1Refusal::NonceReused.into());
    }
    Ok(Ran::Stepped(Stepped {
        entry: entry.clone(),
        step: step.clone(),
    }))
}

/// Checks that a client has seen the chain of `operations` that its request follows: another node may
/// have told it another story.
fn check_seen(
    entry: &Entry,
    operations: usize,
    own: Digest,
    seen: Option<Digest>,
) -> Result<(), Refusal> {
    match seen {
        Some(seen) if seen != own => Err(Refusal::ChainDiffers {
            session: entry.id,
            operations,
            own,
            seen,
        }),
        _ => Ok(()),
    }
}

fn digest_of(token: &str) -> Digest {
    Digest::of("plenary session token's digest", &[token.as_bytes()])
}
