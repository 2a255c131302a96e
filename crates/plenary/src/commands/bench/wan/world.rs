//! Both layers over a matrix, in one deterministic run: the engine's simulated network with the
//! validators' real nodes, and real session nodes beside them, one at each site. Messages take what
//! the matrix says; computing and disks take nothing (a turn of the event loop takes a nanosecond).
//!
//! Between the layers it is as over HTTP, on connections that are open already: a transaction goes to
//! the validator that the session node's own rule names, and on to the next where nobody listens;
//! final blocks come as a stream from the nearest validator, and are verified before they are
//! believed.

use super::{
    matrix::Matrix,
    wire::{End, Wire},
};
use bytes::Bytes;
use futures::future::{FutureExt as _, pending, select_all};
use parking_lot::Mutex;
use plenary_consensus::simulation::Network;
use plenary_session::{
    follow::{Leaders, verify::Verifier},
    node::{Node as SessionCore, Outside},
};
use plenary_store::Entry;
use plenary_types::{Genesis, PublicKey, Transaction};
use plenary_validator::node::Node as ValidatorCore;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// How often a session node looks through what it has; as its server does.
const TICK: Duration = Duration::from_millis(250);
/// How often a validator broadcasts again what waits; as a running one does.
const REBROADCAST: Duration = Duration::from_secs(1);
/// What arrives at a node.
pub(super) enum Event {
    /// At a session node, from another one.
    Message {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    /// At the first of the validators that are to be tried.
    Submission(Submission),
    /// Back at the session node: nobody listens at the validator.
    Refused(Submission),
    /// At a session node, from the validator that it follows.
    Block {
        to: usize,
        entry: Box<Entry>,
    },
    Tick,
    Rebroadcast,
}

/// A transaction that a session node sends.
pub(super) struct Submission {
    from: usize,
    transaction: Transaction,
    /// The validators to try.
    order: Vec<usize>,
}

/// What a session node has let go of.
enum Sent {
    Message(PublicKey, Bytes),
    Transaction(Transaction, usize),
}

#[derive(Clone, Default)]
pub(super) struct Port(Arc<Mutex<Vec<Sent>>>);

impl Outside for Port {
    fn send(&self, to: &PublicKey, message: Bytes) {
        self.0.lock().push(Sent::Message(*to, message));
    }

    fn submit(&self, transaction: &Transaction, attempt: usize) {
        let sent = Sent::Transaction(transaction.clone(), attempt);
        self.0.lock().push(sent);
    }
}

pub(super) struct Validator {
    pub(super) site: usize,
    /// Nothing where it has crashed.
    pub(super) running: Option<(Arc<ValidatorCore>, watch::Receiver<u64>)>,
}

pub(super) struct SessionNode {
    pub(super) node: Arc<SessionCore>,
    pub(super) port: Port,
    pub(super) leaders: Leaders,
    pub(super) verifier: Verifier,
    /// The validator that it follows, and the height of the last block that came from there.
    pub(super) source: usize,
    pub(super) streamed: u64,
}

pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The run.
pub(super) struct World {
    pub(super) genesis: Arc<Genesis>,
    pub(super) matrix: Matrix,
    pub(super) network: Network,
    pub(super) clock: Clock,
    pub(super) validators: Vec<Validator>,
    pub(super) sessions: Vec<SessionNode>,
    pub(super) wire: Wire<Event>,
}

/// What takes longer than anything should.
#[derive(Debug, thiserror::Error)]
#[error("nothing came of it in {} s of virtual time", .0.as_secs())]
pub(super) struct Stuck(Duration);

impl World {
    /// Lets the nodes' own timers begin.
    pub(super) fn begin(mut self) -> Self {
        let now = self.now();
        self.wire.at(now + TICK, Event::Tick);
        self.wire.at(now + REBROADCAST, Event::Rebroadcast);
        self
    }

    /// The time now.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// The session node at a site.
    pub(super) fn node(&self, site: usize) -> &Arc<SessionCore> {
        &self.sessions[site].node
    }

    /// Whether everybody has everything, and nothing is to be done.
    pub(super) fn is_quiet(&self) -> bool {
        let running = self.validators.iter();
        let running = running.filter_map(|validator| validator.running.as_ref());
        let nodes: Vec<_> = running.map(|(node, _)| node).collect();
        let idle = nodes.iter().all(|node| node.pending() == 0);
        let heights = nodes.iter().map(|node| node.store.tip().height);
        let sessions = self.sessions.iter();
        let sessions = sessions.map(|session| session.node.store.tip().height);
        let heights: BTreeSet<_> = heights.chain(sessions).collect();
        idle && heights.len() == 1
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            self.turn(end).await;
        }
    }

