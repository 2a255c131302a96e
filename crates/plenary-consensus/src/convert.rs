//! The engine's words for the values of `plenary-types`, and back.
//!
//! The engine numbers validators by their place among the sorted keys, as the genesis does, so
//! indices mean the same on both sides.

use crate::block::EngineContext;
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _, ReadExt as _, types::lazy::Lazy};
use commonware_consensus::{
    simplex::{
        scheme::ed25519::Scheme,
        types::{
            Activity, Attributable as _, Finalization, Finalize, Notarize, Nullify,
            Proposal as EngineProposal,
        },
    },
    types::{Epoch, Participant, Round as EngineRound, View},
};
use commonware_cryptography::{
    certificate::{Attestation, Signers},
    ed25519,
    sha256::Digest as EngineDigest,
};
use commonware_utils::ordered::Set;
use plenary_types::{
    BlockHash, Certificate, Genesis, Header, PrivateKey, PublicKey, Round, Signature, Timestamp,
    certificate::{Phase, ValidatorSignature},
    evidence::{Evidence, Vote},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The only epoch there is: the set of validators is the genesis'.
pub(crate) const EPOCH: u64 = 0;

/// The signatures the engine makes and checks.
pub(crate) type EngineScheme = Scheme;
/// A quorum of finalize votes.
pub(crate) type EngineFinalization = Finalization<Scheme, EngineDigest>;
/// What the engine reports of itself and of its peers.
pub(crate) type EngineActivity = Activity<Scheme, EngineDigest>;

pub(crate) fn digest(hash: &BlockHash) -> EngineDigest {
    EngineDigest(hash.0)
}

pub(crate) fn block_hash(digest: &EngineDigest) -> BlockHash {
    BlockHash(digest.0)
}

/// The engine's form of a key, where the key is a point of the curve.
pub(crate) fn engine_key(key: &PublicKey) -> Option<ed25519::PublicKey> {
    ed25519::PublicKey::decode(Bytes::copy_from_slice(&key.0)).ok()
}

pub(crate) fn public_key(key: &ed25519::PublicKey) -> PublicKey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key);
    PublicKey(bytes)
}

pub(crate) fn signing_key(key: &PrivateKey) -> ed25519::PrivateKey {
    let seed = Bytes::copy_from_slice(&key.to_seed());
    ed25519::PrivateKey::decode(seed).expect("any 32 bytes are a seed")
}

/// The validators, by index.
pub(crate) fn participants(genesis: &Genesis) -> Set<ed25519::PublicKey> {
    let keys = genesis.validators.iter().map(|validator| {
        engine_key(&validator.key).expect("a validated genesis has only keys on the curve")
    });
    Set::from_iter_dedup(keys)
}

pub(crate) fn engine_round(view: u64) -> EngineRound {
    EngineRound::new(Epoch::new(EPOCH), View::new(view))
}

pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn signature(attestation: &Attestation<Scheme>) -> Option<Signature> {
    lazy_signature(&attestation.signature)
}

fn lazy_signature(signature: &Lazy<ed25519::Signature>) -> Option<Signature> {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(signature.get()?);
    Some(Signature(bytes))
}

/// The certificate in a finalization; its block's header says the rest.
pub(crate) fn certificate(finalization: &EngineFinalization) -> Option<Certificate> {
    let certificate = &finalization.certificate;
    let signers = certificate.signers.iter();
    let signatures = signers.zip(&certificate.signatures).map(|(signer, lazy)| {
        Some(ValidatorSignature {
            validator: signer.get(),
            signature: lazy_signature(lazy)?,
        })
    });
    let signatures = signatures.collect::<Option<_>>()?;
    Some(Certificate { signatures })
}

/// The finalization that a header and its certificate stand for, unchecked; nothing where the
/// certificate names a validator twice or one that does not exist.
pub(crate) fn finalization(
    header: &Header,
    certificate: &Certificate,
    validators: usize,
) -> Option<EngineFinalization> {
    let indices = certificate.signatures.iter();
    let indices = indices.map(|entry| Participant::new(entry.validator));
    let signers = Signers::new(u32::try_from(validators).ok()?, indices).ok()?;
    let signatures = certificate.signatures.iter().map(|entry| {
        let signature = Bytes::copy_from_slice(&entry.signature.0);
        let signature = ed25519::Signature::decode(signature).ok()?;
        Some(Lazy::new(signature))
    });
    Some(Finalization {
        proposal: EngineProposal::new(
            engine_round(header.round.view),
            View::new(header.round.parent_view),
            digest(&header.hash()),
        ),
        certificate: ed25519::certificate::Certificate {
            signers,
            signatures: signatures.collect::<Option<_>>()?,
        },
    })
}

/// The round of a block to be built.
pub(crate) fn round(context: &EngineContext) -> Round {
    Round {
        epoch: context.round.epoch().get(),
        view: context.round.view().get(),
        parent_view: context.parent.0.get(),
    }
}

fn proposal_round(proposal: &EngineProposal<EngineDigest>) -> Round {
    Round {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
    }
}

