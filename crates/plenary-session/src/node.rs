//! The node: one session node's parts, and what goes on in it by itself.
//!
//! Nothing here opens a connection, starts a task or reads a clock of its own: the node is called,
//! and calls out through [`Outside`] and the session log. So it runs in a simulation together with
//! the validators, and in a server.
//!
//! Locks: a session's is held while a step of it runs; the chain's while a block is executed. The
//! log completes an entry on its own thread (in a simulation, in the caller), so what it runs takes
//! no session's lock that the caller may hold.

use crate::{
    agreement::Agreement,
    asked::Asked,
    error::Refusal,
    evidence::EvidenceLog,
    log::Log,
    message::{Given, Message, Proposal},
    metrics::Metrics,
    participation::Participation,
    record::Record,
    session::{Entry, Status},
    sessions::Sessions,
    step::lock,
    submissions::Submissions,
};
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_service::Executor;
use plenary_store::Store;
use plenary_types::{
    Block, Certificate, Genesis, Outcome, PrivateKey, PublicKey, SessionId, Timestamp, Transaction,
    TransactionHash, encode,
};
use plenary_validator::{
    chain::{Chain, ChainError},
    error::Refusal as Layer1Refusal,
    finality::{Finality, Landed},
    flush::Flusher,
    guard::{Guard, HANDLER_LIMIT},
    turns::Turns,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long layer 1 may take before a transaction is sent to the next validator, in milliseconds.
const RESUBMIT_MS: u64 = 1_000;
/// How long a session is kept here after its end, in milliseconds. The ledger has for ever what
/// layer 1 decided.
const LINGER_MS: u64 = 60_000;
/// How many proposals of one node wait for a height that this one has not reached.
const MAX_PARKED: usize = 4_096;

/// How many handlers run at a time.
const PARALLEL_HANDLERS: usize = 64;

/// What a node does to the world.
pub trait Outside: Send + Sync + 'static {
    /// Sends a message to another session node. It may be lost.
    fn send(&self, to: &PublicKey, message: Bytes);
    /// Sends a transaction to a validator, for the `attempt`th time, from 0. It may be lost.
    fn submit(&self, transaction: &Transaction, attempt: usize);
}

/// How a node runs.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How many session nodes a step needs.
    pub participation: Participation,
    /// How long a session may last.
    pub time_limit: Duration,
    /// Most sessions at a time. Of those that another session node opened, no more than an equal share
    /// of it for each node.
    pub sessions: usize,
    /// Most requests that are worked on at a time; more are refused at once.
    pub requests: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            participation: Participation::Own,
            time_limit: Duration::from_secs(15 * 60),
            sessions: 100_000,
            requests: 4_096,
        }
    }
}

/// What a node is made of.
pub struct Parts {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This node's key.
    pub key: PrivateKey,
    /// The executor of the service.
    pub executor: Arc<Executor>,
    /// State and ledger, as this node has followed them.
    pub store: Arc<Store>,
    /// How final blocks become durable.
    pub flusher: Flusher,
    /// The session log.
    pub log: Log,
    /// What was in the log.
    pub recovered: Vec<crate::log::Recovered>,
    /// Proof of other session nodes' lies.
    pub evidence: EvidenceLog,
    /// How it runs.
    pub bounds: Bounds,
    /// The node's clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// The world.
    pub outside: Box<dyn Outside>,
}

/// Proposals by height, session, step and who sent them.
type Parked = BTreeMap<(u64, SessionId, u32, PublicKey), Proposal>;

