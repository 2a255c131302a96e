//! Which blocks are final: the rules, without I/O.
//!
//! A block is taken from anybody. It must be the child of the one before, and it is final by a
//! certificate of its own, or by one of a descendant (see `plenary_types::receipt`): until that
//! comes, it is held.

use commonware_codec::EncodeSize as _;
use plenary_store::Entry;
use plenary_types::{
    Block, BlockHash, Certificate, CertificateError, Genesis, GenesisHash, Header,
    limits::MAX_DESCENDANTS,
};
use std::{sync::Arc, vec};

/// The most bytes of blocks that are held for a certificate to come.
pub const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

/// Why a block is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is of another network.
    #[error("block {height} is of network {found}, not of {expected}")]
    Genesis {
        /// The block's height.
        height: u64,
        /// This network.
        expected: GenesisHash,
        /// The block's.
        found: GenesisHash,
    },
    /// It is not of the next height.
    #[error("a block has height {found}, the next one has {expected}")]
    Height {
        /// The next height.
        expected: u64,
        /// The block's.
        found: u64,
    },
    /// It is not the child of the block before.
    #[error("block {height} is not the child of the block before")]
    Parent {
        /// The block's height.
        height: u64,
    },
    /// Its certificate does not hold.
    #[error("the certificate of block {height} does not hold: {error}")]
    Certificate {
        /// The block's height.
        height: u64,
        /// Why.
        error: CertificateError,
    },
    /// Too much would have to be held.
    #[error(
        "no certificate for {blocks} blocks, {bytes} bytes, up to height {height}; at most {MAX_DESCENDANTS} blocks and {MAX_HELD_BYTES} bytes are held"
    )]
    Uncertified {
        /// The height of the last one.
        height: u64,
        /// How many there are.
        blocks: usize,
        /// How many bytes they have.
        bytes: usize,
    },
}

/// A place in the chain: a block's height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The height.
    pub height: u64,
    /// The hash.
    pub hash: BlockHash,
}

impl From<&Header> for Link {
    fn from(header: &Header) -> Self {
        Self {
            height: header.height,
            hash: header.hash(),
        }
    }
}

/// Takes blocks in order and gives those that are final.
#[derive(Debug)]
pub struct Verifier {
    genesis: Arc<Genesis>,
    last: Link,
    held: Vec<Entry>,
    bytes: usize,
}

