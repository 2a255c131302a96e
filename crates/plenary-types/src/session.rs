//! A session as it is signed: the chain of its operations, and what client and session nodes say
//! of it.
//!
//! The chain's digest stands for the operations' requests, responses and order. The session node
//! signs it with every answer (a [`Promise`]), the client signs it to commit (a [`Commitment`]),
//! and other session nodes that have run the same operations sign it too (an [`Endorsement`]).

use crate::{
    codec::{codec, read_list},
    digest::{Digest, GenesisHash, OperationId, SessionId},
    http::Request,
    keys::{PrivateKey, PublicKey, Signature, Signed},
    limits::{MAX_OPERATIONS, MAX_TRANSACTION_BYTES},
    operation::Operation,
    time::Timestamp,
};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, Read, ReadExt, Write};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The digest of a chain without operations.
pub const EMPTY_CHAIN: Digest = Digest([0; 32]);

/// The digest of a chain that `previous` is the digest of, with one more operation.
pub fn chain_link(previous: &Digest, operation: &Operation) -> Digest {
    let parts = [
        &previous.0,
        &operation.id().0,
        &operation.request.digest().0,
        &operation.response.digest().0,
    ];
    Digest::of("plenary chain", &parts.map(|part| &part[..]))
}

/// The digest of a chain of operations as its client saw it: requests, responses and their order.
pub fn chain_digest<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Digest {
    operations
        .into_iter()
        .fold(EMPTY_CHAIN, |chain, next| chain_link(&chain, next))
}

/// When a step ran, and on which state: with its request and the steps before, all that its response
/// follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// What its handler saw as "now".
    pub time: Timestamp,
    /// The final height that it ran on.
    pub height: u64,
}

/// The digest of no moments.
pub const EMPTY_HISTORY: Digest = Digest([0; 32]);

/// The digest of the moments that `previous` is the digest of, with one more.
pub fn history_link(previous: &Digest, Moment { time, height }: Moment) -> Digest {
    let (time, height) = (time.0.to_be_bytes(), height.to_be_bytes());
    Digest::of("plenary history", &[&previous.0, &time, &height])
}

/// A client's signature over the whole chain of operations it saw: it cannot be given an order,
/// or a response, that the client did not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    /// The client's key, the same that signed the requests.
    pub key: PublicKey,
    /// Whether the last operation is the request that the commitment came with, so that the client
    /// had not seen its response.
    pub closing: bool,
    /// Over what the client saw.
    pub signature: Signature,
}
codec!(Commitment {
    key,
    closing,
    signature
});

impl Commitment {
    /// Signs a chain that the client has seen whole, on the network of `genesis`.
    pub fn sign(key: &PrivateKey, genesis: &GenesisHash, chain: &Digest) -> Self {
        Self {
            key: key.public_key(),
            closing: false,
            signature: key.sign(&committed(genesis, chain, None)),
        }
    }

    /// Signs a chain and the request that ends it, which is sent together with the signature.
    pub fn sign_closing(
        key: &PrivateKey,
        genesis: &GenesisHash,
        seen: &Digest,
        last: OperationId,
        request: &Request,
    ) -> Self {
        Self {
            key: key.public_key(),
            closing: true,
            signature: key.sign(&committed(genesis, seen, Some((last, request)))),
        }
    }

    /// What the signature must be over for it to commit `operations`; nothing where there is no
    /// operation to close with.
    pub fn message(&self, genesis: &GenesisHash, operations: &[Operation]) -> Option<Vec<u8>> {
        if !self.closing {
            return Some(committed(genesis, &chain_digest(operations), None));
        }
        let (last, seen) = operations.split_last()?;
        let last = Some((last.id(), &last.request));
        Some(committed(genesis, &chain_digest(seen), last))
    }

    /// Whether the client has signed this chain, whole.
    #[must_use]
    pub fn commits(&self, genesis: &GenesisHash, chain: &Digest) -> bool {
        let message = committed(genesis, chain, None);
        !self.closing && self.key.verify(&message, &self.signature)
    }

