//! Two steps in one place: which of them gives way.
//!
//! A client that gets no answer turns to another node with the same request. That node may run it at
//! another time, on another height, and so answer it otherwise. Where more nodes than one must agree on
//! a step, nobody could then agree on either of the two. So one gives way:
//!
//! - A step that as many nodes agree on as are needed never does: it may have been answered.
//! - At a node that has endorsed it to another one, which may have answered it, a step is *firm*; and
//!   after a restart every step is, for the node does not know.
//! - One that is not firm gives way to a smaller one, and to any that its sender stands firm on.
//! - One that is firm gives way to a smaller one, once so many others stand firm on smaller ones that
//!   those who are left are too few to agree on it.
//!
//! Why no answer is lost: from a firm step a node only goes on to smaller ones. Take a step that enough
//! nodes have endorsed, and of these the first that gives it way. It has heard of nodes that are firm on
//! smaller ones, more than can be outside of those that have endorsed this one; so one of these has
//! left it before, and it was not the first. That counts on honest nodes: a liar can bring another node
//! to forget a step that it endorsed, as it could by refusing, but never the one that answered.
//!
//! Why it ends: the greatest of the firm steps that cannot be agreed on gives way, as soon as its nodes
//! hear from the others. A node that alone stands firm on a smaller step than the one that was
//! answered keeps it, and is of no use to the session until layer 1 decides that.
//!
//! A step that gives way is replaced in the log by the record of the other. Its originator's signature
//! is a proposal's and not a promise's, so nobody has broken a promise.

use crate::{
    error::Refusal,
    message::Proposal,
    node::Node,
    session::{Entry, Live, Step},
    step::{Stepped, lock},
};
use plenary_types::{
    Digest, Promise, PublicKey,
    session::{Moment, chain_link},
};
use std::sync::Arc;

/// What tells two steps in one place apart, and orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    chain: Digest,
    moment: Moment,
}

impl From<&Promise> for Rank {
    fn from(promise: &Promise) -> Self {
        Self {
            chain: promise.chain,
            moment: promise.moment(),
        }
    }
}

impl Node {
    /// Weighs a proposed step against the one that this node has in its place.
    pub(crate) fn weigh(
        self: &Arc<Self>,
        from: PublicKey,
        entry: &Arc<Entry>,
        live: &mut Live,
        known: &Step,
        proposal: Proposal,
    ) -> Result<(), Refusal> {
        let same = known.operation.id() == proposal.operation.id()
            && known.operation.request == proposal.operation.request;
        if !same || !live.is_open() || live.owner != proposal.owner {
            return Ok(());
        }
        let (own, other) = (Rank::from(&known.promise), Rank::from(&proposal.promise));
        let firm = known.agreement.is_firm();
        let last = known.promise.sequence + 1 == live.next();
        if last && proposal.firm {
            live.rivals.insert(from, other);
        }
        let gives_way = match firm {
            false => other < own || proposal.firm,
            true => other < own && self.cannot_hold(live, own),
        };
        if last && gives_way {
            return self.give_way(from, entry, live, known, proposal);
        }
        let promise = &known.promise;
        let shown = (from, promise.session, promise.sequence, firm);
        if (own < other || (firm && !proposal.firm)) && self.shown.ask(shown, self.now()) {
            self.send(&from, &known.proposal(live.owner));
        }
        Ok(())
    }

    /// Whether so many others stand firm on smaller steps that this one cannot be agreed on.
    fn cannot_hold(&self, live: &Live, own: Rank) -> bool {
        let smaller = live.rivals.values().filter(|rival| **rival < own).count();
        smaller + self.needed() > self.others().count()
    }

    /// Takes a proposed step in the place of the last one, if this node gets the same.
    fn give_way(
        self: &Arc<Self>,
        from: PublicKey,
        entry: &Arc<Entry>,
        live: &mut Live,
        known: &Step,
        proposal: Proposal,
    ) -> Result<(), Refusal> {
        let (chain, overlay) = live.before_last();
        if chain_link(&chain, &proposal.operation) != proposal.promise.chain {
            return Ok(());
        }
        let before = known.promise.sequence as usize;
        let judged = self.judge(&live.steps[..before], &overlay, &proposal)?;
        if let Some(writes) = judged
            && known.agreement.give_way()
        {
            live.pop();
            self.take(from, entry, live, proposal, writes);
        }
        Ok(())
    }

    /// The step that has taken the place of one that gave way, once the others are asked about it.
    ///
    /// # Errors
    ///
    /// Where the session is busy, or has the operation no longer.
    pub fn instead_of(&self, stepped: &Stepped) -> Result<Stepped, Refusal> {
        let entry = stepped.entry.clone();
        let live = lock(&entry)?;
        let step = live.step_of(&stepped.step.operation.id()).cloned();
        let step = step.ok_or(Refusal::UnknownSession(entry.id))?;
        self.ask_again(&live, &step);
        drop(live);
        Ok(Stepped { entry, step })
    }
}
