//! A Plenary block as the engine wants to see one.
//!
//! The engine knows a block by a digest, which is the header's hash, and asks it for the context
//! it was proposed in, which is in the header too. Nothing is stored twice: the encoding is the
//! block's own.

use crate::convert::{self, EPOCH};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, Read, ReadExt as _, Write};
use commonware_consensus::{
    Block, BoundedBlock, CertifiableBlock, Heightable,
    simplex::types::Context,
    types::{Height, View},
};
use commonware_cryptography::{Digested, Digestible, ed25519, sha256::Digest};
use plenary_types::BlockHash;
use std::sync::Arc;

/// What the engine says about a proposal: its round, its leader and its parent.
pub(crate) type EngineContext = Context<Digest, ed25519::PublicKey>;

/// A block whose proposer is a key on the curve and whose epoch is the engine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineBlock {
    block: Arc<plenary_types::Block>,
    leader: ed25519::PublicKey,
}

impl EngineBlock {
    /// Wraps a block; nothing where the engine cannot represent its header.
    pub(crate) fn new(block: Arc<plenary_types::Block>) -> Option<Self> {
        let header = &block.header;
        if header.round.epoch != EPOCH {
            return None;
        }
        let leader = convert::engine_key(&header.proposer)?;
        Some(Self { block, leader })
    }

    /// The block.
    pub(crate) fn block(&self) -> &Arc<plenary_types::Block> {
        &self.block
    }

    /// The block with its digest, which is computed once.
    pub(crate) fn digested(self) -> Digested<Self> {
        let digest = self.digest();
        Digested::precomputed(self, digest)
    }
}

impl Write for EngineBlock {
    fn write(&self, buf: &mut impl BufMut) {
        self.block.write(buf);
    }
}

impl EncodeSize for EngineBlock {
    fn encode_size(&self) -> usize {
        self.block.encode_size()
    }
}

impl Read for EngineBlock {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let block = Arc::new(plenary_types::Block::read(buf)?);
        Self::new(block).ok_or(Error::Invalid("Block", "no such epoch or proposer"))
    }
}

impl BoundedBlock for EngineBlock {
    fn max_encode_size(_: &()) -> usize {
        plenary_types::Block::max_encode_size()
    }
}

impl Digestible for EngineBlock {
    type Digest = Digest;
    fn digest(&self) -> Digest {
        convert::digest(&self.block.hash())
    }
}

impl Heightable for EngineBlock {
    fn height(&self) -> Height {
        Height::new(self.block.header.height)
    }
}

impl Block for EngineBlock {
    fn parent(&self) -> Digest {
        convert::digest(&self.block.header.parent)
    }
}

impl CertifiableBlock for EngineBlock {
    type Context = EngineContext;
    fn context(&self) -> EngineContext {
        let header = &self.block.header;
        Context {
            round: convert::engine_round(header.round.view),
            leader: self.leader.clone(),
            parent: (
                View::new(header.round.parent_view),
                convert::digest(&header.parent),
            ),
        }
    }
}

/// The hash of a block that carries its digest.
pub(crate) fn hash(block: &Digested<EngineBlock>) -> BlockHash {
    convert::block_hash(&block.digest())
}