    /// Whether the client has signed what it saw, and this request to end it.
    #[must_use]
    pub fn closes(
        &self,
        genesis: &GenesisHash,
        seen: &Digest,
        last: OperationId,
        request: &Request,
    ) -> bool {
        let message = committed(genesis, seen, Some((last, request)));
        self.closing && self.key.verify(&message, &self.signature)
    }
}

fn committed(
    genesis: &GenesisHash,
    seen: &Digest,
    closing: Option<(OperationId, &Request)>,
) -> Vec<u8> {
    let mut message = b"plenary session commitment 2\n".to_vec();
    message.extend_from_slice(&genesis.0);
    message.extend_from_slice(&seen.0);
    if let Some((id, request)) = closing {
        message.extend_from_slice(&id.0);
        message.extend_from_slice(&request.digest().0);
    }
    message
}

/// A session node's signature over a chain that another one originated: it ran the same operations
/// and got the same responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endorsement {
    /// The session node.
    pub key: PublicKey,
    /// Over the network and the chain's digest.
    pub signature: Signature,
}
codec!(Endorsement { key, signature });

impl Endorsement {
    /// What is signed.
    pub fn message(genesis: &GenesisHash, chain: &Digest) -> Vec<u8> {
        [&b"plenary endorsement 1\n"[..], &genesis.0, &chain.0].concat()
    }

    /// Endorses the chain.
    pub fn sign(key: &PrivateKey, genesis: &GenesisHash, chain: &Digest) -> Self {
        Self {
            key: key.public_key(),
            signature: key.sign(&Self::message(genesis, chain)),
        }
    }

    /// Whether the signature is its key's over this chain.
    #[must_use]
    pub fn verify(&self, genesis: &GenesisHash, chain: &Digest) -> bool {
        self.signed(genesis, chain).verify()
    }

    /// The signature over this chain, to be verified together with others.
    pub fn signed(&self, genesis: &GenesisHash, chain: &Digest) -> Signed {
        Signed {
            key: self.key,
            signature: self.signature,
            message: Self::message(genesis, chain),
        }
    }
}

/// A session node's word for a step: if the session is committed, it is with this chain. Comes with
/// every answer, as text in `Plenary-Promise`. Session nodes [propose](Self::propose) steps to each
/// other in the same words, under a signature of its own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The session node that answered.
    pub node: PublicKey,
    /// The session.
    pub session: SessionId,
    /// The step, from 0.
    pub sequence: u32,
    /// When the step ran, by the session node's clock: what its handler saw as "now".
    pub time: Timestamp,
    /// The final height that the step ran on.
    pub height: u64,
    /// The digest of the chain up to this step, with it.
    pub chain: Digest,
    /// Over all of the above and the network's genesis.
    pub signature: Signature,
}
codec!(Promise {
    node,
    session,
    sequence,
    time,
    height,
    chain,
    signature
});

/// What a promise's signature begins with.
const PROMISED: &[u8] = b"plenary promise 1\n";
/// What a proposal's does.
const PROPOSED: &[u8] = b"plenary proposal 1\n";

impl Promise {
    /// Promises a step.
    pub fn sign(
        key: &PrivateKey,
        genesis: &GenesisHash,
        session: SessionId,
        sequence: u32,
        time: Timestamp,
        height: u64,
        chain: Digest,
    ) -> Self {
        let moment = Moment { time, height };
        Self::unsigned(key.public_key(), session, sequence, moment, chain).give(key, genesis)
    }

    /// Proposes a step to other session nodes, in the same words, after steps whose moments have the
    /// digest `history`. That is no promise: where they agree on another step, nobody has broken his
    /// word.
    pub fn propose(
        key: &PrivateKey,
        genesis: &GenesisHash,
        history: &Digest,
        session: SessionId,
        sequence: u32,
        moment: Moment,
        chain: Digest,
    ) -> Self {
        let mut proposed = Self::unsigned(key.public_key(), session, sequence, moment, chain);
        proposed.signature = key.sign(&proposed.proposal(genesis, history));
        proposed
    }

    /// When its step ran.
    pub fn moment(&self) -> Moment {
        Moment {
            time: self.time,
            height: self.height,
        }
    }

