//! Tests of the signatures that members vote with, as one program.

#![allow(clippy::unwrap_used)]

mod batches;
mod encodings;
mod sums;

use beaufort::{
    Claim, Digest, MemberId, Scheme as _, Signers,
    bls::{Bls, Point, SecretKey, Verifier},
};

/// Some members, whose keys are of the seeds 0, 1, 2 and so on.
struct Network {
    secrets: Vec<SecretKey>,
    verifier: Verifier,
}

impl Network {
    fn new(n: usize) -> Self {
        let secrets: Vec<_> = (0..n as u8)
            .map(|seed| SecretKey::from_seed(&[seed; 32]))
            .collect();
        let keys: Vec<_> = secrets.iter().map(|secret| Bls.public(secret)).collect();
        Self {
            secrets,
            verifier: Bls.verifier(&keys),
        }
    }

    fn one(&self, member: u16) -> Signers {
        Signers::one(self.secrets.len(), MemberId(member))
    }

    fn sign(&self, member: u16, message: &Digest) -> (Signers, Point) {
        (
            self.one(member),
            Bls.sign(&self.secrets[usize::from(member)], message),
        )
    }

    /// What these members signed, added up; one may be among them several times.
    fn sum(&self, members: impl IntoIterator<Item = u16>, message: &Digest) -> (Signers, Point) {
        members
            .into_iter()
            .map(|member| self.sign(member, message))
            .reduce(|one, other| add(&one, &other))
            .unwrap()
    }

    fn verifies(&self, message: &Digest, (signers, signature): &(Signers, Point)) -> bool {
        Bls.verify(
            &self.verifier,
            &[Claim {
                message,
                signers,
                signature,
            }],
            &[0; 32],
        )
    }
}

fn add(one: &(Signers, Point), other: &(Signers, Point)) -> (Signers, Point) {
    let mut point = one.1;
    Bls.add(&mut point, &other.1);
    (one.0.plus(&other.0).unwrap(), point)
}
