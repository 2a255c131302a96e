//! A Byzantine session node: a correct one whose words are changed on their way out.

use bytes::Bytes;
use plenary_session::{
    evidence::Contradiction,
    message::{Endorse, Given, Message, Proposal},
    node::Node,
};
use plenary_store::testing::Random;
use plenary_types::{
    Author, Commitment, Digest, Genesis, Operation, OperationId, PrivateKey, Promise, PublicKey,
    SessionId, Signature, Transaction, decode, encode, limits::READABLE_HEIGHTS,
    session::chain_digest,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a Byzantine session node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Alters responses, to its clients and to its peers.
    Response,
    /// Alters responses to its clients, and tells its peers the truth.
    TwoStories,
    /// Alters responses to one of its peers, and tells all others the truth.
    OnePeer,
    /// Tells its peers of requests that no client made.
    Request,
    /// Keeps steps from its peers.
    Drop,
    /// Answers every commit and submits none.
    Withhold,
    /// Says of every session that it is over, contradicts honest nodes, and sends garbage.
    Noise,
}

impl Lie {
    pub const ALL: [Self; 7] = [
        Self::Response,
        Self::TwoStories,
        Self::OnePeer,
        Self::Request,
        Self::Drop,
        Self::Withhold,
        Self::Noise,
    ];
}

/// The Byzantine session node.
pub struct Liar {
    pub node: usize,
    pub lie: Lie,
    key: PrivateKey,
    genesis: Arc<Genesis>,
    random: Random,
    /// The sessions of its clients, as it tells them.
    stories: BTreeMap<SessionId, Vec<Operation>>,
    /// Those that it has lied to their clients about.
    lying: BTreeSet<SessionId>,
    /// The lies that it told: the operation, and what it said was asked and answered.
    pub told: BTreeSet<(OperationId, Digest, Digest)>,
    /// How many of its wrong responses a peer has proof of.
    pub proven: usize,
}

/// What names a lie, or the truth.
pub fn name(operation: &Operation) -> (OperationId, Digest, Digest) {
    (
        operation.id(),
        operation.request.digest(),
        operation.response.digest(),
    )
}

fn altered(operation: &Operation) -> Operation {
    let mut altered = operation.clone();
    altered.response.body = Bytes::from_static(b"1000000");
    altered
}

impl Liar {
    pub fn new(node: usize, lie: Lie, key: PrivateKey, genesis: Arc<Genesis>, seed: u64) -> Self {
        Self {
            node,
            lie,
            key,
            genesis,
            random: Random::new(seed ^ 0x11a4),
            stories: BTreeMap::new(),
            lying: BTreeSet::new(),
            told: BTreeSet::new(),
            proven: 0,
        }
    }

    /// Whether it sends no transactions.
    pub fn withholds(&self) -> bool {
        self.lie == Lie::Withhold
    }

    /// What a client is told instead of a step that the node has run.
    pub fn answer(
        &mut self,
        session: SessionId,
        seen: &[Operation],
        step: &Operation,
    ) -> Operation {
        let lies = matches!(self.lie, Lie::Response | Lie::TwoStories);
        let mut told = step.clone();
        if lies && self.alters(&session, step) {
            told = altered(step);
            self.told.insert(name(&told));
            self.lying.insert(session);
        }
        let story = [seen, &[told.clone()]].concat();
        self.stories.insert(session, story);
        told
    }

    /// Whether it alters the response of an operation: some, and all that follow in the session.
    fn alters(&self, session: &SessionId, operation: &Operation) -> bool {
        self.lying.contains(session) || operation.id().0[0].is_multiple_of(3)
    }

    /// Whether a session is one that it lies about.
    pub fn lies_about(&self, session: &SessionId) -> bool {
        self.lying.contains(session)
    }

    /// The transaction that it makes of what it told a client, and the client signed.
    pub fn commit(&self, session: &SessionId, commitment: Commitment) -> Option<Transaction> {
        let lie = self.lying.get(session)?;
        let operations = self.stories.get(lie)?.clone();
        let (genesis, service) = (self.genesis.hash(), self.genesis.service.clone());
        let commitment = Some(commitment);
        let none = Vec::new();
        Transaction::sign(&self.key, &genesis, service, operations, commitment, none).ok()
    }