    /// A step that its node gives nobody its word for yet, and has nobody to propose it to.
    pub fn unsigned(
        node: PublicKey,
        session: SessionId,
        sequence: u32,
        Moment { time, height }: Moment,
        chain: Digest,
    ) -> Self {
        Self {
            node,
            session,
            sequence,
            time,
            height,
            chain,
            signature: Signature([0; 64]),
        }
    }

    /// The same step, promised to its client by the node with `key`, whoever proposed it.
    #[must_use]
    pub fn give(&self, key: &PrivateKey, genesis: &GenesisHash) -> Self {
        let mut given = Self {
            node: key.public_key(),
            ..*self
        };
        given.signature = key.sign(&given.message(PROMISED, genesis));
        given
    }

    /// Whether the signature is the node's on the network of `genesis`, and is a promise's. Whether
    /// the node is one of the network's is another question.
    #[must_use]
    pub fn verify(&self, genesis: &GenesisHash) -> bool {
        self.signed(genesis).verify()
    }

    /// The signature of a promise, to be verified together with others.
    pub fn signed(&self, genesis: &GenesisHash) -> Signed {
        Signed {
            key: self.node,
            signature: self.signature,
            message: self.message(PROMISED, genesis),
        }
    }

    /// Whether the signature is the node's on the network of `genesis`, and is a
    /// [proposal](Self::propose)'s after steps with this history.
    #[must_use]
    pub fn verify_proposal(&self, genesis: &GenesisHash, history: &Digest) -> bool {
        self.signed_proposal(genesis, history).verify()
    }

    /// A [proposal](Self::propose)'s signature, to be verified together with others.
    pub fn signed_proposal(&self, genesis: &GenesisHash, history: &Digest) -> Signed {
        Signed {
            key: self.node,
            signature: self.signature,
            message: self.proposal(genesis, history),
        }
    }

    fn proposal(&self, genesis: &GenesisHash, history: &Digest) -> Vec<u8> {
        let mut message = self.message(PROPOSED, genesis);
        message.extend_from_slice(&history.0);
        message
    }

    fn message(&self, kind: &[u8], genesis: &GenesisHash) -> Vec<u8> {
        let mut message = kind.to_vec();
        message.extend_from_slice(&genesis.0);
        message.extend_from_slice(&self.session.0);
        message.extend_from_slice(&self.sequence.to_be_bytes());
        message.extend_from_slice(&self.time.0.to_be_bytes());
        message.extend_from_slice(&self.height.to_be_bytes());
        message.extend_from_slice(&self.chain.0);
        message
    }
}

/// A text is no promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a promise as Plenary-Promise has it: {0}")]
pub struct PromiseError(String);

/// Its encoding in hexadecimal.
impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(crate::encode(self)))
    }
}

impl FromStr for Promise {
    type Err = PromiseError;
    fn from_str(text: &str) -> Result<Self, PromiseError> {
        let bytes = hex::decode(text).map_err(|error| PromiseError(error.to_string()))?;
        crate::decode(bytes.into()).map_err(|error| PromiseError(error.to_string()))
    }
}

impl Serialize for Promise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Promise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A session as its client keeps it: what it asked, with its signatures, what it was answered, and
/// its commitment. Where no session node serves the client, it takes this to a validator
/// (`POST /plenary/v1/drafts`), which runs all of it again and originates the transaction.
///
/// The reads of the operations are not the client's to know, and stay empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The operations, with the responses that the client saw. Never empty, once decoded.
    pub operations: Vec<Operation>,
    /// The client's signature over the chain.
    pub commitment: Option<Commitment>,
}

impl Write for Draft {
    fn write(&self, buf: &mut impl BufMut) {
        self.operations.write(buf);
        self.commitment.write(buf);
    }
}

impl EncodeSize for Draft {
    fn encode_size(&self) -> usize {
        self.operations.encode_size() + self.commitment.encode_size()
    }
}

impl Read for Draft {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        if buf.remaining() > MAX_TRANSACTION_BYTES {
            return Err(Error::InvalidLength(buf.remaining()));
        }
        let draft = Self {
            operations: read_list(buf, MAX_OPERATIONS)?,
            commitment: Option::<Commitment>::read(buf)?,
        };
        if draft.operations.is_empty() {
            return Err(Error::Invalid("Draft", "no operation"));
        }
        Ok(draft)
    }
}
