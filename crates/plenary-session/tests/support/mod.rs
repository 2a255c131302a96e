//! A client as it is on its own side: it signs its requests, remembers the chain that it was
//! answered, and signs that to commit.

use plenary_session::{commit::Word, session::Step, step::Asked};
use plenary_types::{
    Author, ClientSignature, Commitment, Digest, Genesis, Operation, PrivateKey, Request,
    SessionId, Timestamp,
    session::{EMPTY_CHAIN, chain_digest},
};

/// Where clients believe the service to be.
const ORIGIN: &str = "http://node";

/// A client and one session of it.
#[derive(Debug, Clone)]
pub struct Client {
    pub key: PrivateKey,
    name: String,
    /// The operations that it has seen, as it was answered.
    pub seen: Vec<Operation>,
    asked: usize,
}

impl Client {
    /// A client, and a session of it with a name of its own.
    pub fn new(seed: u8, name: &str) -> Self {
        Self {
            key: PrivateKey::from_seed([seed; 32]),
            name: name.into(),
            seen: Vec::new(),
            asked: 0,
        }
    }

    /// Signs its next request.
    pub fn ask(&mut self, now: Timestamp, request: Request) -> Asked {
        self.asked += 1;
        let nonce = format!("{}-{}", self.name, self.asked);
        let seconds = now.0 / 1000;
        let signature =
            ClientSignature::sign_in_session(&self.key, &request, ORIGIN, &nonce, seconds);
        Asked {
            request,
            author: Author::Signed(signature.unwrap()),
            token: None,
            seen: Some(self.chain()),
            commitment: None,
        }
    }

    /// Takes an answer for what it is: the next step that it has seen.
    pub fn saw(&mut self, step: &Step) {
        self.seen.push(Operation::clone(&step.operation));
    }

    /// The chain that it has seen.
    pub fn chain(&self) -> Digest {
        match self.seen.is_empty() {
            true => EMPTY_CHAIN,
            false => chain_digest(&self.seen),
        }
    }

    /// Its session's name.
    pub fn session(&self) -> SessionId {
        self.seen[0].id().into()
    }

    /// Its word on what it has seen.
    pub fn word(&self, genesis: &Genesis) -> Word {
        let commitment = Commitment::sign(&self.key, &genesis.hash(), &self.chain());
        Word::Whole(Some(commitment.signature))
    }
}
