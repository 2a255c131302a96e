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
    message::{Given, Message, Owner, Proposal},
    node::Node,
    record::{Record, StepRecord},
    session::{Entry, Live, Status, Step},
    step::lock,
};
use bytes::Bytes;
use plenary_service::{Difference, StateView, Writes};
use plenary_types::{
    Author, Endorsement, Operation, Outcome, PublicKey, SessionId, Signature, encode,
    genesis::ClientSignatures,
};
use std::sync::Arc;

impl Node {
    /// Takes a message of another session node. Anything may be in it.
    pub fn receive(self: &Arc<Self>, from: PublicKey, message: Bytes) {
        if !self.genesis.is_session_node(&from) || from == self.key.public_key() {
            return;
        }
        match plenary_types::decode::<Message>(message) {
            Ok(Message::Propose(proposal)) => self.replicate(from, *proposal),
            Ok(Message::Endorse {
                session,
                sequence,
                signature,
            }) => self.endorsed(from, session, sequence, signature),
            Ok(Message::Behind {
                session,
                from: step,
            }) => self.catch_up(from, session, step),
            Ok(Message::Refuse(contradiction)) => self.contradicted(from, *contradiction),
            Ok(Message::Over { session, given }) => self.over(from, session, given),
            Err(error) => {
                self.metrics.garbage.inc();
                tracing::debug!(%error, %from, "a session node sent what is no message");
            }
        }
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
        if !promise.verify(&self.genesis.hash()) {
            return Err("the promise's signature does not verify");
        }
        match (&operation.author, owner) {
            (Author::Signed(signature), Owner::Client(key)) if signature.key() == *key => {
                let held = signature.verify(&operation.request).is_ok()
                    && signature.check_time(operation.time).is_ok();
                held.then_some(())
                    .ok_or("the client's signature does not hold")
            }
            (Author::Anonymous { .. }, Owner::Token(_))
                if self.genesis.clients == ClientSignatures::Optional =>
            {
                Ok(())
            }
            _ => Err("the author is not the session's owner"),
        }
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
        }
        if let Some(known) = live.steps.get(sequence as usize) {
            let same = known.promise.chain == proposal.promise.chain;
            if same && known.agreement.is_durable() {
                drop(live);
                self.endorse(&from, &proposal);
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
        if live.chain_with(&proposal.operation) != proposal.promise.chain {
            return Err(Refusal::ChainDiffers {
                session,
                operations: live.steps.len(),
                own: live.chain_with(&proposal.operation),
                seen: proposal.promise.chain,
            });
        }
        let (exact, view) = self.view_at(proposal.promise.height)?;
        match live
            .overlay
            .check(&self.executor, view, &proposal.operation)?
        {
            Ok(writes) => self.take(from, &entry, &mut live, proposal, writes),
            // Promises do not sign what was read.
            Err(difference) if exact && !matches!(difference, Difference::Read { .. }) => {
                self.contradict(&live, proposal, &difference);
            }
            Err(difference) => tracing::debug!(%session, %difference, "cannot judge a step"),
        }
        Ok(())
    }

    /// Asks for the steps of a session that this node lacks.
    fn ask_for_missing(&self, of: &PublicKey, session: SessionId, from: u32) {
        if self.asked.ask(session, from, self.now()) {
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
        let (now, most) = (self.now(), self.bounds.sessions);
        let entry = self
            .sessions
            .get_or_insert(id, most, || Entry::new(id, owner, now));
        entry.map(Some).ok_or(Refusal::TooManySessions(most))
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
    fn take(
        self: &Arc<Self>,
        from: PublicKey,
        entry: &Arc<Entry>,
        live: &mut Live,
        proposal: Proposal,
        writes: Writes,
    ) {
        let endorsement =
            Endorsement::sign(&self.key, &self.genesis.hash(), &proposal.promise.chain);
        let message = Message::Endorse {
            session: entry.id,
            sequence: proposal.promise.sequence,
            signature: endorsement.signature,
        };
        let record = StepRecord {
            promise: proposal.promise,
            operation: proposal.operation,
            writes,
        };
        let node = self.clone();
        self.keep(entry, live, record, move |agreement| {
            agreement.durable();
            node.send(&from, &message);
        });
        self.metrics.replicated.inc();
    }

    fn endorse(&self, to: &PublicKey, proposal: &Proposal) {
        let (chain, genesis) = (&proposal.promise.chain, self.genesis.hash());
        let endorsement = Endorsement::sign(&self.key, &genesis, chain);
        let message = Message::Endorse {
            session: proposal.promise.session,
            sequence: proposal.promise.sequence,
            signature: endorsement.signature,
        };
        self.send(to, &message);
    }

    /// Says that another node's step is wrong, to it and to whoever asks.
    fn contradict(&self, live: &Live, proposal: Proposal, difference: &Difference) {
        let promise = proposal.promise;
        let mut operations: Vec<Operation> = live.operations();
        operations.push(proposal.operation);
        let genesis = self.genesis.hash();
        let contradiction =
            Contradiction::sign(&self.key, &genesis, promise, operations, difference);
        tracing::warn!(node = %promise.node, session = %promise.session, sequence = promise.sequence, %difference,
            "a session node's answer is wrong");
        self.metrics.contradictions.inc();
        self.evidence.add(contradiction.clone());
        self.send(&promise.node, &Message::Refuse(Box::new(contradiction)));
    }

    /// Another node has a step of this node's and agrees with it.
    fn endorsed(&self, from: PublicKey, session: SessionId, sequence: u32, signature: Signature) {
        let Some(entry) = self.sessions.get(&session) else {
            return;
        };
        let Ok(live) = lock(&entry) else { return };
        let step = live.steps.get(sequence as usize).cloned();
        drop(live);
        let endorsement = Endorsement {
            key: from,
            signature,
        };
        // It may be of a chain that a rebase has made void.
        if let Some(step) = step
            && endorsement.verify(&self.genesis.hash(), &step.promise.chain)
        {
            step.agreement.endorse(endorsement);
        }
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

/// The height that the session was in conflict at, where it is.
fn conflict_at(live: &Live) -> Option<u64> {
    match &live.status {
        Status::Decided(_, landed) if matches!(landed.outcome, Outcome::Conflict { .. }) => {
            Some(landed.height)
        }
        _ => None,
    }
}
