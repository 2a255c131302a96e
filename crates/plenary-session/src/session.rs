//! One session: its operations, their chain, and where it is in its life.
//!
//! ```text
//! open -> committing -> committed | conflict | rejected
//! open -> aborted | expired
//! conflict -> open, where its owner has its requests run again
//! ```
//!
//! Pure state: who changes it writes the [`Record`] of the change to the session log. A session is
//! the same at every node that has it; whichever node a client turns to goes on with it.

use crate::{
    agreement::Agreement,
    feed::{Event, Feed},
    message::{Given, Message, Owner, Proposal},
    record::{Record, StepRecord},
    refused::Reason,
    rival::Rank,
};
use parking_lot::Mutex;
use plenary_service::{Undo, Writes};
use plenary_types::{
    Digest, Operation, OperationId, Outcome, Promise, PublicKey, SessionId, Signature, Timestamp,
    Transaction, TransactionHash,
    session::{EMPTY_CHAIN, EMPTY_HISTORY, chain_digest, chain_link, history_link},
};
use plenary_validator::{decision::status, finality::Landed};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// A session that a node has, and what happened in it.
pub struct Entry {
    /// The session's name: its first operation's.
    pub id: SessionId,
    /// The session node that opened it, as far as this one knows.
    pub origin: PublicKey,
    /// What the session log calls this life of it: once a session is forgotten it can be opened
    /// again, and the log takes nothing more under a name that it has forgotten.
    pub life: SessionId,
    /// From when on this process has it, for events to be numbered from.
    pub begun: Timestamp,
    /// What happened.
    pub feed: Arc<Feed>,
    /// Its state. Held while a step runs, so that steps of one session run one after the other.
    pub live: Mutex<Live>,
}

/// A step of a session.
#[derive(Debug, Clone)]
pub struct Step {
    /// Request, author, time, reads and response.
    pub operation: Arc<Operation>,
    /// What its originator proposed, signed.
    pub promise: Promise,
    /// The digest of the moments of the steps before it.
    pub history: Digest,
    /// Who stands for it.
    pub agreement: Arc<Agreement>,
}

impl Step {
    /// The step for another node to run, in a session of `owner`.
    pub fn proposal(&self, owner: Owner) -> Message {
        Message::Propose(Box::new(Proposal {
            owner,
            promise: self.promise,
            history: self.history,
            operation: Operation::clone(&self.operation),
            firm: self.agreement.is_firm(),
        }))
    }
}

/// Where a session is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It takes steps.
    Open,
    /// Its transaction is on its way.
    Committing(TransactionHash),
    /// Layer 1 has decided it.
    Decided(TransactionHash, Landed),
    /// Layer 1 will have its transaction in no block.
    Refused(Reason),
    /// It ended without layer 1.
    Over(Given),
}

impl Status {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Committing(_) => "committing",
            Self::Decided(_, landed) => status(&landed.outcome),
            Self::Refused(_) => "rejected",
            Self::Over(Given::Aborted) => "aborted",
            Self::Over(Given::Expired) => "expired",
        }
    }
}

/// A session's state.
pub struct Live {
    /// Who may work in it.
    pub owner: Owner,
    /// When this node first heard of it, by its own clock.
    pub opened: Timestamp,
    /// Where it is in its life.
    pub status: Status,
    /// When this node heard what layer 1 decided of it last; before that, when it was opened.
    pub decided: Timestamp,
    /// What is being written to the log and will change the status: until then nothing else may.
    pub closing: bool,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// The bytes of its operations, encoded.
    pub size: usize,
    /// What its operations have written so far.
    pub overlay: plenary_service::Session,
    /// Takes the last step's writes back.
    undo: Undo,
    /// The nodes that stand firm on another last step than this node's.
    pub rivals: BTreeMap<PublicKey, Rank>,
    /// The client's signature over what would end the session, which has been verified: after which
    /// chain, and with which operation.
    pub closes: Option<(Digest, OperationId, Signature)>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.id)
    }
}

