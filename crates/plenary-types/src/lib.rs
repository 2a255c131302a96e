//! The values every Plenary program shares, and their one canonical encoding.
//!
//! A request becomes an [`Operation`] once a handler has answered it, operations become a
//! [`Transaction`], transactions a [`Block`], and a block with a quorum of signatures over its
//! header is final. A [`Receipt`] proves, with nothing but the [`Genesis`], which [`Outcome`] a
//! transaction had.
//!
//! No I/O, no clock, no randomness: the same crate runs in a validator, in a client and in a
//! browser (`wasm32-unknown-unknown`). Everything that crosses a network or a disk decodes
//! totally and within the bounds of [`limits`].

pub mod block;
pub mod certificate;
mod codec;
pub mod digest;
pub mod evidence;
pub mod genesis;
pub mod http;
pub mod keys;
pub mod limits;
pub mod merkle;
pub mod operation;
pub mod outcome;
pub mod problem;
pub mod promise;
pub mod receipt;
pub mod session;
pub mod signature;
pub mod state;
pub mod state_proof;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod transaction;

pub use block::{Block, BlockError, Header, Round};
pub use certificate::{Certificate, CertificateError};
pub use codec::{Malformed, decode, encode};
pub use digest::{BlockHash, Digest, GenesisHash, OperationId, SessionId, TransactionHash};
pub use evidence::Evidence;
pub use genesis::{Genesis, GenesisError, GenesisFile};
pub use http::{Method, Request, Response};
pub use keys::{PrivateKey, PublicKey, Signature};
pub use operation::{Author, Operation};
pub use outcome::{Outcome, Reason};
pub use problem::{Problem, Stage};
pub use promise::{BrokenPromise, PromiseProofError};
pub use receipt::{Receipt, ReceiptError, Verified};
pub use session::{Commitment, Draft, Endorsement, Promise};
pub use signature::{ClientSignature, SignatureError};
pub use state::{Changes, Read, StateKey, Version, Versioned};
pub use state_proof::{StateProof, StateProofError};
pub use time::Timestamp;
pub use transaction::{Content, ServiceId, Transaction, TransactionError};
