//! A transaction: the operations of one session, or a single operation, as layer 1 orders it.
//!
//! ValidateTransaction (Algorithm 1 of the paper) is [`Transaction::validate`]: all that can be
//! said of a transaction without state. A transaction that fails it never enters a block. What
//! needs state — are the responses right — is decided by re-execution, and is an
//! [`Outcome`](crate::Outcome).

use crate::{
    codec::{codec, read_bytes, read_list},
    digest::{GenesisHash, OperationId, SessionId, TransactionHash},
    genesis::{ClientSignatures, Genesis},
    keys::{self, PrivateKey, PublicKey, Signature, Signed},
    limits::{MAX_NAME_BYTES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, MAX_VALIDATORS},
    operation::{Author, Operation},
    session::{Commitment, Endorsement, chain_digest},
    signature::SignatureError,
};
use bytes::{BufMut, Bytes, BytesMut};
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, ops::Deref, sync::Arc};

/// The version of the encoding.
const ENCODING: u8 = 2;

/// A service and the version of it that an operation ran on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceId {
    /// The service's name.
    pub name: String,
    /// The service's version.
    pub version: String,
}
codec!(ServiceId {
    name: text(MAX_NAME_BYTES),
    version: text(MAX_NAME_BYTES),
});

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What a [`Transaction`] says, Tx = (r, s, N_id): operations with the identity of their originator,
/// committed whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The service, and the version of it, that the operations ran on.
    pub service: ServiceId,
    /// The operations in the order the client saw. Never empty in a transaction.
    pub operations: Vec<Operation>,
    /// The client's signature over the chain; required where a signing client has more than one
    /// operation in it, or signed it as a step of a session.
    pub commitment: Option<Commitment>,
    /// The session nodes that ran the same operations and agree, by ascending key; never the
    /// originator.
    pub endorsements: Vec<Endorsement>,
    /// The node that made the transaction.
    pub originator: PublicKey,
    /// The originator's signature over all of the above and the network's genesis.
    pub signature: Signature,
}

impl Write for Content {
    fn write(&self, buf: &mut impl BufMut) {
        ENCODING.write(buf);
        self.service.write(buf);
        self.operations.write(buf);
        self.commitment.write(buf);
        self.endorsements.write(buf);
        self.originator.write(buf);
        // Last, so that what it signs is all that comes before it.
        self.signature.write(buf);
    }
}

impl EncodeSize for Content {
    fn encode_size(&self) -> usize {
        1 + self.service.encode_size()
            + self.operations.encode_size()
            + self.commitment.encode_size()
            + self.endorsements.encode_size()
            + PublicKey::SIZE
            + Signature::SIZE
    }
}

impl Read for Content {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        if u8::read(buf)? != ENCODING {
            return Err(Error::Invalid("Transaction", "unknown encoding version"));
        }
        let content = Self {
            service: ServiceId::read(buf)?,
            operations: read_list(buf, MAX_OPERATIONS)?,
            commitment: Option::<Commitment>::read(buf)?,
            endorsements: read_list(buf, MAX_VALIDATORS)?,
            originator: PublicKey::read(buf)?,
            signature: Signature::read(buf)?,
        };
        if content.operations.is_empty() {
            return Err(Error::Invalid("Transaction", "no operation"));
        }
        Ok(content)
    }
}

/// A well-formed transaction with its encoding and its hash, each made once; dereferences to its
/// [`Content`]. Cheap to clone: one is shared from the mempool to the ledger.
///
/// Its canonical encoding is its content's, behind its length.
#[derive(Clone)]
pub struct Transaction(Arc<Encoded>);

struct Encoded {
    content: Content,
    bytes: Bytes,
    hash: TransactionHash,
}

impl Deref for Transaction {
    type Target = Content;
    fn deref(&self) -> &Content {
        &self.0.content
    }
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Transaction {}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction")
            .field(&self.0.hash)
            .field(&self.0.content)
            .finish()
    }
}

