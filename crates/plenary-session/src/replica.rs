//! A step, at the other session nodes: run it again, compare, write it down, endorse it.
//!
//! The paper's re-execution of Tx = (r, s, N_id) by every layer-2 node. A node that gets the same
//! response endorses the chain; one that gets another refuses, says where the first difference is,
//! and keeps the originator's signed word as evidence. It contradicts only where it could run the
//! step on exactly the state that the originator names; otherwise it may be its own state that
//! differs, and it stays silent.
//!
//! Whoever has a step may pass it on, with its originator's promise: the originator may be gone.

use crate::{
    error::Refusal,
    evidence::Contradiction,
    feed::Event,
    message::{Endorse, Given, Message, Owner, Proposal},
    node::Node,
    record::{Record, StepRecord},
    rival::Rank,
    session::{Entry, Live, Status, Step, history_after},
    sessions::Most,
    step::{lock, owner as opener},
};
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_service::{Difference, Session, StateView, Writes};
use plenary_types::{
    Author, Endorsement, Outcome, Promise, PublicKey, SessionId, encode, genesis::ClientSignatures,
    keys::verify_batch,
};
use std::sync::Arc;

impl Node {
    /// Takes a message of another session node. Anything may be in it.
    pub fn receive(self: &Arc<Self>, from: PublicKey, message: Bytes) {
        if let Some(message) = self.hear(&from, message) {
            self.take_in(from, message);
        }
    }

    /// Reads what another session node sent, if it is a message. Anything may be in it.
    pub(crate) fn hear(&self, from: &PublicKey, message: Bytes) -> Option<Message> {
        if !self.genesis.is_session_node(from) || *from == self.key.public_key() {
            return None;
        }
        let message = plenary_types::decode::<Message>(message).inspect_err(|error| {
            self.metrics.garbage.inc();
            tracing::debug!(%error, %from, "a session node sent what is no message");
        });
        message.ok()
    }

    /// Does what a message of another session node says. May run a handler.
    pub(crate) fn take_in(self: &Arc<Self>, from: PublicKey, message: Message) {
        match message {
            Message::Propose(proposal) => self.replicate(from, *proposal),
            Message::Endorse(endorse) => {
                if let Some(entry) = self.sessions.get(&endorse.session)
                    && let Ok(live) = lock(&entry)
                {
                    endorsed(&live, from, &endorse);
                }
            }
            Message::Behind {
                session,
                from: step,
            } => self.catch_up(from, session, step),
            Message::Refuse(contradiction) => self.contradicted(from, *contradiction),
            Message::Over { session, given } => self.over(from, session, given),
        }
    }

    /// As [`take_in`](Self::take_in), where that can be done without waiting for anything; says
    /// whether it was.
    pub(crate) fn take_at_once(&self, from: PublicKey, message: &Message) -> bool {
        let Message::Endorse(endorse) = message else {
            return false;
        };
        let Some(entry) = self.sessions.get(&endorse.session) else {
            return true;
        };
        let live = entry.live.try_lock();
        live.is_some_and(|live| {
            endorsed(&live, from, endorse);
            true
        })
    }

    /// Another node can be reached, anew or for the first time: it gets the last step of every
    /// session that it has not endorsed, and asks for those before that it lacks.
    pub fn met(&self, other: PublicKey) {
        for entry in self.sessions.all() {
            let Ok(live) = lock(&entry) else { continue };
            let lacks = |last: &&Step| last.promise.node != other && !last.agreement.has(&other);
            let last = live.steps.last().filter(|_| live.is_open());
            let proposal = last.filter(lacks).map(|last| last.proposal(live.owner));
            drop(live);
            if let Some(proposal) = proposal {
                self.send(&other, &proposal);
            }
        }
    }

