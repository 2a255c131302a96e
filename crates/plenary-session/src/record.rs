//! What the session log holds: every arrow of a session's life, durable before anyone hears of it.
//!
//! A session's records, in order, are all that a node needs to go on with it after a crash: its
//! owner, each step with what it wrote, and the transaction that it is to be committed with.

use crate::{
    message::{Given, Owner},
    refused::Reason,
};
use bytes::{BufMut, Bytes, BytesMut};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt, Write};
use plenary_service::Writes;
use plenary_types::{
    Operation, Promise, SessionId, StateKey, Timestamp, Transaction, limits::MAX_VALUE_BYTES,
};

/// Most keys that one operation may write, as an encoding bound; its budget allows fewer.
const MAX_WRITES: usize = 1 << 16;

/// A step, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// What its originator proposed, signed.
    pub promise: Promise,
    /// Request, author, time, reads and response.
    pub operation: Operation,
    /// What it wrote over the session's earlier writes.
    pub writes: Writes,
}

impl StepRecord {
    /// The log entry of the step: that of [`Record::Step`].
    pub fn entry(&self) -> Bytes {
        let mut entry = BytesMut::with_capacity(1 + self.encode_size());
        STEP.write(&mut entry);
        self.write(&mut entry);
        entry.freeze()
    }
}

/// The tag of a step's record.
const STEP: u8 = 1;

/// An arrow of a session's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// It was opened; its first step follows.
    Opened {
        /// Its name.
        session: SessionId,
        /// Who may work in it.
        owner: Owner,
        /// When, by this node's clock.
        time: Timestamp,
    },
    /// A step.
    Step(Box<StepRecord>),
    /// It is to be committed with this transaction.
    Committing(Transaction),
    /// After a conflict its requests were run again: the steps so far are void, once as many as
    /// this follow.
    Rebased {
        /// How many.
        steps: u32,
    },
    /// It ended without layer 1. What layer 1 decides is in the ledger, and needs no record.
    Over(Given),
    /// Layer 1 will have the transaction in no block, of which the ledger says nothing.
    Refused(Reason),
}

impl Write for StepRecord {
    fn write(&self, buf: &mut impl BufMut) {
        self.promise.write(buf);
        self.operation.write(buf);
        self.writes.len().write(buf);
        for (key, value) in &self.writes {
            key.write(buf);
            value.write(buf);
        }
    }
}

impl EncodeSize for StepRecord {
    fn encode_size(&self) -> usize {
        let writes = self.writes.iter();
        let writes: usize = writes
            .map(|(key, value)| key.encode_size() + value.encode_size())
            .sum();
        self.promise.encode_size()
            + self.operation.encode_size()
            + self.writes.len().encode_size()
            + writes
    }
}

impl Read for StepRecord {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let promise = Promise::read(buf)?;
        let operation = Operation::read(buf)?;
        let count = usize::read_cfg(buf, &RangeCfg::from(0..=MAX_WRITES))?;
        let mut writes = Writes::new();
        for _ in 0..count {
            let key = StateKey::read(buf)?;
            if writes
                .last_key_value()
                .is_some_and(|(last, _)| *last >= key)
            {
                return Err(Error::Invalid("StepRecord", "writes out of order"));
            }
            let value = match bool::read(buf)? {
                true => Some(Bytes::read_cfg(buf, &RangeCfg::from(0..=MAX_VALUE_BYTES))?),
                false => None,
            };
            writes.insert(key, value);
        }
        Ok(Self {
            promise,
            operation,
            writes,
        })
    }
}

impl Write for Record {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Opened {
                session,
                owner,
                time,
            } => {
                0u8.write(buf);
                session.write(buf);
                owner.write(buf);
                time.write(buf);
            }
            Self::Step(step) => {
                STEP.write(buf);
                step.write(buf);
            }
            Self::Committing(transaction) => {
                2u8.write(buf);
                transaction.write(buf);
            }
            Self::Rebased { steps } => {
                3u8.write(buf);
                steps.write(buf);
            }
            Self::Over(given) => {
                4u8.write(buf);
                given.write(buf);
            }
            Self::Refused(reason) => {
                5u8.write(buf);
                reason.write(buf);
            }
        }
    }
}

impl EncodeSize for Record {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Opened {
                session,
                owner,
                time,
            } => session.encode_size() + owner.encode_size() + time.encode_size(),
            Self::Step(step) => step.encode_size(),
            Self::Committing(transaction) => transaction.encode_size(),
            Self::Rebased { steps } => steps.encode_size(),
            Self::Over(given) => given.encode_size(),
            Self::Refused(reason) => reason.encode_size(),
        }
    }
}

impl Read for Record {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Opened {
                session: SessionId::read(buf)?,
                owner: Owner::read(buf)?,
                time: Timestamp::read(buf)?,
            }),
            STEP => Ok(Self::Step(Box::new(StepRecord::read(buf)?))),
            2 => Ok(Self::Committing(Transaction::read(buf)?)),
            3 => Ok(Self::Rebased {
                steps: u32::read(buf)?,
            }),
            4 => Ok(Self::Over(Given::read(buf)?)),
            5 => Ok(Self::Refused(Reason::read(buf)?)),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}