/// One session node.
pub struct Node {
    /// The network.
    pub genesis: Arc<Genesis>,
    /// This node's key.
    pub key: PrivateKey,
    /// The executor of the service.
    pub executor: Arc<Executor>,
    /// State and ledger.
    pub store: Arc<Store>,
    /// Proof of other session nodes' lies.
    pub evidence: EvidenceLog,
    /// How it runs.
    pub bounds: Bounds,
    /// Who waits for which transaction.
    pub finality: Finality,
    /// What is counted.
    pub metrics: Metrics,
    /// Where handlers run that were asked for over HTTP or by peers.
    pub guard: Guard,
    /// Who is next at a contended key.
    pub turns: Turns,
    /// The sessions that it has.
    pub sessions: Sessions,
    pub(crate) submissions: Submissions,
    pub(crate) log: Log,
    pub(crate) outside: Box<dyn Outside>,
    /// From which steps of which sessions on others were asked for them.
    pub(crate) asked: Asked<(SessionId, u32)>,
    /// Which steps were shown to whom in the place of theirs, and whether they were firm.
    pub(crate) shown: Asked<(PublicKey, SessionId, u32, bool)>,
    /// Proposals for heights that are not reached yet.
    parked: Mutex<Parked>,
    chain: Mutex<Chain>,
    flusher: Flusher,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    failure: watch::Sender<Option<String>>,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What was executed before does not execute again.
    #[error("the ledger and this program do not agree: {0}")]
    Chain(#[from] ChainError),
    /// An entry of the session log is none.
    #[error("the session log has an entry of session {session} that cannot be read: {reason}")]
    Log {
        /// The session.
        session: SessionId,
        /// Why.
        reason: String,
    },
}

impl Node {
    /// Puts a node together on what its store and its log hold: sessions go on where they were.
    ///
    /// # Errors
    ///
    /// Where the ledger does not re-execute, or the log cannot be read.
    pub fn new(parts: Parts) -> Result<Self, OpenError> {
        let (genesis, executor, store) = (&parts.genesis, &parts.executor, &parts.store);
        let chain = Chain::open(genesis.clone(), executor.clone(), store.clone())?;
        let node = Self {
            finality: Finality::new(store.tip().height),
            metrics: Metrics::default(),
            guard: Guard::new(PARALLEL_HANDLERS, HANDLER_LIMIT),
            turns: Turns::default(),
            sessions: Sessions::default(),
            submissions: Submissions::default(),
            asked: Asked::default(),
            shown: Asked::default(),
            parked: Mutex::default(),
            chain: Mutex::new(chain),
            failure: watch::Sender::new(None),
            genesis: parts.genesis,
            key: parts.key,
            executor: parts.executor,
            store: parts.store,
            evidence: parts.evidence,
            bounds: parts.bounds,
            log: parts.log,
            outside: parts.outside,
            flusher: parts.flusher,
            clock: parts.clock,
        };
        for recovered in parts.recovered {
            node.recover(recovered)?;
        }
        Ok(node)
    }

    /// The node's clock.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// How many transactions are on their way to layer 1.
    pub fn pending(&self) -> usize {
        self.submissions.len()
    }

    /// Whether a transaction is on its way to layer 1 from here.
    pub fn is_submitted(&self, hash: &TransactionHash) -> bool {
        self.submissions.contains(hash)
    }

    /// The other session nodes.
    pub fn others(&self) -> impl Iterator<Item = PublicKey> + '_ {
        let own = self.key.public_key();
        let nodes = self.genesis.session_nodes.iter().map(|node| node.key);
        nodes.filter(move |key| *key != own)
    }

    /// How many others must agree on a step.
    pub fn needed(&self) -> usize {
        self.bounds.participation.needed(self.others().count())
    }

    /// What a step lacks that is not answered or committed yet.
    pub(crate) fn lacking(&self, agreement: &Agreement) -> Refusal {
        match agreement.is_durable() {
            false => Refusal::NotDurable,
            true => Refusal::Participation {
                needed: self.needed(),
                endorsed: agreement.endorsements().len(),
            },
        }
    }

