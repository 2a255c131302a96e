//! A transaction: the operations of one session, or a single operation, as layer 1 orders it.
//!
//! ValidateTransaction (Algorithm 1 of the paper) is [`Transaction::validate`]: all that can be
//! said of a transaction without state. A transaction that fails it never enters a block. What
//! needs state — are the responses right — is decided by re-execution, and is an
//! [`Outcome`](crate::Outcome).

use crate::{
    codec::codec,
    digest::{GenesisHash, OperationId, SessionId, TransactionHash},
    genesis::{ClientSignatures, Genesis},
    keys::{PrivateKey, PublicKey, Signature},
    limits::{MAX_NAME_BYTES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES},
    operation::{Author, Operation, chain_digest},
    signature::SignatureError,
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Encode as _, EncodeSize, Error, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the encoding.
const ENCODING: u8 = 1;

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

/// A client's signature over the whole chain of operations it saw: it cannot be given an order,
/// or a response, that the client did not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The client's key, the same that signed the requests.
    pub key: PublicKey,
    /// Over [`Commitment::message`].
    pub signature: Signature,
}
codec!(Commitment { key, signature });

impl Commitment {
    /// What a client signs to commit `operations` on the network of `genesis`.
    pub fn message(genesis: &GenesisHash, operations: &[Operation]) -> Vec<u8> {
        let mut message = b"plenary session commitment 1\n".to_vec();
        message.extend_from_slice(&genesis.0);
        message.extend_from_slice(&chain_digest(operations).0);
        message
    }

    /// Signs the chain.
    pub fn sign(key: &PrivateKey, genesis: &GenesisHash, operations: &[Operation]) -> Self {
        Self {
            key: key.public_key(),
            signature: key.sign(&Self::message(genesis, operations)),
        }
    }
}

/// Operations with the identity of their originator, Tx = (r, s, N_id), committed whole or not
/// at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The service, and the version of it, that the operations ran on.
    pub service: ServiceId,
    /// The operations in the order the client saw. Never empty in a valid transaction.
    pub operations: Vec<Operation>,
    /// The client's signature over the chain; required where a signing client has more than one
    /// operation in it.
    pub commitment: Option<Commitment>,
    /// The node that made the transaction.
    pub originator: PublicKey,
    /// The originator's signature over all of the above and the network's genesis.
    pub signature: Signature,
}

impl Write for Transaction {
    fn write(&self, buf: &mut impl BufMut) {
        ENCODING.write(buf);
        self.service.write(buf);
        self.operations.write(buf);
        self.commitment.write(buf);
        self.originator.write(buf);
        self.signature.write(buf);
    }
}

impl EncodeSize for Transaction {
    fn encode_size(&self) -> usize {
        1 + self.service.encode_size()
            + self.operations.encode_size()
            + self.commitment.encode_size()
            + self.originator.encode_size()
            + self.signature.encode_size()
    }
}

impl Read for Transaction {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        if u8::read(buf)? != ENCODING {
            return Err(Error::Invalid("Transaction", "unknown encoding version"));
        }
        Ok(Self {
            service: ServiceId::read(buf)?,
            operations: crate::codec::read_list(buf, MAX_OPERATIONS)?,
            commitment: Option::<Commitment>::read(buf)?,
            originator: PublicKey::read(buf)?,
            signature: Signature::read(buf)?,
        })
    }
}

/// Why a transaction is not valid, whatever the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// It has no operation.
    #[error("the transaction has no operation")]
    Empty,
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
}

impl Transaction {
    /// Makes and signs a transaction.
    pub fn sign(
        originator: &PrivateKey,
        genesis: &GenesisHash,
        service: ServiceId,
        operations: Vec<Operation>,
        commitment: Option<Commitment>,
    ) -> Self {
        let mut transaction = Self {
            service,
            operations,
            commitment,
            originator: originator.public_key(),
            signature: Signature([0; 64]),
        };
        transaction.signature = originator.sign(&transaction.message(genesis));
        transaction
    }

    /// What the originator signs.
    fn message(&self, genesis: &GenesisHash) -> Vec<u8> {
        let encoded = self.encode();
        let unsigned = encoded.len() - self.signature.encode_size();
        let mut message = b"plenary transaction 1\n".to_vec();
        message.extend_from_slice(&genesis.0);
        message.extend_from_slice(&encoded[..unsigned]);
        message
    }

    /// The hash of the whole encoded transaction.
    pub fn hash(&self) -> TransactionHash {
        Self::hash_encoded(&self.encode())
    }

    /// The hash of a transaction that is already encoded.
    pub fn hash_encoded(encoded: &Bytes) -> TransactionHash {
        TransactionHash::of("plenary transaction", &[encoded])
    }

    /// The session: named by the operation that opened it. `None` only without operations.
    pub fn session(&self) -> Option<SessionId> {
        self.operations.first().map(|first| first.id().into())
    }

    /// The names of all its operations.
    pub fn operation_ids(&self) -> impl Iterator<Item = OperationId> {
        self.operations.iter().map(Operation::id)
    }

    /// Checks all that needs no state: bounds, service, signatures, authorship.
    ///
    /// # Errors
    ///
    /// The first reason the transaction cannot be accepted on this network.
    pub fn validate(&self, genesis: &Genesis) -> Result<(), TransactionError> {
        let size = self.encode_size();
        if size > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::TooLarge { size });
        }
        if self.operations.is_empty() {
            return Err(TransactionError::Empty);
        }
        if self.service != genesis.service {
            return Err(TransactionError::Service {
                expected: genesis.service.clone(),
                found: self.service.clone(),
            });
        }
        if !genesis.is_originator(&self.originator) {
            return Err(TransactionError::UnknownOriginator(self.originator));
        }
        if !self
            .originator
            .verify(&self.message(&genesis.hash()), &self.signature)
        {
            return Err(TransactionError::OriginatorSignature(self.originator));
        }
        self.validate_operations(genesis)?;
        self.validate_commitment(genesis)
    }

    fn validate_operations(&self, genesis: &Genesis) -> Result<(), TransactionError> {
        let author = self.operations.first().and_then(Operation::client);
        let mut ids = Vec::with_capacity(self.operations.len());
        for (step, operation) in self.operations.iter().enumerate() {
            match &operation.author {
                Author::Signed(signature) => {
                    signature
                        .verify(&operation.request)
                        .map_err(|error| TransactionError::ClientSignature { step, error })?;
                }
                Author::Anonymous { .. } if genesis.clients == ClientSignatures::Required => {
                    return Err(TransactionError::Unsigned { step });
                }
                Author::Anonymous { .. } => {}
            }
            if operation.client() != author {
                return Err(TransactionError::Authors { step });
            }
            let id = operation.id();
            if ids.contains(&id) {
                return Err(TransactionError::Repeated { step });
            }
            ids.push(id);
        }
        Ok(())
    }

    fn validate_commitment(&self, genesis: &Genesis) -> Result<(), TransactionError> {
        let author = self.operations.first().and_then(Operation::client);
        let holds = match (&self.commitment, author) {
            (Some(commitment), Some(author)) => {
                let message = Commitment::message(&genesis.hash(), &self.operations);
                commitment.key == author && author.verify(&message, &commitment.signature)
            }
            (None, Some(_)) => self.operations.len() == 1,
            (commitment, None) => commitment.is_none(),
        };
        if holds {
            Ok(())
        } else {
            Err(TransactionError::Commitment)
        }
    }
}