    /// Runs what another node proposes as the next step of a session.
    pub(crate) fn replicate(self: &Arc<Self>, from: PublicKey, proposal: Proposal) {
        let session = proposal.promise.session;
        if let Err(error) = self.check_proposal(&proposal) {
            self.metrics.garbage.inc();
            tracing::warn!(%from, %session, %error, "a proposal is not valid");
            return;
        }
        if proposal.promise.height > self.store.tip().height {
            self.park(from, proposal);
            return;
        }
        if let Err(error) = self.try_replicate(from, proposal) {
            tracing::debug!(%from, %session, %error, "a proposed step is not taken");
        }
        if let Some(entry) = self.sessions.get(&session) {
            self.forget_unopened(&entry);
        }
    }

    /// Checks all that needs no session: signatures, and that the parts fit.
    fn check_proposal(&self, proposal: &Proposal) -> Result<(), &'static str> {
        let Proposal {
            owner,
            promise,
            history,
            operation,
            ..
        } = proposal;
        let opens = SessionId::from(operation.id()) == promise.session;
        if !self.genesis.is_session_node(&promise.node) || promise.time != operation.time {
            return Err("the promise is no session node's or of another time");
        }
        if opens != (promise.sequence == 0) {
            return Err("the first operation of a session names it");
        }
        let mut signatures = vec![promise.signed_proposal(&self.genesis.hash(), history)];
        match (&operation.author, owner) {
            (Author::Signed(signature), Owner::Client(key)) if signature.key() == *key => {
                let refused = |_| "the client's signature is not over this request and time";
                signature.check_time(operation.time).map_err(refused)?;
                signatures.push(signature.signed(&operation.request).map_err(refused)?);
            }
            (Author::Anonymous { .. }, Owner::Token(_))
                if self.genesis.clients == ClientSignatures::Optional => {}
            _ => return Err("the author is not the session's owner"),
        }
        if opens && *owner != opener(&operation.author, &operation.request) {
            return Err("the session's owner is not who opens it");
        }
        verify_batch(&signatures)
            .then_some(())
            .ok_or("the signature of the promise or of the client does not verify")
    }

    fn try_replicate(self: &Arc<Self>, from: PublicKey, proposal: Proposal) -> Result<(), Refusal> {
        let (session, sequence) = (proposal.promise.session, proposal.promise.sequence);
        let Some(entry) = self.entry_for(&proposal)? else {
            if sequence > 0 {
                self.ask_for_missing(&from, session, 0);
            }
            return Ok(());
        };
        let mut live = lock(&entry)?;
        if sequence == 0
            && conflict_at(&live).is_some_and(|height| proposal.promise.height >= height)
        {
            // Its owner has had it run again, on the state that it was in conflict with.
            // As many of its steps as come are kept.
            let record = encode(&Record::Rebased { steps: 0 });
            self.log.append(entry.life, record, || {});
            live.clear(entry.id);
            entry.feed.push(Event::Rebased);
        }
        if let Some(known) = live.steps.get(sequence as usize) {
            let known = known.clone();
            if Rank::from(&known.promise) != Rank::from(&proposal.promise) {
                return self.weigh(from, &entry, &mut live, &known, proposal);
            }
            if known.agreement.is_durable() {
                known.agreement.stand_firm();
                drop(live);
                self.send(&from, &self.endorsement(&proposal.promise));
            }
            return Ok(());
        }
        if live.next() < sequence {
            let next = live.next();
            drop(live);
            self.ask_for_missing(&from, session, next);
            return Ok(());
        }
        if !live.is_open() || live.owner != proposal.owner {
            return Ok(());
        }
        if self.log.is_behind() {
            return Err(Refusal::NotDurable);
        }
        if live.chain_with(&proposal.operation) != proposal.promise.chain {
            // Where the steps before differ, one of the two may give way.
            self.ask_for_missing(&from, session, sequence.saturating_sub(1));
            return Err(Refusal::ChainDiffers {
                session,
                operations: live.steps.len(),
                own: live.chain_with(&proposal.operation),
                seen: proposal.promise.chain,
            });
        }
        if let Some(writes) = self.judge(&live.steps, &live.overlay, &proposal)? {
            self.take(from, &entry, &mut live, proposal, writes);
        }
        Ok(())
    }

    /// Runs a proposed step after `steps`, which have written `overlay`: what it writes, if this node
    /// gets the same.
    pub(crate) fn judge(
        &self,
        steps: &[Step],
        overlay: &Session,
        proposal: &Proposal,
    ) -> Result<Option<Writes>, Refusal> {
        let (exact, view) = self.view_at(proposal.promise.height)?;
        let difference = match overlay.check(&self.executor, view, &proposal.operation)? {
            Ok(writes) => return Ok(Some(writes)),
            Err(difference) => difference,
        };
        // It must have followed from the same steps; and what was read is not signed.
        let exact = exact && history_after(steps) == proposal.history;
        if exact && !matches!(difference, Difference::Read { .. }) {
            self.contradict(steps, proposal, &difference);
        } else {
            let session = proposal.promise.session;
            tracing::debug!(%session, %difference, "cannot judge a step");
        }
        Ok(None)
    }

    /// Asks for the steps of a session that this node lacks.
    fn ask_for_missing(&self, of: &PublicKey, session: SessionId, from: u32) {
        if self.asked.ask((session, from), self.now()) {
            self.send(of, &Message::Behind { session, from });
        }
    }

    /// The session of a proposal: a new one for a first step that layer 1 has not committed before.
    fn entry_for(&self, proposal: &Proposal) -> Result<Option<Arc<Entry>>, Refusal> {
        let (id, owner) = (proposal.promise.session, proposal.owner);
        if let Some(entry) = self.sessions.get(&id) {
            return Ok(Some(entry));
        }
        let committed = self.store.operation(&proposal.operation.id())?.is_some();
        if proposal.promise.sequence > 0 || committed {
            return Ok(None);
        }
        let (now, all) = (self.now(), self.bounds.sessions);
        // One node must not leave no room for the clients of the others.
        let same = all / self.genesis.session_nodes.len();
        let (origin, most) = (proposal.promise.node, Most { all, same });
        let entry = self
            .sessions
            .get_or_insert(id, origin, most, || Entry::new(id, origin, owner, now));
        entry.map(Some).ok_or(Refusal::TooManySessions(same))
    }

    /// The state at a height that this node has reached, or, where it is no longer kept, now; and
    /// whether it is the one that was asked for.
    fn view_at(&self, height: u64) -> Result<(bool, Arc<dyn StateView>), Refusal> {
        match self.store.state().view(height) {
            Ok(view) => Ok((true, view)),
            Err(_) => Ok((false, self.store.state().latest().1)),
        }
    }

    /// Writes a step down that this node agrees with, and endorses it once it is on disk.
    pub(crate) fn take(
        self: &Arc<Self>,
        from: PublicKey,
        entry: &Arc<Entry>,
        live: &mut Live,
        proposal: Proposal,
        writes: Writes,
    ) {
        let promise = proposal.promise;
        let record = StepRecord {
            promise,
            operation: proposal.operation,
            writes,
        };
        let leaving = Arc::<Mutex<Leaving>>::default();
        let (node, kept) = (self.clone(), leaving.clone());
        let step = self.keep(entry, live, record, move |agreement| {
            agreement.durable();
            let message = kept.lock().on_disk();
            if let Some(message) = message {
                node.send(&from, &message);
            }
        });
        step.agreement.stand_firm();
        // Signed while the disk works.
        let message = self.endorsement(&promise);
        let message = leaving.lock().signed(message);
        if let Some(message) = message {
            self.send(&from, &message);
        }
        self.metrics.replicated.inc();
    }

    /// This node's word that it agrees with what another one promised.
    fn endorsement(&self, promise: &Promise) -> Message {
        let endorsement = Endorsement::sign(&self.key, &self.genesis.hash(), &promise.chain);
        Message::Endorse(Endorse {
            session: promise.session,
            sequence: promise.sequence,
            chain: promise.chain,
            signature: endorsement.signature,
        })
    }

    /// Says that another node's step is wrong, to it and to whoever asks.
    fn contradict(&self, steps: &[Step], proposal: &Proposal, difference: &Difference) {
        let promise = proposal.promise;
        let heights = steps.iter().map(|step| step.promise.height).collect();
        let operations = steps.iter().map(|step| &*step.operation);
        let operations = operations.chain([&proposal.operation]).cloned().collect();
        let genesis = self.genesis.hash();
        let contradiction = Contradiction::sign(
            &self.key, &genesis, promise, heights, operations, difference,
        );
        tracing::warn!(node = %promise.node, session = %promise.session, sequence = promise.sequence, %difference,
            "a session node's answer is wrong");
        self.metrics.contradictions.inc();
        self.evidence.add(contradiction.clone());
        self.send(&promise.node, &Message::Refuse(Box::new(contradiction)));
    }

    /// Sends another node the steps of a session that it lacks.
    fn catch_up(&self, to: PublicKey, session: SessionId, from: u32) {
        let Some(entry) = self.sessions.get(&session) else {
            return;
        };
        let Ok(live) = lock(&entry) else { return };
        let steps = live.steps.iter().skip(from as usize);
        let proposals: Vec<Message> = steps.map(|step| step.proposal(live.owner)).collect();
        drop(live);
        for proposal in proposals {
            self.send(&to, &proposal);
        }
    }

    /// Another node says that this node's answer was wrong: kept for its operator, if it is signed.
    fn contradicted(&self, from: PublicKey, contradiction: Contradiction) {
        let own = self.key.public_key();
        if contradiction.finder == from
            && contradiction.promise.node == own
            && contradiction.verify(&self.genesis)
        {
            tracing::error!(%from, session = %contradiction.promise.session,
                difference = %contradiction.difference, "this node's answer is contradicted");
            self.metrics.contradictions.inc();
            self.evidence.add(contradiction);
        }
    }

    /// A session is over at its originator. Only the node whose word its last step is may say so.
    fn over(self: &Arc<Self>, from: PublicKey, session: SessionId, given: Given) {
        let Some(entry) = self.sessions.get(&session) else {
            return;
        };
        let last = {
            let Ok(live) = lock(&entry) else { return };
            live.steps.last().map(|step| step.promise.node)
        };
        if last == Some(from) {
            self.end(&entry, given);
        }
    }

    pub(crate) fn send(&self, to: &PublicKey, message: &Message) {
        self.outside.send(to, encode(message));
    }
}

