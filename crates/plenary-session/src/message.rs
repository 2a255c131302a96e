//! What session nodes say to each other: the messages of simulation consensus.
//!
//! They travel on connections that are encrypted and authenticated, so a message is known to be its
//! sender's; what must convince others later carries a signature of its own. Decoding is total and
//! bounded.

use crate::evidence::Contradiction;
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt, Write};
use plenary_types::{Digest, Operation, Promise, PublicKey, SessionId, Signature};

/// Who may work in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The client that signed its first request.
    Client(PublicKey),
    /// Whoever has the token of this digest.
    Token(Digest),
}

/// A step that its originator has run, for the others to run as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Who may work in the session.
    pub owner: Owner,
    /// The originator's word to the others: session, sequence, time, height and chain, signed as a
    /// proposal.
    pub promise: Promise,
    /// The digest of the moments of the steps before it, which is signed as well.
    pub history: Digest,
    /// Request, author, time, reads and response.
    pub operation: Operation,
    /// Whether the sender stands firm on it where it has a [`rival`](crate::rival).
    pub firm: bool,
}

/// A step that the sender agrees with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endorse {
    /// The session.
    pub session: SessionId,
    /// The step.
    pub sequence: u32,
    /// The chain up to the step: a rebase may have put another in its place.
    pub chain: Digest,
    /// The sender's endorsement of the chain.
    pub signature: Signature,
}

/// Why a session ended without layer 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Its owner gave it up.
    Aborted,
    /// Its time was over.
    Expired,
}

/// A message from one session node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A step to agree on.
    Propose(Box<Proposal>),
    /// The sender has run the step, got the same, and has it on disk.
    Endorse(Endorse),
    /// The sender lacks steps before the proposed one.
    Behind {
        /// The session.
        session: SessionId,
        /// The first step that it lacks.
        from: u32,
    },
    /// The sender got something else: the proof of what the receiver said.
    Refuse(Box<Contradiction>),
    /// The session is over at the sender.
    Over {
        /// The session.
        session: SessionId,
        /// Why.
        given: Given,
    },
}

impl Write for Owner {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Client(key) => {
                0u8.write(buf);
                key.write(buf);
            }
            Self::Token(digest) => {
                1u8.write(buf);
                digest.write(buf);
            }
        }
    }
}

impl EncodeSize for Owner {
    fn encode_size(&self) -> usize {
        1 + 32
    }
}

impl Read for Owner {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Client(PublicKey::read(buf)?)),
            1 => Ok(Self::Token(Digest::read(buf)?)),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

impl Write for Given {
    fn write(&self, buf: &mut impl BufMut) {
        (*self as u8).write(buf);
    }
}

impl EncodeSize for Given {
    fn encode_size(&self) -> usize {
        1
    }
}

impl Read for Given {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Aborted),
            1 => Ok(Self::Expired),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

impl Write for Proposal {
    fn write(&self, buf: &mut impl BufMut) {
        self.owner.write(buf);
        self.promise.write(buf);
        self.history.write(buf);
        self.operation.write(buf);
        self.firm.write(buf);
    }
}

impl EncodeSize for Proposal {
    fn encode_size(&self) -> usize {
        self.owner.encode_size()
            + self.promise.encode_size()
            + 32
            + self.operation.encode_size()
            + 1
    }
}

impl Read for Proposal {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Ok(Self {
            owner: Owner::read(buf)?,
            promise: Promise::read(buf)?,
            history: Digest::read(buf)?,
            operation: Operation::read(buf)?,
            firm: bool::read(buf)?,
        })
    }
}

impl Write for Endorse {
    fn write(&self, buf: &mut impl BufMut) {
        self.session.write(buf);
        self.sequence.write(buf);
        self.chain.write(buf);
        self.signature.write(buf);
    }
}

impl FixedSize for Endorse {
    const SIZE: usize = 32 + 4 + 32 + 64;
}

impl Read for Endorse {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Ok(Self {
            session: SessionId::read(buf)?,
            sequence: u32::read(buf)?,
            chain: Digest::read(buf)?,
            signature: Signature::read(buf)?,
        })
    }
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Propose(proposal) => {
                0u8.write(buf);
                proposal.write(buf);
            }
            Self::Endorse(endorse) => {
                1u8.write(buf);
                endorse.write(buf);
            }
            Self::Behind { session, from } => {
                2u8.write(buf);
                session.write(buf);
                from.write(buf);
            }
            Self::Refuse(contradiction) => {
                3u8.write(buf);
                contradiction.write(buf);
            }
            Self::Over { session, given } => {
                4u8.write(buf);
                session.write(buf);
                given.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Propose(proposal) => proposal.encode_size(),
            Self::Endorse(endorse) => endorse.encode_size(),
            Self::Behind { .. } => 32 + 4,
            Self::Refuse(contradiction) => contradiction.encode_size(),
            Self::Over { given, .. } => 32 + given.encode_size(),
        }
    }
}

impl Read for Message {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Propose(Box::new(Proposal::read(buf)?))),
            1 => Ok(Self::Endorse(Endorse::read(buf)?)),
            2 => Ok(Self::Behind {
                session: SessionId::read(buf)?,
                from: u32::read(buf)?,
            }),
            3 => Ok(Self::Refuse(Box::new(Contradiction::read(buf)?))),
            4 => Ok(Self::Over {
                session: SessionId::read(buf)?,
                given: Given::read(buf)?,
            }),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}
