//! An operation: one request, the response a handler gave it, and what the handler read.

use crate::{
    codec::{codec, read_bytes},
    digest::OperationId,
    http::{Request, Response},
    keys::PublicKey,
    limits::{MAX_NONCE_BYTES, MAX_READS},
    signature::ClientSignature,
    state::Read,
    time::Timestamp,
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, Read as CodecRead, ReadExt, Write};

/// Who made a request, and the nonce that makes it one request and not another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all authors sign, so a box would cost more than the space it saves"
)]
pub enum Author {
    /// A client that signed it.
    Signed(ClientSignature),
    /// Nobody in particular: only the originator vouches for it. A network may forbid this.
    Anonymous {
        /// Chosen by the client (`Idempotency-Key`) or, failing that, drawn by the originator.
        /// Never empty.
        nonce: Bytes,
    },
}

impl Author {
    /// The name of the one operation that this author, with this nonce, asks for.
    pub fn operation(&self) -> OperationId {
        match self {
            Self::Signed(signature) => signature.operation(),
            Self::Anonymous { nonce } => OperationId::of("plenary anonymous operation", &[nonce]),
        }
    }
}

impl Write for Author {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Anonymous { nonce } => {
                0u8.write(buf);
                nonce.write(buf);
            }
            Self::Signed(signature) => {
                1u8.write(buf);
                signature.write(buf);
            }
        }
    }
}

impl EncodeSize for Author {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Anonymous { nonce } => nonce.encode_size(),
            Self::Signed(signature) => signature.encode_size(),
        }
    }
}

impl CodecRead for Author {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => {
                let nonce = read_bytes(buf, MAX_NONCE_BYTES)?;
                if nonce.is_empty() {
                    return Err(Error::Invalid("Author", "the nonce is empty"));
                }
                Ok(Self::Anonymous { nonce })
            }
            1 => Ok(Self::Signed(ClientSignature::read(buf)?)),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

/// One request and its response, (r, s) of the paper's Tx = (r, s, N_id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What the client asked.
    pub request: Request,
    /// Who asked.
    pub author: Author,
    /// The originator's clock when it ran the handler; what the handler saw as "now".
    pub time: Timestamp,
    /// What the handler read of state outside the session, in order of first read.
    pub reads: Vec<Read>,
    /// What the handler answered.
    pub response: Response,
}
codec!(Operation {
    request,
    author,
    time,
    reads: list(MAX_READS),
    response,
});

impl Operation {
    /// The operation's name: the same for the same signed request, whoever executes it.
    pub fn id(&self) -> OperationId {
        self.author.operation()
    }

    /// The key of the client that signed the request, where one did.
    pub fn client(&self) -> Option<PublicKey> {
        match &self.author {
            Author::Signed(signature) => Some(signature.key()),
            Author::Anonymous { .. } => None,
        }
    }
}