impl Write for Transaction {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.bytes.write(buf);
    }
}

impl EncodeSize for Transaction {
    fn encode_size(&self) -> usize {
        self.0.bytes.encode_size()
    }
}

impl Read for Transaction {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let bytes = read_bytes(buf, MAX_TRANSACTION_BYTES)?;
        if bytes.encode_size() > MAX_TRANSACTION_BYTES {
            return Err(Error::InvalidLength(bytes.len()));
        }
        // Memory of its own, or one waiting transaction would keep the whole message alive that
        // it came in.
        Self::from_bytes(Bytes::copy_from_slice(&bytes))
    }
}

/// Why a transaction is not valid, whatever the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Some part of it is malformed; the text says which.
    #[error("the transaction is malformed: {0}")]
    Malformed(String),
    /// It is over the bound.
    #[error("the transaction has {size} bytes, more than the {MAX_TRANSACTION_BYTES} allowed")]
    TooLarge {
        /// Its encoded size.
        size: usize,
    },
    /// It ran on another service, or another version of it.
    #[error("the transaction ran on {found}, this network runs {expected}")]
    Service {
        /// What the network runs.
        expected: ServiceId,
        /// What the transaction names.
        found: ServiceId,
    },
    /// The originator is no node of the network.
    #[error("originator {0} is no validator or session node of this network")]
    UnknownOriginator(PublicKey),
    /// The originator's signature does not verify.
    #[error("the signature of originator {0} does not verify on this network")]
    OriginatorSignature(PublicKey),
    /// A client's signature on an operation does not hold.
    #[error("operation {step}: {error}")]
    ClientSignature {
        /// Which operation, from 0.
        step: usize,
        /// Why.
        error: SignatureError,
    },
    /// The network takes signed operations only.
    #[error("operation {step} is not signed by a client, and this network requires it (RFC 9421)")]
    Unsigned {
        /// Which operation, from 0.
        step: usize,
    },
    /// Two operations are the same one.
    #[error("operation {step} repeats an earlier one: the same client and nonce")]
    Repeated {
        /// The later one, from 0.
        step: usize,
    },
    /// The operations are not all by one author.
    #[error("operation {step} has another author than the first")]
    Authors {
        /// Which operation, from 0.
        step: usize,
    },
    /// The client's signature over the chain is missing or does not verify: some operation, or
    /// the order, is not what the client saw.
    #[error(
        "the client's signature over the chain of operations is missing or does not verify: an operation, a response or the order is not what the client signed"
    )]
    Commitment,
    /// An endorsement is not a session node's of the network over this chain.
    #[error(
        "the endorsement of {0} does not hold: it is no other session node of this network, it is there twice or out of order, or its signature does not verify"
    )]
    Endorsement(PublicKey),
}

/// One signature that must hold for a transaction to be valid, and what it means if not.
struct Check {
    signed: Signed,
    error: TransactionError,
}

impl Transaction {
    /// Makes and signs a transaction.
    ///
    /// # Errors
    ///
    /// [`TransactionError::Malformed`] or [`TransactionError::TooLarge`] where the content breaks
    /// a bound or a rule, so that no other node could decode it.
    pub fn sign(
        originator: &PrivateKey,
        genesis: &GenesisHash,
        service: ServiceId,
        operations: Vec<Operation>,
        commitment: Option<Commitment>,
        endorsements: Vec<Endorsement>,
    ) -> Result<Self, TransactionError> {
        let mut encoded = encode_bounded(&Content {
            service,
            operations,
            commitment,
            endorsements,
            originator: originator.public_key(),
            signature: Signature([0; 64]),
        })?;
        let (unsigned, _) = split_signature(&encoded);
        let signature = originator.sign(&message(genesis, unsigned));
        let unsigned = unsigned.len();
        encoded[unsigned..].copy_from_slice(&signature.0);
        Ok(Self::from_bytes(encoded.freeze())?)
    }