/// An endorsement, which leaves once it is signed and its step is on disk.
#[derive(Default)]
struct Leaving {
    on_disk: bool,
    signed: Option<Message>,
}

impl Leaving {
    /// The step is on disk. Gives the endorsement if it is to be sent now.
    fn on_disk(&mut self) -> Option<Message> {
        self.on_disk = true;
        self.signed.take()
    }

    /// The endorsement is signed. Gives it back if it is to be sent now.
    fn signed(&mut self, message: Message) -> Option<Message> {
        match self.on_disk {
            true => Some(message),
            false => {
                self.signed = Some(message);
                None
            }
        }
    }
}

/// Another node has a step of this session and agrees with it: its word on a connection that is known
/// to be its own. Its signature is for others, and is verified when it is to go to them.
fn endorsed(live: &Live, from: PublicKey, endorse: &Endorse) {
    if let Some(step) = live.steps.get(endorse.sequence as usize)
        && step.promise.chain == endorse.chain
    {
        step.agreement.endorse(Endorsement {
            key: from,
            signature: endorse.signature,
        });
    }
}

/// The height that the session was in conflict at, where it is.
fn conflict_at(live: &Live) -> Option<u64> {
    match &live.status {
        Status::Decided(_, landed) if matches!(landed.outcome, Outcome::Conflict { .. }) => {
            Some(landed.height)
        }
        _ => None,
    }
}