    /// Lets time pass until `condition` gives something, but no longer than `limit`.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, Stuck> {
        let end = self.now() + limit;
        loop {
            self.settle();
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            if self.now() >= end {
                return Err(Stuck(limit));
            }
            self.turn(end).await;
        }
    }

    /// Does what there is to do now, and lets time pass until there is more, or until `end`.
    async fn turn(&mut self, end: SystemTime) {
        self.settle();
        let next = self.wire.next().map_or(end, |next| next.min(end));
        let left = next.duration_since(self.now()).unwrap_or_default();
        let running = self.validators.iter_mut();
        let running = running.filter_map(|validator| validator.running.as_mut());
        let grown = running.map(|(_, heights)| {
            let grown = heights.changed().then(|changed| async move {
                if changed.is_err() {
                    pending::<()>().await;
                }
            });
            grown.boxed()
        });
        let sleep = self.network.sleep(left).boxed_local();
        futures::future::select(sleep, select_all(grown)).await;
    }

    /// Does what there is to do now.
    fn settle(&mut self) {
        loop {
            (0..self.sessions.len()).for_each(|from| self.collect(from));
            (0..self.sessions.len()).for_each(|to| self.stream(to));
            match self.wire.arrived(self.now()) {
                Some(event) => self.take(event),
                None => return,
            }
        }
    }

    /// Puts on the wire what a session node has let go of.
    fn collect(&mut self, from: usize) {
        let sent: Vec<Sent> = self.sessions[from].port.0.lock().drain(..).collect();
        for sent in sent {
            match sent {
                Sent::Message(key, bytes) => {
                    let mut nodes = self.sessions.iter();
                    let to = nodes.position(|other| other.node.key.public_key() == key);
                    // Nodes know those of the genesis only, and all of them are here.
                    let Some(to) = to else { continue };
                    let ends = (End::Session(from), End::Session(to));
                    self.send(ends, Event::Message { from, to, bytes });
                }
                Sent::Transaction(transaction, attempt) => {
                    let order = self.sessions[from].leaders.order(attempt);
                    self.submit(Submission {
                        from,
                        transaction,
                        order,
                    });
                }
            }
        }
    }

    /// Sends a transaction to the next validator that is to be tried.
    fn submit(&mut self, submission: Submission) {
        if let Some(first) = submission.order.first() {
            let ends = (End::Session(submission.from), End::Validator(*first));
            self.send(ends, Event::Submission(submission));
        }
    }

    /// Puts on the wire what the validator that a session node follows has made final.
    fn stream(&mut self, to: usize) {
        let source = self.sessions[to].source;
        let Some((node, heights)) = &mut self.validators[source].running else {
            return;
        };
        let (node, tip) = (node.clone(), *heights.borrow_and_update());
        while self.sessions[to].streamed < tip {
            self.sessions[to].streamed += 1;
            let height = self.sessions[to].streamed;
            let entry = node.store.entry(height);
            let entry = entry.expect("a ledger in memory is read");
            let entry = Box::new(entry.expect("what is below the tip is there"));
            let ends = (End::Validator(source), End::Session(to));
            self.send(ends, Event::Block { to, entry });
        }
    }

    fn send(&mut self, ends: (End, End), event: Event) {
        let site = |end| match end {
            End::Session(site) => site,
            End::Validator(index) => self.validators[index].site,
        };
        let delay = self.matrix.delay(site(ends.0), site(ends.1));
        self.wire.send(self.now(), ends, delay, event);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Message { from, to, bytes } => {
                let sender = self.sessions[from].node.key.public_key();
                self.sessions[to].node.receive(sender, bytes);
            }
            Event::Submission(submission) => self.arrive(submission),
            Event::Refused(mut submission) => {
                let validator = submission.order.remove(0);
                self.sessions[submission.from].leaders.failed(validator);
                self.submit(submission);
            }
            Event::Block { to, entry } => self.follow(to, *entry),
            Event::Tick => {
                self.sessions.iter().for_each(|session| session.node.tick());
                self.wire.at(self.now() + TICK, Event::Tick);
            }
            Event::Rebroadcast => {
                let running = self.validators.iter();
                let running = running.filter_map(|validator| validator.running.as_ref());
                running.for_each(|(node, _)| node.rebroadcast());
                self.wire.at(self.now() + REBROADCAST, Event::Rebroadcast);
            }
        }
    }

    fn arrive(&mut self, submission: Submission) {
        let Some(validator) = submission.order.first().copied() else {
            return;
        };
        match &self.validators[validator].running {
            Some((node, _)) => {
                // What is in a block or in the queue already is sent again now and then.
                let _ = node.submit(submission.transaction);
            }
            None => {
                let ends = (End::Validator(validator), End::Session(submission.from));
                self.send(ends, Event::Refused(submission));
            }
        }
    }

    fn follow(&mut self, to: usize, entry: Entry) {
        let SessionNode {
            node,
            leaders,
            verifier,
            ..
        } = &mut self.sessions[to];
        let block = entry.block.as_ref().clone();
        let finals = verifier.push(block, entry.certificate);
        for entry in finals.expect("nobody lies here") {
            leaders.followed(&entry.block.header);
            let taken = node.final_block(&entry.block, entry.certificate);
            taken.expect("all run the same service");
        }
    }
}
