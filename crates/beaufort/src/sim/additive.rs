//! Signatures that add up as those of BLS do, and cost next to nothing.
//!
//! A member's secret is six numbers, a message hashes to six factors, and a signature is their products, lane by
//! lane, modulo 2^64. That is linear in the secret as BLS is: sums of signatures are checked against sums of secrets,
//! each as often as its member is counted. Anybody who looks at a signature can forge others; no replica does by
//! accident, and simulated adversaries that want to cheat do so in ways that BLS would not stop either.
//!
//! Every operation is counted, so that the simulator can charge what it would have cost.

use std::{cell::Cell, rc::Rc};

use crate::{
    Claim, Scheme, Signature, Signers,
    digest::{Digest, hash},
};

/// How many numbers a signature is made of: as many as fit into its 48 bytes.
const LANES: usize = 6;
/// A bit that every encoded point has, as compressed points of BLS have one. Arithmetic ignores it.
const ENCODED: u64 = 1 << 63;

type Lanes = [u64; LANES];

/// The public key of [`Additive`]: a member's number, from which anybody can derive its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// The secret key of [`Additive`].
#[derive(Clone, Copy, Debug)]
pub struct Secret(pub Number);

/// How many operations were carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Messages signed.
    pub signed: u64,
    /// Sums added to others.
    pub added: u64,
    /// Points made bytes.
    pub encoded: u64,
    /// Bytes made points.
    pub decoded: u64,
    /// Verifications, each of one claim or more.
    pub verified: u64,
    /// Claims in these.
    pub claims: u64,
    /// Keys added up for these.
    pub keys: u64,
}

impl Operations {
    /// Those of these that were carried out after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            signed: self.signed - before.signed,
            added: self.added - before.added,
            encoded: self.encoded - before.encoded,
            decoded: self.decoded - before.decoded,
            verified: self.verified - before.verified,
            claims: self.claims - before.claims,
            keys: self.keys - before.keys,
        }
    }
}

/// The scheme, with a count of what was done. A clone counts with the original.
#[derive(Clone, Debug, Default)]
pub struct Additive {
    operations: Rc<Cell<Operations>>,
    sabotaged: Rc<Cell<bool>>,
}

impl Additive {
    /// What was done so far.
    pub fn operations(&self) -> Operations {
        self.operations.get()
    }

    /// Makes every signature from now on invalid, or valid again.
    pub fn sabotage(&self, on: bool) {
        self.sabotaged.set(on);
    }

    fn count(&self, change: impl FnOnce(&mut Operations)) {
        let mut operations = self.operations.get();
        change(&mut operations);
        self.operations.set(operations);
    }
}

/// Numbers that depend on all of `parts`.
fn lanes(context: &'static str, part: &[u8]) -> Lanes {
    let mut numbers = [0; LANES];
    let (first, second) = (hash(context, &[part, &[0]]), hash(context, &[part, &[1]]));
    for (number, bytes) in numbers
        .iter_mut()
        .zip(first.chunks_exact(8).chain(second.chunks_exact(8)))
    {
        *number = bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte));
    }
    numbers
}

fn secret(Number(number): Number) -> Lanes {
    lanes("beaufort 2026 simulated secret", &number.to_be_bytes())
}

/// A message's factors. They are odd, so that different secrets give different signatures.
fn factors(message: &Digest) -> Lanes {
    lanes("beaufort 2026 simulated message", message).map(|factor| factor | 1)
}

/// How many keys are added up for a sum: a member that is in it once, or all that are not, whichever are fewer; and
/// so for each binary digit of the counts.
fn key_additions(signers: &Signers) -> u64 {
    let counts: Vec<_> = signers.iter().map(|(_, count)| count).collect();
    let all = signers.members();
    let digit = |bit: u32| {
        counts
            .iter()
            .filter(|&&count| count >> bit & 1 == 1)
            .count()
    };
    (0..u16::BITS)
        .map(digit)
        .map(|these| these.min(all - these) as u64)
        .sum()
}

impl Scheme for Additive {
    type SecretKey = Secret;
    type PublicKey = Number;
    type Point = Lanes;
    type Verifier = Vec<Lanes>;

    fn public(&self, secret: &Secret) -> Number {
        secret.0
    }

    fn encode_key(key: &Number) -> Vec<u8> {
        key.0.to_be_bytes().into()
    }

    fn decode_key(bytes: &[u8]) -> Option<Number> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Number(u64::from_be_bytes(bytes)))
    }

    fn verifier(&self, keys: &[Number]) -> Vec<Lanes> {
        keys.iter().copied().map(secret).collect()
    }

    fn sign(&self, key: &Secret, message: &Digest) -> Lanes {
        self.count(|operations| operations.signed += 1);
        let mut point = secret(key.0);
        for (lane, factor) in point.iter_mut().zip(factors(message)) {
            *lane = lane
                .wrapping_mul(factor)
                .wrapping_add(u64::from(self.sabotaged.get()));
        }
        point
    }

    fn add(&self, to: &mut Lanes, other: &Lanes) {
        self.count(|operations| operations.added += 1);
        for (lane, other) in to.iter_mut().zip(other) {
            *lane = lane.wrapping_add(*other);
        }
    }

    fn encode(&self, point: &Lanes) -> Signature {
        self.count(|operations| operations.encoded += 1);
        let mut bytes = [0; 48];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(point) {
            chunk.copy_from_slice(&(lane | ENCODED).to_be_bytes());
        }
        Signature(bytes)
    }

    fn decode(&self, signature: &Signature) -> Option<Lanes> {
        self.count(|operations| operations.decoded += 1);
        let mut point = [0; LANES];
        for (lane, bytes) in point.iter_mut().zip(signature.0.chunks_exact(8)) {
            *lane = bytes
                .iter()
                .fold(0, |lane, &byte| lane << 8 | u64::from(byte));
        }
        point
            .iter()
            .all(|lane| lane & ENCODED != 0)
            .then_some(point)
    }

    fn verify(&self, verifier: &Vec<Lanes>, claims: &[Claim<'_, Self>], _seed: &[u8; 32]) -> bool {
        self.count(|operations| {
            operations.verified += u64::from(!claims.is_empty());
            operations.claims += claims.len() as u64;
            operations.keys += claims
                .iter()
                .map(|claim| key_additions(claim.signers))
                .sum::<u64>();
        });
        claims.iter().all(|claim| holds(verifier, claim))
    }
}