impl Entry {
    /// A session before its first step.
    pub fn new(id: SessionId, origin: PublicKey, owner: Owner, opened: Timestamp) -> Self {
        let life = Digest::of("plenary session life", &[&id.0, &opened.0.to_be_bytes()]);
        Self {
            id,
            origin,
            life: SessionId(life.0),
            begun: opened,
            feed: Arc::default(),
            live: Mutex::new(Live {
                owner,
                opened,
                status: Status::Open,
                decided: opened,
                closing: false,
                steps: Vec::new(),
                size: 0,
                overlay: plenary_service::Session::open(id),
                undo: Undo::default(),
                rivals: BTreeMap::new(),
                closes: None,
            }),
        }
    }

    /// The session that `records` are the life of, and the transaction that it was to be committed
    /// with, where it has come to that. Nothing where they do not begin with the opening, or have no
    /// step.
    pub fn replay(records: Vec<Record>, needed: usize, now: Timestamp) -> Option<Replayed> {
        let Some(Record::Opened {
            session: id,
            owner,
            time,
        }) = records.first()
        else {
            return None;
        };
        let id = *id;
        let first = records.iter().find_map(|record| match record {
            Record::Step(step) => Some(step.promise.node),
            _ => None,
        });
        let entry = Self {
            begun: now,
            ..Self::new(id, first?, *owner, *time)
        };
        let mut committing = None;
        {
            let mut live = entry.live.lock();
            for record in whole(records) {
                match record {
                    Record::Opened { .. } => {}
                    Record::Step(step) => {
                        if step.promise.sequence < live.next() {
                            live.pop();
                        }
                        let step = live.push(*step, needed, &entry.feed);
                        step.agreement.durable();
                        step.agreement.stand_firm();
                    }
                    Record::Committing(transaction) => {
                        let hash = transaction.hash();
                        live.status = Status::Committing(hash);
                        live.endorsed(&transaction);
                        entry.feed.push(Event::Submitted { transaction: hash });
                        committing = Some(transaction);
                    }
                    Record::Rebased { .. } => {
                        committing = None;
                        live.clear(id);
                        entry.feed.push(Event::Rebased);
                    }
                    Record::Over(given) => {
                        live.status = Status::Over(given);
                        entry.feed.push(given.into());
                    }
                    Record::Refused(reason)
                        if live.status == Status::Committing(reason.transaction) =>
                    {
                        committing = None;
                        entry.feed.push(Event::Rejected {
                            transaction: reason.transaction,
                            height: None,
                        });
                        live.status = Status::Refused(reason);
                    }
                    Record::Refused(_) => {}
                }
            }
        }
        Some(Replayed { entry, committing })
    }
}

/// The records without the rebases that a crash cut off: those that fewer steps follow than belong
/// to them.
fn whole(records: Vec<Record>) -> Vec<Record> {
    let mut whole = Vec::with_capacity(records.len());
    let mut records = records.into_iter().peekable();
    while let Some(record) = records.next() {
        let Record::Rebased { steps } = record else {
            whole.push(record);
            continue;
        };
        let mut rebase = vec![record];
        let mut left = steps;
        while let Some(next) = records
            .next_if(|next| left > 0 && matches!(next, Record::Opened { .. } | Record::Step(_)))
        {
            left -= u32::from(matches!(next, Record::Step(_)));
            rebase.push(next);
        }
        if left == 0 {
            whole.append(&mut rebase);
        }
    }
    whole
}

/// A session as a log has it.
pub struct Replayed {
    /// The session.
    pub entry: Entry,
    /// The transaction that it was to be committed with.
    pub committing: Option<Transaction>,
}

impl Live {
    /// The digest of its chain.
    pub fn chain(&self) -> Digest {
        self.steps
            .last()
            .map_or(EMPTY_CHAIN, |last| last.promise.chain)
    }

    /// The digest that its chain had after so many steps; the last that it has, where there are fewer.
    pub fn chain_at(&self, steps: usize) -> Digest {
        let last = self.steps.iter().take(steps).next_back();
        last.map_or(EMPTY_CHAIN, |step| step.promise.chain)
    }

    /// The digest that its chain had before the last step.
    pub fn chain_before_last(&self) -> Digest {
        self.chain_at(self.steps.len().saturating_sub(1))
    }

    /// The digest of its steps' moments.
    pub fn history(&self) -> Digest {
        history_after(&self.steps)
    }

    /// The digest that its chain has with one more operation.
    pub fn chain_with(&self, operation: &Operation) -> Digest {
        chain_link(&self.chain(), operation)
    }