fn proposal_vote(
    phase: Phase,
    proposal: &EngineProposal<EngineDigest>,
    attestation: &Attestation<Scheme>,
) -> Option<Vote> {
    Some(Vote {
        phase,
        round: proposal_round(proposal),
        block: Some(block_hash(&proposal.payload)),
        signature: signature(attestation)?,
    })
}

fn notarize_vote(vote: &Notarize<Scheme, EngineDigest>) -> Option<Vote> {
    proposal_vote(Phase::Notarize, &vote.proposal, &vote.attestation)
}

fn finalize_vote(vote: &Finalize<Scheme, EngineDigest>) -> Option<Vote> {
    proposal_vote(Phase::Finalize, &vote.proposal, &vote.attestation)
}

fn nullify_vote(vote: &Nullify<Scheme>) -> Option<Vote> {
    Some(Vote {
        phase: Phase::Nullify,
        round: Round {
            epoch: vote.round.epoch().get(),
            view: vote.round.view().get(),
            parent_view: 0,
        },
        block: None,
        signature: signature(&vote.attestation)?,
    })
}

/// The proof of misbehaviour that an activity is, where it is one. The signatures are not
/// checked here.
pub(crate) fn evidence(activity: &EngineActivity) -> Option<Evidence> {
    // The engine keeps the two votes private; its encoding of the pair is one after the other.
    let (validator, encoded) = match activity {
        Activity::ConflictingNotarize(pair) => (pair.signer(), pair.encode()),
        Activity::ConflictingFinalize(pair) => (pair.signer(), pair.encode()),
        Activity::NullifyFinalize(pair) => (pair.signer(), pair.encode()),
        _ => return None,
    };
    let mut buf = encoded;
    let (first, second) = match activity {
        Activity::ConflictingNotarize(_) => (
            notarize_vote(&Notarize::read(&mut buf).ok()?)?,
            notarize_vote(&Notarize::read(&mut buf).ok()?)?,
        ),
        Activity::ConflictingFinalize(_) => (
            finalize_vote(&Finalize::read(&mut buf).ok()?)?,
            finalize_vote(&Finalize::read(&mut buf).ok()?)?,
        ),
        _ => (
            nullify_vote(&Nullify::read(&mut buf).ok()?)?,
            finalize_vote(&Finalize::read(&mut buf).ok()?)?,
        ),
    };
    Some(Evidence {
        validator: validator.get(),
        first,
        second,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use commonware_consensus::simplex::types::Subject;
    use commonware_cryptography::certificate::Verifier as _;
    use commonware_parallel::Sequential;
    use commonware_utils::{non_empty, sys_rng};
    use plenary_types::{Block, Digest, testing::Network};

    fn schemes(network: &Network) -> Vec<Scheme> {
        let namespace = plenary_types::certificate::namespace(&network.genesis.hash());
        let participants = participants(&network.genesis);
        let keys = network.validators.iter().map(signing_key);
        keys.map(|key| Scheme::signer(&namespace, participants.clone(), key).unwrap())
            .collect()
    }

    /// A block in view 9 with the finalization that three of four validators made.
    fn finalized(network: &Network) -> (Header, EngineFinalization, Vec<Scheme>) {
        let mut header = Block::genesis(&network.genesis, Digest([0; 32])).header;
        header.height = 5;
        header.round.view = 9;
        header.round.parent_view = 7;
        let schemes = schemes(network);
        let proposal = EngineProposal::new(engine_round(9), View::new(7), digest(&header.hash()));
        let votes = schemes[1..].iter();
        let votes: Vec<_> = votes
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
            .collect();
        let finalization =
            Finalization::from_finalizes(&schemes[0], non_empty![@&votes], &Sequential).unwrap();
        (header, finalization, schemes)
    }

    #[test]
    fn the_engine_numbers_validators_as_the_genesis_does() {
        let network = Network::new(16);
        let participants = participants(&network.genesis);
        let engine: Vec<_> = participants.iter().map(public_key).collect();
        let genesis = network.genesis.validators.iter();
        assert_eq!(
            engine,
            genesis.map(|validator| validator.key).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_certificate_means_the_same_to_the_engine_and_to_everybody_else() {
        let network = Network::new(4);
        let (header, made, schemes) = finalized(&network);
        let certificate = certificate(&made).unwrap();
        let signers = certificate.signatures.iter().map(|entry| entry.validator);
        assert_eq!(signers.collect::<Vec<_>>(), [1, 2, 3]);
        certificate.verify(&header, &network.genesis).unwrap();
        let back = finalization(&header, &certificate, 4).unwrap();
        assert_eq!(back, made);
        let subject = Subject::Finalize {
            proposal: &back.proposal,
        };
        assert!(schemes[0].verify_certificate::<_, EngineDigest>(
            &mut sys_rng(),
            subject,
            &back.certificate,
            &Sequential
        ));
    }

    #[test]
    fn a_certificate_that_makes_no_sense_has_no_finalization() {
        let network = Network::new(4);
        let (header, made, _) = finalized(&network);
        let good = certificate(&made).unwrap();
        let mut twice = good.clone();
        twice.signatures[0].validator = 2;
        assert!(finalization(&header, &twice, 4).is_none());
        let mut unknown = good;
        unknown.signatures[0].validator = 4;
        assert!(finalization(&header, &unknown, 4).is_none());
    }
}