    /// Why the node had to stop, once it had to.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Stops the node for good: it can no longer follow its network, or keep its word.
    pub fn fail(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::error!(%reason, "the session node stops");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(reason);
            first
        });
    }

    /// Makes what is final and what is acknowledged durable, and stops the node's own threads.
    pub fn stop(&self) {
        self.flusher.stop();
        self.log.stop();
    }

    /// Takes the next final block, which its caller has verified: executes it, and settles what was
    /// waiting for it.
    ///
    /// # Errors
    ///
    /// Where re-execution does not give what a quorum signed: the node must stop.
    pub fn final_block(
        self: &Arc<Self>,
        block: &Arc<Block>,
        certificate: Option<Certificate>,
    ) -> Result<(), ChainError> {
        if !self.chain.lock().finalize(block, certificate)? {
            return Ok(());
        }
        let height = block.header.height;
        self.flusher.written(height);
        self.settle(block);
        self.finality.advance(height);
        self.unpark(height);
        Ok(())
    }

    fn settle(&self, block: &Block) {
        let superseded = self.submissions.settle(block);
        let height = block.header.height;
        let decided = block.transactions.iter().zip(&block.outcomes);
        for (index, (transaction, outcome)) in decided.enumerate() {
            let landed = Landed {
                height,
                index: index as u32,
                outcome: outcome.clone(),
            };
            let entry = transaction.session().and_then(|id| self.sessions.get(&id));
            if let Some(entry) = entry {
                self.decide(&entry, transaction, landed.clone());
            }
            self.finality.land(transaction.hash(), landed);
        }
        for (transaction, winner) in superseded {
            let replayed = Layer1Refusal::Replayed {
                transaction: winner,
                height,
            };
            self.give_up(&transaction, &replayed.problem());
        }
    }

    /// Notes what layer 1 decided of a session's transaction. One that is committed settles the
    /// session, whoever originated it; another outcome only where it is of the operations that
    /// this node has, or goes on from them: another node may have lied about the session.
    pub(crate) fn decide(&self, entry: &Entry, transaction: &Transaction, landed: Landed) {
        let hash = transaction.hash();
        let committed = landed.outcome == Outcome::Committed;
        let Ok(mut live) = lock(entry) else {
            // A handler that does not come back holds it, and must not hold up the chain.
            self.sessions.remove(&entry.id);
            return;
        };
        let awaited = match &live.status {
            Status::Committing(own) => committed || *own == hash,
            Status::Open => committed || live.begins(&transaction.operations),
            Status::Decided(_, earlier) => committed && earlier.outcome != Outcome::Committed,
            Status::Refused(_) | Status::Over(_) => committed,
        };
        if !awaited {
            return;
        }
        if !committed && live.status == Status::Open {
            // For a restart to find the outcome by.
            let record = Record::Committing(transaction.clone());
            self.log.append(entry.life, encode(&record), || {});
        }
        let event = live.decide(hash, landed, self.now());
        drop(live);
        self.metrics.ended(&event);
        if committed {
            // The ledger has all of it.
            self.log.forget(entry.life);
        }
        entry.feed.push(event);
    }

    /// What time brings: sessions expire, what layer 1 has not taken is sent again, and what ended
    /// long ago is forgotten.
    pub fn tick(&self) {
        let now = self.now();
        for (transaction, attempt) in self.submissions.overdue(now, RESUBMIT_MS) {
            self.outside.submit(&transaction, attempt);
        }
        let limit = self.bounds.time_limit.as_millis() as u64;
        for entry in self.sessions.all() {
            // A session whose step is running has not been left alone.
            let Some(live) = entry.live.try_lock() else {
                continue;
            };
            let long_over = |since: Timestamp| since.plus_ms(limit + LINGER_MS) <= now;
            let forgotten = match &live.status {
                // The ledger answers for it from now on.
                Status::Decided(..) if live.is_committed() => true,
                // A commit may have been on its way for longer than a session may last.
                Status::Decided(..) => long_over(live.decided),
                Status::Refused(reason) => long_over(reason.time),
                Status::Over(_) => long_over(live.opened),
                Status::Open | Status::Committing(_) => false,
            };
            let expires = live.is_open() && live.opened.plus_ms(limit) <= now;
            drop(live);
            if expires {
                self.end(&entry, Given::Expired);
            }
            if forgotten {
                self.sessions.remove(&entry.id);
                self.log.forget(entry.life);
            }
        }
    }

    /// Ends a session without layer 1.
    pub(crate) fn end(&self, entry: &Arc<Entry>, given: Given) {
        {
            let mut live = entry.live.lock();
            if !live.is_open() {
                return;
            }
            live.closing = true;
        }
        let record = encode(&Record::Over(given));
        let ended = entry.clone();
        self.log.append(entry.life, record, move || {
            let mut live = ended.live.lock();
            live.closing = false;
            if live.status != Status::Open {
                // Another node's commit of it was final before this was on disk.
                return;
            }
            live.status = Status::Over(given);
            drop(live);
            ended.feed.push(given.into());
        });
        self.log.forget(entry.life);
        self.tell(&Message::Over {
            session: entry.id,
            given,
        });
    }

    /// Tells all other session nodes.
    pub(crate) fn tell(&self, message: &Message) {
        let mut others = self.others().peekable();
        if others.peek().is_none() {
            return;
        }
        let message = encode(message);
        for key in others {
            self.outside.send(&key, message.clone());
        }
    }

    /// Keeps a proposal until this node has reached its height.
    pub(crate) fn park(&self, from: PublicKey, proposal: Proposal) {
        let promise = &proposal.promise;
        let place = (promise.height, promise.session, promise.sequence, from);
        let mut parked = self.parked.lock();
        if parked.keys().filter(|(.., sender)| *sender == from).count() < MAX_PARKED {
            parked.insert(place, proposal);
        }
    }

    fn unpark(self: &Arc<Self>, height: u64) {
        loop {
            let due = {
                let mut parked = self.parked.lock();
                match parked.first_entry() {
                    Some(first) if first.key().0 <= height => Some(first.remove_entry()),
                    _ => None,
                }
            };
            match due {
                Some(((.., from), proposal)) => self.replicate(from, proposal),
                None => return,
            }
        }
    }
}
