//! Certificates: a quorum of validators' signatures that made a block final.
//!
//! Verifying one needs the block's header and the validators' keys, and nothing of the engine.
//! What a validator signs is fixed by the engine (Commonware simplex): the network's namespace
//! with the suffix `_FINALIZE`, then epoch, view and parent view as varints and the block's hash.
//! The crate that embeds the engine tests that this module accepts what the engine makes.

use crate::{
    block::{Header, Round},
    codec::codec,
    digest::{BlockHash, GenesisHash},
    genesis::Genesis,
    keys::Signature,
    limits::MAX_VALIDATORS,
};
use commonware_codec::{Write, varint::UInt};
use serde::{Deserialize, Serialize};

/// One validator's signature in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorSignature {
    /// The validator's index: its place among the genesis' validators, sorted by key.
    pub validator: u32,
    /// Its signature.
    pub signature: Signature,
}
codec!(ValidatorSignature {
    validator,
    signature
});

/// A quorum of signatures over one header, by ascending validator index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The signatures.
    pub signatures: Vec<ValidatorSignature>,
}
codec!(Certificate {
    signatures: list(MAX_VALIDATORS)
});

/// Why a certificate does not make a header final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The header is of another network.
    #[error("the header is of network {found}, not of {expected}")]
    Genesis {
        /// The network asked about.
        expected: GenesisHash,
        /// The header's.
        found: GenesisHash,
    },
    /// Too few signatures.
    #[error("{found} signatures are fewer than the quorum of {quorum}")]
    Quorum {
        /// How many are needed.
        quorum: usize,
        /// How many there are.
        found: usize,
    },
    /// The indices are not ascending, or not all of validators.
    #[error("signature {position} is not by a validator, or out of order, or there twice")]
    Signers {
        /// Position in the certificate.
        position: usize,
    },
    /// A signature does not verify.
    #[error("the signature of validator {validator} over block {block} does not verify")]
    Signature {
        /// The validator's index.
        validator: u32,
        /// The block.
        block: BlockHash,
    },
}

/// The engine's namespace for a network: everything its validators sign is under it.
pub fn namespace(genesis: &GenesisHash) -> Vec<u8> {
    let mut namespace = b"plenary/".to_vec();
    namespace.extend_from_slice(&genesis.0);
    namespace
}

/// What a phase of the engine's vote is called in what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// First vote for a proposal.
    Notarize,
    /// Vote to give up a view.
    Nullify,
    /// Vote that makes a notarized proposal final.
    Finalize,
}

/// The bytes a validator signs: `block` is absent exactly for [`Phase::Nullify`].
pub fn statement(
    genesis: &GenesisHash,
    phase: Phase,
    round: &Round,
    block: Option<&BlockHash>,
) -> Vec<u8> {
    let mut domain = namespace(genesis);
    domain.extend_from_slice(match phase {
        Phase::Notarize => b"_NOTARIZE",
        Phase::Nullify => b"_NULLIFY",
        Phase::Finalize => b"_FINALIZE",
    });
    let mut message = Vec::with_capacity(128);
    domain.len().write(&mut message);
    message.extend_from_slice(&domain);
    UInt(round.epoch).write(&mut message);
    UInt(round.view).write(&mut message);
    if let Some(block) = block {
        UInt(round.parent_view).write(&mut message);
        block.write(&mut message);
    }
    message
}

impl Certificate {
    /// The most bytes a certificate that decodes can have.
    pub const fn max_encode_size() -> usize {
        // Its length, then an index and a signature for each.
        8 + MAX_VALIDATORS * (4 + 64)
    }

    /// Checks that a quorum of the genesis' validators made `header` final.
    ///
    /// # Errors
    ///
    /// The first reason it does not hold.
    pub fn verify(&self, header: &Header, genesis: &Genesis) -> Result<(), CertificateError> {
        let hash = genesis.hash();
        if header.genesis != hash {
            return Err(CertificateError::Genesis {
                expected: hash,
                found: header.genesis,
            });
        }
        let quorum = genesis.quorum();
        if self.signatures.len() < quorum {
            return Err(CertificateError::Quorum {
                quorum,
                found: self.signatures.len(),
            });
        }
        let block = header.hash();
        let message = statement(&hash, Phase::Finalize, &header.round, Some(&block));
        let mut next = 0;
        for (position, entry) in self.signatures.iter().enumerate() {
            let validator = genesis.validators.get(entry.validator as usize);
            let Some(validator) = validator.filter(|_| entry.validator >= next) else {
                return Err(CertificateError::Signers { position });
            };
            if !validator.key.verify(&message, &entry.signature) {
                return Err(CertificateError::Signature {
                    validator: entry.validator,
                    block,
                });
            }
            next = entry.validator + 1;
        }
        Ok(())
    }
}