    /// What a peer gets instead of a message.
    pub fn message(&mut self, to: usize, bytes: Bytes) -> Option<Bytes> {
        let Ok(Message::Propose(proposal)) = decode::<Message>(bytes.clone()) else {
            return Some(bytes);
        };
        match self.lie {
            Lie::Response if self.alters(&proposal.promise.session, &proposal.operation) => {
                Some(self.propose(&proposal, altered(&proposal.operation)))
            }
            Lie::OnePeer if to == 0 && self.random.below(2) == 0 => {
                Some(self.propose(&proposal, altered(&proposal.operation)))
            }
            Lie::Request if self.random.below(2) == 0 => {
                let mut forged = proposal.operation.clone();
                forged.request.body = Bytes::from_static(b"1000000");
                Some(self.propose(&proposal, forged))
            }
            Lie::Drop if self.random.below(2) == 0 => None,
            Lie::Noise => self.noise(&proposal, bytes),
            _ => Some(bytes),
        }
    }

    /// A proposal of another operation, promised as if it followed on the same chain.
    fn propose(&mut self, honest: &Proposal, operation: Operation) -> Bytes {
        self.told.insert(name(&operation));
        let Promise {
            session, sequence, ..
        } = honest.promise;
        let (history, moment) = (&honest.history, honest.promise.moment());
        let previous = match self.stories.get(&session) {
            Some(story) => story.get(..sequence as usize).unwrap_or_default(),
            None => &[],
        };
        let chain = chain_digest(previous.iter().chain([&operation]));
        let genesis = self.genesis.hash();
        let promise = Promise::propose(
            &self.key, &genesis, history, session, sequence, moment, chain,
        );
        encode(&Message::Propose(Box::new(Proposal {
            promise,
            operation,
            ..honest.clone()
        })))
    }

    fn noise(&mut self, proposal: &Proposal, honest: Bytes) -> Option<Bytes> {
        let session = proposal.promise.session;
        let sequence = proposal.promise.sequence;
        let message = match self.random.below(6) {
            0 => Message::Over {
                session,
                given: Given::Aborted,
            },
            1 => Message::Endorse(Endorse {
                session,
                sequence,
                chain: proposal.promise.chain,
                signature: Signature([7; 64]),
            }),
            2 => Message::Behind { session, from: 0 },
            3 => Message::Refuse(Box::new(Contradiction::sign(
                &self.key,
                &self.genesis.hash(),
                proposal.promise,
                Vec::new(),
                vec![proposal.operation.clone()],
                &"nothing",
            ))),
            4 => return Some(Bytes::from_static(&[0xab; 100])),
            _ => return Some(honest),
        };
        Some(encode(&message))
    }

    /// The wrong response that a message is, where the node that gets it can run the step just as
    /// the liar says it did.
    pub fn provable(&self, node: &Node, message: &Bytes) -> Option<Promise> {
        let Ok(Message::Propose(proposal)) = decode::<Message>(message.clone()) else {
            return None;
        };
        let Proposal {
            promise,
            history,
            operation,
            ..
        } = *proposal;
        let Author::Signed(signature) = &operation.author else {
            return None;
        };
        let tip = node.store.tip().height;
        let wrong = promise.node == self.public_key()
            && self.told.contains(&name(&operation))
            && signature.verify(&operation.request).is_ok()
            && (tip.saturating_sub(READABLE_HEIGHTS - 1)..=tip).contains(&promise.height);
        let follows = match node.sessions.get(&promise.session) {
            Some(entry) => {
                let live = entry.live.lock();
                live.is_open()
                    && live.next() == promise.sequence
                    && live.history() == history
                    && live.chain_with(&operation) == promise.chain
            }
            None => {
                let committed = node.store.operation(&operation.id()).unwrap();
                promise.sequence == 0
                    && promise.chain == chain_digest([&operation])
                    && committed.is_none()
            }
        };
        (wrong && follows).then_some(promise)
    }

    /// The node has kept the proof of a wrong response.
    pub fn is_proven(&mut self, node: &Node, lie: Promise) {
        let kept = node.evidence.all();
        let of_step = |one: &Contradiction| {
            let promise = &one.promise;
            (promise.node, promise.session, promise.sequence)
                == (lie.node, lie.session, lie.sequence)
        };
        assert!(kept.iter().any(of_step), "a lie is not kept as evidence");
        self.proven += 1;
    }

    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }
}