fn holds(verifier: &[Lanes], claim: &Claim<'_, Additive>) -> bool {
    let mut sum = [0u64; LANES];
    for (member, count) in claim.signers.iter() {
        let Some(secret) = verifier.get(usize::from(member.0)) else {
            return false;
        };
        for (lane, secret) in sum.iter_mut().zip(secret) {
            *lane = lane.wrapping_add(secret.wrapping_mul(u64::from(count)));
        }
    }
    let wanted = sum
        .iter()
        .zip(factors(claim.message))
        .map(|(sum, factor)| sum.wrapping_mul(factor));
    let matches = wanted
        .zip(claim.signature)
        .all(|(wanted, lane)| (wanted ^ lane) & !ENCODED == 0);
    matches && claim.signers.distinct() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberId;

    const MESSAGE: Digest = [7; 32];

    fn signed(scheme: &Additive, member: u16) -> (Signers, Lanes) {
        let point = scheme.sign(&Secret(Number(u64::from(member))), &MESSAGE);
        (Signers::one(5, MemberId(member)), point)
    }

    fn plus(
        scheme: &Additive,
        (signers, point): &(Signers, Lanes),
        other: &(Signers, Lanes),
    ) -> (Signers, Lanes) {
        let mut sum = *point;
        scheme.add(&mut sum, &other.1);
        (signers.plus(&other.0).expect("small counts"), sum)
    }

    fn verified(scheme: &Additive, message: &Digest, signers: &Signers, signature: &Lanes) -> bool {
        let verifier = scheme.verifier(&[0, 1, 2, 3, 4].map(Number));
        scheme.verify(
            &verifier,
            &[Claim {
                message,
                signers,
                signature,
            }],
            &[0; 32],
        )
    }

    #[test]
    fn sums_in_any_order_and_overlap_verify() {
        let scheme = Additive::default();
        let [a, b, c] = [0, 1, 4].map(|member| signed(&scheme, member));
        let ab = plus(&scheme, &a, &b);
        let bc = plus(&scheme, &b, &c);
        for (signers, point) in [
            &a,
            &ab,
            &plus(&scheme, &ab, &bc),
            &plus(&scheme, &bc, &ab),
            &plus(&scheme, &ab, &ab),
        ] {
            assert!(verified(&scheme, &MESSAGE, signers, point), "{signers:?}");
            let travelled = scheme.decode(&scheme.encode(point)).expect("a point");
            assert!(
                verified(&scheme, &MESSAGE, signers, &travelled),
                "{signers:?} after travelling"
            );
        }
        assert_eq!(plus(&scheme, &ab, &bc), plus(&scheme, &bc, &ab));
    }

    #[test]
    fn whatever_is_altered_does_not_verify() {
        let scheme = Additive::default();
        let [a, b] = [2, 3].map(|member| signed(&scheme, member));
        let (signers, point) = plus(&scheme, &a, &b);
        assert!(
            !verified(&scheme, &[8; 32], &signers, &point),
            "another message"
        );
        assert!(!verified(&scheme, &MESSAGE, &a.0, &point), "a signer less");
        let more = signers.plus(&a.0).expect("small counts");
        assert!(
            !verified(&scheme, &MESSAGE, &more, &point),
            "a signer once more"
        );
        assert!(
            !verified(&scheme, &MESSAGE, &Signers::none(5), &[0; LANES]),
            "nobody"
        );
        for lane in 0..LANES {
            let mut other = point;
            other[lane] ^= 1 << 17;
            assert!(
                !verified(&scheme, &MESSAGE, &signers, &other),
                "another number at {lane}"
            );
        }
        scheme.sabotage(true);
        let (signers, point) = signed(&scheme, 0);
        assert!(!verified(&scheme, &MESSAGE, &signers, &point), "sabotaged");
    }

    #[test]
    fn garbage_is_not_always_a_point() {
        assert!(Additive::default().decode(&Signature([0x70; 48])).is_none());
    }

    #[test]
    fn clones_count_together_and_keys_are_added_the_cheaper_way() {
        let scheme = Additive::default();
        let members = [0, 1, 2, 3].map(|member| signed(&scheme.clone(), member));
        let (signers, point) = members[1..]
            .iter()
            .fold(members[0].clone(), |sum, one| plus(&scheme, &sum, one));
        assert!(verified(&scheme, &MESSAGE, &signers, &point));
        let expected = Operations {
            signed: 4,
            added: 3,
            verified: 1,
            claims: 1,
            keys: 1,
            ..Operations::default()
        };
        assert_eq!(scheme.operations(), expected);
    }
}
