//! What layer 1 decided of a transaction.

use crate::{
    codec::read_list,
    digest::{Digest, TransactionHash},
    keys::PublicKey,
    limits::MAX_READS,
    state::StateKey,
};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The outcome of a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Outcome {
    /// Every response was right; the writes are applied.
    Committed,
    /// Some read was no longer current and a response differs for it; nothing is applied.
    Conflict {
        /// The operation whose response differs, from 0.
        step: u32,
        /// The keys (or first keys of ranges) among its recorded reads that have changed since.
        keys: Vec<StateKey>,
    },
    /// A response was wrong although every read was current: the originator lied. Nothing is
    /// applied.
    Rejected {
        /// The operation that is wrong, from 0.
        step: u32,
        /// What is wrong with it.
        reason: Reason,
        /// The originator that signed it.
        signer: PublicKey,
    },
}

/// Why a transaction was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reason {
    /// The handler's response, re-executed, is another.
    WrongResponse {
        /// Digest of the response the transaction claims.
        claimed: Digest,
        /// Digest of the response the validators computed.
        computed: Digest,
    },
    /// The request is no operation of the service: there is no such route, or it only reads.
    NotAnOperation,
    /// The operation belongs to another session than the transaction's.
    OtherSession,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed => f.write_str("committed"),
            Self::Conflict { step, keys } => {
                write!(f, "conflict at step {step} on")?;
                keys.iter().try_for_each(|key| write!(f, " {key}"))
            }
            Self::Rejected {
                step,
                reason,
                signer,
            } => {
                write!(f, "rejected at step {step}, signed by {signer}: {reason}")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongResponse { claimed, computed } => {
                write!(f, "wrong response (claimed {claimed}, computed {computed})")
            }
            Self::NotAnOperation => f.write_str("the request is no operation of the service"),
            Self::OtherSession => f.write_str("the operation belongs to another session"),
        }
    }
}

impl Write for Reason {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::WrongResponse { claimed, computed } => {
                0u8.write(buf);
                claimed.write(buf);
                computed.write(buf);
            }
            Self::NotAnOperation => 1u8.write(buf),
            Self::OtherSession => 2u8.write(buf),
        }
    }
}

impl EncodeSize for Reason {
    fn encode_size(&self) -> usize {
        match self {
            Self::WrongResponse { .. } => 1 + 64,
            Self::NotAnOperation | Self::OtherSession => 1,
        }
    }
}

impl Read for Reason {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::WrongResponse {
                claimed: Digest::read(buf)?,
                computed: Digest::read(buf)?,
            }),
            1 => Ok(Self::NotAnOperation),
            2 => Ok(Self::OtherSession),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

impl Write for Outcome {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Committed => 0u8.write(buf),
            Self::Conflict { step, keys } => {
                1u8.write(buf);
                step.write(buf);
                keys.write(buf);
            }
            Self::Rejected {
                step,
                reason,
                signer,
            } => {
                2u8.write(buf);
                step.write(buf);
                reason.write(buf);
                signer.write(buf);
            }
        }
    }
}

impl EncodeSize for Outcome {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Committed => 0,
            Self::Conflict { step, keys } => step.encode_size() + keys.encode_size(),
            Self::Rejected {
                step,
                reason,
                signer,
            } => step.encode_size() + reason.encode_size() + signer.encode_size(),
        }
    }
}

impl Read for Outcome {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Committed),
            1 => Ok(Self::Conflict {
                step: u32::read(buf)?,
                keys: read_list(buf, MAX_READS)?,
            }),
            2 => Ok(Self::Rejected {
                step: u32::read(buf)?,
                reason: Reason::read(buf)?,
                signer: PublicKey::read(buf)?,
            }),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

/// A leaf of a block's outcomes tree: which transaction had which outcome.
pub(crate) fn leaf(transaction: &TransactionHash, outcome: &Outcome) -> Vec<u8> {
    let mut leaf = Vec::with_capacity(TransactionHash::SIZE + outcome.encode_size());
    transaction.write(&mut leaf);
    outcome.write(&mut leaf);
    leaf
}
