//! The proof that a value was decided: n - f members' signatures over it, as one.

use serde::{Deserialize, Serialize};

use crate::{
    Claim, Digest, Members, Scheme, Signature, Signers,
    vote::{Ballot, Phase, Scope},
};

/// n - f members' votes to commit one value in one view of a key.
///
/// Anyone can check it with the members' keys alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The view of the key in which the value was decided; the first is 1.
    pub view: u64,
    /// The round of that view.
    pub round: u32,
    /// The value's digest: [`crate::value_digest`].
    pub value: Digest,
    /// Who signed, and how often each is in the sum.
    pub signers: Signers,
    /// The sum of their signatures.
    pub signature: Signature,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Made for another number of members.
    #[error(
        "the certificate counts the votes of {certificate} members, this network has {network}"
    )]
    OtherMembers {
        /// Of how many members it counts votes.
        certificate: usize,
        /// How many there are.
        network: usize,
    },
    /// Fewer than n - f members signed.
    #[error("{signers} members signed the certificate, {quorum} are needed")]
    TooFew {
        /// How many did.
        signers: usize,
        /// n - f.
        quorum: usize,
    },
    /// The signature is not theirs, or not over this value of this key in this view.
    #[error(
        "the certificate's signature does not hold: another key, value or network, or a forgery"
    )]
    Signature,
}

impl Certificate {
    /// What its signers signed.
    pub(crate) fn message(&self, network: &Digest, key: &[u8]) -> Digest {
        let ballot = Ballot {
            round: self.round,
            phase: Phase::Commit,
            value: self.value,
        };
        Scope::new(network, key, self.view).message(&ballot)
    }

    /// Whether enough members are said to have signed.
    pub(crate) fn check_signers<S: Scheme>(
        &self,
        members: &Members<S>,
    ) -> Result<(), CertificateError> {
        let (certificate, network) = (self.signers.members(), members.len());
        if certificate != network {
            return Err(CertificateError::OtherMembers {
                certificate,
                network,
            });
        }
        let (signers, quorum) = (self.signers.distinct(), members.quorum());
        if signers < quorum {
            return Err(CertificateError::TooFew { signers, quorum });
        }
        Ok(())
    }

    /// Checks that the network of these members decided this value for this key.
    ///
    /// # Errors
    ///
    /// When it did not, or this certificate does not show it.
    pub fn verify<S: Scheme>(
        &self,
        scheme: &S,
        members: &Members<S>,
        key: &[u8],
    ) -> Result<(), CertificateError> {
        self.check_signers(members)?;
        let point = scheme
            .decode(&self.signature)
            .ok_or(CertificateError::Signature)?;
        let message = self.message(&members.network(), key);
        let claim = Claim {
            message: &message,
            signers: &self.signers,
            signature: &point,
        };
        // A single claim is not weighed, so that the seed does not matter.
        let holds = scheme.verify(members.verifier(scheme), &[claim], &[0; 32]);
        holds.then_some(()).ok_or(CertificateError::Signature)
    }
}