impl Verifier {
    /// A verifier that goes on after the final block at `tip`.
    pub fn new(genesis: Arc<Genesis>, tip: Link) -> Self {
        Self {
            genesis,
            last: tip,
            held: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the next block and gives, in order, what is final through it. The block's body must be
    /// the one that its header binds, which decoding checks.
    ///
    /// # Errors
    ///
    /// Why the block is not taken. Nothing can follow on it, and what is held was perhaps never
    /// final: the verifier is of no more use.
    pub fn push(
        &mut self,
        block: Block,
        certificate: Option<Certificate>,
    ) -> Result<vec::Drain<'_, Entry>, Invalid> {
        let header = &block.header;
        let height = header.height;
        self.check_link(header)?;
        self.last = Link::from(header);
        if let Some(certificate) = &certificate {
            certificate
                .verify(header, &self.genesis)
                .map_err(|error| Invalid::Certificate { height, error })?;
        }
        let certified = certificate.is_some();
        self.bytes += block.encode_size();
        self.held.push(Entry {
            block: Arc::new(block),
            certificate,
        });
        let (blocks, bytes) = (self.held.len(), self.bytes);
        let finals = match certified {
            true => {
                self.bytes = 0;
                blocks
            }
            false if blocks > MAX_DESCENDANTS || bytes > MAX_HELD_BYTES => {
                return Err(Invalid::Uncertified {
                    height,
                    blocks,
                    bytes,
                });
            }
            false => 0,
        };
        Ok(self.held.drain(..finals))
    }

    fn check_link(&self, header: &Header) -> Result<(), Invalid> {
        let (height, expected) = (header.height, self.genesis.hash());
        if header.genesis != expected {
            return Err(Invalid::Genesis {
                height,
                expected,
                found: header.genesis,
            });
        }
        if self.last.height.checked_add(1) != Some(height) {
            return Err(Invalid::Height {
                expected: self.last.height.saturating_add(1),
                found: height,
            });
        }
        if header.parent != self.last.hash {
            return Err(Invalid::Parent { height });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plenary_types::testing::Network;

    struct Chain {
        network: Network,
        tip: Header,
        verifier: Verifier,
    }

    impl Chain {
        fn new() -> Self {
            let network = Network::new(4);
            let tip = network.genesis_block().header;
            let genesis = Arc::new(network.genesis.clone());
            Self {
                verifier: Verifier::new(genesis, Link::from(&tip)),
                network,
                tip,
            }
        }

        fn grow(&mut self) -> Block {
            let block = self.network.committed(&self.tip, Vec::new());
            self.tip = block.header.clone();
            block
        }

        fn push(&mut self, block: Block, certified: bool) -> Result<Vec<u64>, Invalid> {
            let certificate = certified.then(|| self.network.certificate(&block.header));
            let finals = self.verifier.push(block, certificate)?;
            Ok(finals.map(|entry| entry.block.header.height).collect())
        }
    }

    #[test]
    fn a_block_is_final_with_its_own_certificate_or_with_a_descendants() {
        let mut chain = Chain::new();
        let pushes = [true, false, false, true, true].map(|certified| {
            let block = chain.grow();
            chain.push(block, certified).unwrap()
        });
        assert_eq!(pushes, [vec![1], vec![], vec![], vec![2, 3, 4], vec![5]]);
    }

    #[test]
    fn only_the_child_of_the_block_before_is_taken() {
        let mut chain = Chain::new();
        let (first, second) = (chain.grow(), chain.grow());
        let gap = Invalid::Height {
            expected: 1,
            found: 2,
        };
        assert_eq!(chain.push(second.clone(), true), Err(gap));
        assert_eq!(chain.push(first.clone(), true), Ok(vec![1]));
        let mut forked = second.header;
        forked.parent = chain.network.genesis_block().hash();
        let forked = Block {
            header: forked,
            transactions: Vec::new(),
            outcomes: Vec::new(),
        };
        assert_eq!(chain.push(forked, true), Err(Invalid::Parent { height: 2 }));
    }

    #[test]
    fn a_block_of_another_network_is_not_taken() {
        let mut chain = Chain::new();
        let other = Network::of_service(4, "other", "1");
        let block = other.committed(&other.genesis_block().header, Vec::new());
        let refused = chain.push(block, false);
        assert!(matches!(refused, Err(Invalid::Genesis { height: 1, .. })));
    }

    #[test]
    fn a_certificate_must_be_a_quorums_over_this_block() {
        let mut chain = Chain::new();
        let block = chain.grow();
        let other = chain.network.committed(&block.header, Vec::new()).header;
        let network = &chain.network;
        let forged = [
            network.certificate_by(&block.header, &[0, 1]),
            network.certificate(&other),
        ];
        for certificate in forged {
            let genesis = Arc::new(network.genesis.clone());
            let tip = Link::from(&network.genesis_block().header);
            let mut verifier = Verifier::new(genesis, tip);
            let refused = verifier.push(block.clone(), Some(certificate)).map(drop);
            assert!(matches!(
                refused,
                Err(Invalid::Certificate { height: 1, .. })
            ));
        }
    }

    #[test]
    fn what_is_held_for_a_certificate_is_bounded() {
        let mut chain = Chain::new();
        for _ in 0..MAX_DESCENDANTS {
            let block = chain.grow();
            assert_eq!(chain.push(block, false), Ok(vec![]));
        }
        let block = chain.grow();
        let refused = chain.push(block, false);
        assert!(matches!(refused, Err(Invalid::Uncertified { .. })));
    }
}
