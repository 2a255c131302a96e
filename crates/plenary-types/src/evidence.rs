//! Evidence: two signed votes of one validator that an honest one never makes together.

use crate::{
    block::Round,
    certificate::{Phase, statement},
    codec::codec,
    digest::BlockHash,
    genesis::Genesis,
    keys::Signature,
};
use bytes::BufMut;
use commonware_codec::{Buf, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};

impl Write for Phase {
    fn write(&self, buf: &mut impl BufMut) {
        (*self as u8).write(buf);
    }
}

impl FixedSize for Phase {
    const SIZE: usize = 1;
}

impl Read for Phase {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => Ok(Self::Notarize),
            1 => Ok(Self::Nullify),
            2 => Ok(Self::Finalize),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

/// A signed vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Which vote.
    pub phase: Phase,
    /// The round it was cast in; its `parent_view` is 0 in a vote to give up the view.
    pub round: Round,
    /// For which block; absent for a vote to give up the view.
    pub block: Option<BlockHash>,
    /// The validator's signature.
    pub signature: Signature,
}
codec!(Vote {
    phase,
    round,
    block,
    signature
});

/// Two contradicting votes of one validator in one view: proof that it is Byzantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The validator's index in the genesis.
    pub validator: u32,
    /// One vote.
    pub first: Vote,
    /// The other.
    pub second: Vote,
}
codec!(Evidence {
    validator,
    first,
    second
});

impl Evidence {
    /// Whether the two votes contradict each other and are both the validator's.
    #[must_use]
    pub fn verify(&self, genesis: &Genesis) -> bool {
        let Some(validator) = genesis.validators.get(self.validator as usize) else {
            return false;
        };
        let Self { first, second, .. } = self;
        let same_view =
            (first.round.epoch, first.round.view) == (second.round.epoch, second.round.view);
        let contradicts = match (first.phase, second.phase) {
            (Phase::Nullify, Phase::Finalize) | (Phase::Finalize, Phase::Nullify) => true,
            (Phase::Nullify, _) | (_, Phase::Nullify) => false,
            (one, other) => {
                one == other
                    && (first.block, first.round.parent_view)
                        != (second.block, second.round.parent_view)
            }
        };
        let signed = |vote: &Vote| {
            // A vote to give up a view names no block and no parent, which its signature leaves out.
            let formed = match vote.phase {
                Phase::Nullify => vote.block.is_none() && vote.round.parent_view == 0,
                Phase::Notarize | Phase::Finalize => vote.block.is_some(),
            };
            let message = statement(
                &genesis.hash(),
                vote.phase,
                &vote.round,
                vote.block.as_ref(),
            );
            formed && validator.key.verify(&message, &vote.signature)
        };
        same_view && contradicts && signed(first) && signed(second)
    }
}