    /// A transaction of content that is already signed; the signature is not checked here.
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign).
    pub fn new(content: &Content) -> Result<Self, TransactionError> {
        Ok(Self::from_bytes(encode_bounded(content)?.freeze())?)
    }

    /// Decodes exactly `bytes`, so that what is in memory is always what every node can decode.
    fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        Ok(Self(Arc::new(Encoded {
            content: crate::decode(bytes.clone())?,
            hash: TransactionHash::of("plenary transaction", &[&bytes]),
            bytes,
        })))
    }

    /// What it says.
    pub fn content(&self) -> &Content {
        &self.0.content
    }

    /// The hash of its whole encoded content, signatures included.
    pub fn hash(&self) -> TransactionHash {
        self.0.hash
    }

    /// How many bytes its encoded content has.
    pub fn size(&self) -> usize {
        self.0.bytes.len()
    }

    /// The session: named by the operation that opened it.
    pub fn session(&self) -> Option<SessionId> {
        self.operations.first().map(|first| first.id().into())
    }

    /// The names of all its operations.
    pub fn operation_ids(&self) -> impl Iterator<Item = OperationId> {
        self.operations.iter().map(Operation::id)
    }

    /// Checks all that needs no state: service, authorship, times, signatures. The signatures are
    /// verified as one batch, and one by one only to say which does not hold.
    ///
    /// # Errors
    ///
    /// The first reason the transaction cannot be accepted on this network.
    pub fn validate(&self, genesis: &Genesis) -> Result<(), TransactionError> {
        let checks = self.checks(genesis)?;
        match verify_together(&checks) {
            true => Ok(()),
            false => verify_each(checks),
        }
    }

    /// Validates many transactions for less than the price of each alone: all their signatures are
    /// one batch. The answers are exactly those of [`validate`](Self::validate), in order.
    pub fn validate_all(
        transactions: &[Self],
        genesis: &Genesis,
    ) -> Vec<Result<(), TransactionError>> {
        let checks: Vec<_> = transactions.iter().map(|one| one.checks(genesis)).collect();
        if verify_together(checks.iter().flatten().flatten()) {
            return checks.into_iter().map(|checks| checks.map(drop)).collect();
        }
        let each = checks.into_iter();
        each.map(|checks| verify_each(checks?)).collect()
    }

    /// Checks all that can be checked without a signature, and lists the signatures to verify.
    fn checks(&self, genesis: &Genesis) -> Result<Vec<Check>, TransactionError> {
        if self.service != genesis.service {
            return Err(TransactionError::Service {
                expected: genesis.service.clone(),
                found: self.service.clone(),
            });
        }
        if !genesis.is_originator(&self.originator) {
            return Err(TransactionError::UnknownOriginator(self.originator));
        }
        let mut checks = Vec::with_capacity(self.operations.len() + 2);
        checks.push(Check {
            signed: Signed {
                key: self.originator,
                signature: self.signature,
                message: message(&genesis.hash(), split_signature(&self.0.bytes).0),
            },
            error: TransactionError::OriginatorSignature(self.originator),
        });
        self.check_operations(genesis, &mut checks)?;
        self.check_commitment(genesis, &mut checks)?;
        self.check_endorsements(genesis, &mut checks)?;
        Ok(checks)
    }

    fn check_operations(
        &self,
        genesis: &Genesis,
        checks: &mut Vec<Check>,
    ) -> Result<(), TransactionError> {
        let author = self.operations.first().and_then(Operation::client);
        let mut ids = BTreeSet::new();
        for (step, operation) in self.operations.iter().enumerate() {
            match &operation.author {
                Author::Signed(signature) => {
                    let refuse = |error| TransactionError::ClientSignature { step, error };
                    let signed = signature.signed(&operation.request).map_err(refuse)?;
                    signature.check_time(operation.time).map_err(refuse)?;
                    let error = refuse(SignatureError::Invalid(signature.key()));
                    checks.push(Check { signed, error });
                }
                Author::Anonymous { .. } if genesis.clients == ClientSignatures::Required => {
                    return Err(TransactionError::Unsigned { step });
                }
                Author::Anonymous { .. } => {}
            }
            if operation.client() != author {
                return Err(TransactionError::Authors { step });
            }
            if !ids.insert(operation.id()) {
                return Err(TransactionError::Repeated { step });
            }
        }
        Ok(())
    }

    fn check_commitment(
        &self,
        genesis: &Genesis,
        checks: &mut Vec<Check>,
    ) -> Result<(), TransactionError> {
        let author = self.operations.first().and_then(Operation::client);
        match (&self.commitment, author) {
            (Some(commitment), Some(author)) if commitment.key == author => {
                let message = commitment.message(&genesis.hash(), &self.operations);
                checks.push(Check {
                    signed: Signed {
                        key: author,
                        signature: commitment.signature,
                        message: message.ok_or(TransactionError::Commitment)?,
                    },
                    error: TransactionError::Commitment,
                });
                Ok(())
            }
            (None, None) => Ok(()),
            (None, Some(_)) if self.is_alone() => Ok(()),
            _ => Err(TransactionError::Commitment),
        }
    }

    /// Whether it is one operation that its client wants committed alone.
    fn is_alone(&self) -> bool {
        match &self.operations[..] {
            [only] => match &only.author {
                Author::Signed(signature) => !signature.in_session(),
                Author::Anonymous { .. } => true,
            },
            _ => false,
        }
    }

    fn check_endorsements(
        &self,
        genesis: &Genesis,
        checks: &mut Vec<Check>,
    ) -> Result<(), TransactionError> {
        if self.endorsements.is_empty() {
            return Ok(());
        }
        let chain = chain_digest(&self.operations);
        let mut last = None;
        for endorsement in &self.endorsements {
            let key = &endorsement.key;
            let error = TransactionError::Endorsement(*key);
            let ascends = last.is_none_or(|last| last < key);
            if !ascends || *key == self.originator || !genesis.is_session_node(key) {
                return Err(error);
            }
            last = Some(key);
            checks.push(Check {
                signed: endorsement.signed(&genesis.hash(), &chain),
                error,
            });
        }
        Ok(())
    }
}