    /// The number of its next step.
    pub fn next(&self) -> u32 {
        self.steps.len() as u32
    }

    /// The step that an operation is.
    pub fn step_of(&self, operation: &OperationId) -> Option<&Step> {
        self.steps
            .iter()
            .find(|step| step.operation.id() == *operation)
    }

    /// Whether `operations` are those that it has, and perhaps more.
    pub fn begins(&self, operations: &[Operation]) -> bool {
        let first = operations.get(..self.steps.len());
        first.is_some_and(|first| chain_digest(first) == self.chain())
    }

    /// Its operations.
    pub fn operations(&self) -> Vec<Operation> {
        let steps = self.steps.iter();
        steps
            .map(|step| Operation::clone(&step.operation))
            .collect()
    }

    /// Whether it takes steps.
    pub fn is_open(&self) -> bool {
        self.status == Status::Open && !self.closing
    }

    /// Whether the ledger has it.
    pub fn is_committed(&self) -> bool {
        matches!(&self.status, Status::Decided(_, landed) if landed.outcome == Outcome::Committed)
    }

    /// Takes from its transaction who agrees with its last step, and so with those before it: the log
    /// has it from nowhere else.
    fn endorsed(&self, transaction: &Transaction) {
        // Another node's may have more steps.
        let whole = self.steps.len() == transaction.operations.len();
        if let Some(last) = self.steps.last().filter(|_| whole) {
            let endorsements = transaction.endorsements.iter().copied();
            endorsements.for_each(|endorsement| last.agreement.endorse(endorsement));
        }
    }

    /// The chain, and what was written, before the last step.
    pub fn before_last(&self) -> (Digest, plenary_service::Session) {
        let mut overlay = self.overlay.clone();
        overlay.take_back(self.undo.clone());
        (self.chain_before_last(), overlay)
    }

    /// Takes the last step away, for another one to take its place. Once, after each that is added.
    pub fn pop(&mut self) {
        if let Some(last) = self.steps.pop() {
            self.size -= operation_size(&last.operation);
            self.overlay.take_back(std::mem::take(&mut self.undo));
        }
    }

    /// Adds a step, of which nobody but this node's memory knows yet.
    pub fn push(&mut self, step: StepRecord, needed: usize, feed: &Arc<Feed>) -> Step {
        let agreement = Arc::new(Agreement::new(self.next(), needed, feed.clone()));
        if let Some(last) = self.steps.last() {
            // Its client goes on from it.
            last.agreement.stand_firm();
        }
        self.undo = self.overlay.keep(step.writes);
        self.rivals.clear();
        self.size += operation_size(&step.operation);
        let step = Step {
            operation: Arc::new(step.operation),
            promise: step.promise,
            history: self.history(),
            agreement,
        };
        self.steps.push(step.clone());
        step
    }

    /// Takes what its operations were and wrote away, for them to be run again.
    pub fn clear(&mut self, id: SessionId) {
        self.status = Status::Open;
        self.steps.clear();
        self.size = 0;
        self.overlay = plenary_service::Session::resume(id, Writes::new());
        self.rivals.clear();
    }

    /// Layer 1 has decided, as is known from `now` on: the event to tell of.
    pub fn decide(
        &mut self,
        transaction: TransactionHash,
        landed: Landed,
        now: Timestamp,
    ) -> Event {
        let height = landed.height;
        let event = match landed.outcome {
            Outcome::Committed => Event::Final {
                transaction,
                height,
            },
            Outcome::Conflict { .. } => Event::Conflict {
                transaction,
                height,
            },
            Outcome::Rejected { .. } => Event::Rejected {
                transaction,
                height: Some(height),
            },
        };
        self.status = Status::Decided(transaction, landed);
        self.decided = now;
        self.closing = false;
        event
    }
}

/// The digest of the moments of a session's first steps.
pub fn history_after(steps: &[Step]) -> Digest {
    let last = steps.last();
    last.map_or(EMPTY_HISTORY, |last| {
        history_link(&last.history, last.promise.moment())
    })
}

/// The bytes that an operation adds to its session's transaction.
pub fn operation_size(operation: &Operation) -> usize {
    commonware_codec::EncodeSize::encode_size(operation)
}