/// Whether all signatures hold, as one batch.
fn verify_together<'a>(checks: impl IntoIterator<Item = &'a Check>) -> bool {
    keys::verify_batch(checks.into_iter().map(|check| &check.signed))
}

fn verify_each(checks: Vec<Check>) -> Result<(), TransactionError> {
    let failed = |check: &Check| !check.signed.verify();
    match checks.into_iter().find(failed) {
        Some(check) => Err(check.error),
        None => Ok(()),
    }
}

fn encode_bounded(content: &Content) -> Result<BytesMut, TransactionError> {
    let length = content.encode_size();
    let size = length.encode_size() + length;
    if size > MAX_TRANSACTION_BYTES {
        return Err(TransactionError::TooLarge { size });
    }
    let mut encoded = BytesMut::with_capacity(length);
    content.write(&mut encoded);
    Ok(encoded)
}

/// Splits encoded content into what the originator signs and its signature.
fn split_signature(encoded: &[u8]) -> (&[u8], &[u8]) {
    encoded.split_at(encoded.len().saturating_sub(Signature::SIZE))
}

/// What the originator signs.
fn message(genesis: &GenesisHash, unsigned: &[u8]) -> Vec<u8> {
    [b"plenary transaction 1\n", &genesis.0[..], unsigned].concat()
}

impl From<Error> for TransactionError {
    fn from(error: Error) -> Self {
        Self::Malformed(match error {
            Error::Invalid(what, rule) => format!("{what} {rule}"),
            Error::Wrapped(_, source) => source.to_string(),
            other => other.to_string(),
        })
    }
}
