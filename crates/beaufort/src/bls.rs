//! Signatures that add up: BLS12-381 as in figure 4 of the paper, by blst.
//!
//! A signature is a point of G1: the message's hash raised to the secret times t = H1(pk). Signatures on one message
//! are added in any order and overlap. A sum is verified against the sum of pk^t over its signers, with counts, by
//! one equation of pairings, several claims by one together, each weighed with a random number of 64 bits, so that false
//! ones cancel out with a probability of 2^-64.

#[cfg(test)]
mod attacks;
mod hashes;
mod keys;
mod pairing;
mod possession;
mod raw;
mod verifier;

use blst::{
    min_sig::{self, AggregateSignature},
    p1_affines, p2_affines,
};

pub use self::{
    keys::{KeyError, PublicKey, SecretKey},
    verifier::Verifier,
};
use crate::{Claim, Digest, Scheme, Signature};

/// The domain of votes: what is hashed to the curve in it is a message that members sign.
const MESSAGE: &[u8] = b"BEAUFORT-V01-MESSAGE-BLS12381G1_XMD:SHA-256_SSWU_RO_";

/// Bytes of a claim's random weight.
const WEIGHT: usize = 8;

/// BLS12-381 signatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bls;

/// A signature, or a sum of some: a point of the curve, ready to be added to others.
#[derive(Clone, Copy, Debug)]
pub struct Point(AggregateSignature);

impl Scheme for Bls {
    type SecretKey = SecretKey;
    type PublicKey = PublicKey;
    type Point = Point;
    type Verifier = Verifier;

    fn public(&self, secret: &SecretKey) -> PublicKey {
        secret.public().clone()
    }

    fn encode_key(key: &PublicKey) -> Vec<u8> {
        key.to_bytes().to_vec()
    }

    fn decode_key(bytes: &[u8]) -> Option<PublicKey> {
        PublicKey::from_bytes(bytes).ok()
    }

    fn verifier(&self, keys: &[PublicKey]) -> Verifier {
        Verifier::new(keys)
    }

    fn sign(&self, secret: &SecretKey, message: &Digest) -> Point {
        let hash = AggregateSignature::from_signature(&hashes::point(message).into());
        Point(raw::sign((&hash).into(), &secret.exponent).into())
    }

    fn add(&self, to: &mut Point, other: &Point) {
        to.0.add_aggregate(&other.0);
    }

    fn encode(&self, point: &Point) -> Signature {
        Signature(point.0.to_signature().compress())
    }

    fn decode(&self, signature: &Signature) -> Option<Point> {
        let point = min_sig::Signature::uncompress(&signature.0).ok()?;
        Some(Point(AggregateSignature::from_signature(&point)))
    }

    fn verify(&self, verifier: &Verifier, claims: &[Claim<'_, Self>], seed: &[u8; 32]) -> bool {
        if claims.is_empty() {
            return true;
        }
        let Some(keys) = claims
            .iter()
            .map(|claim| verifier.sum(claim.signers))
            .collect::<Option<Vec<_>>>()
        else {
            return false;
        };
        let signatures: Vec<_> = claims
            .iter()
            .map(|claim| claim.signature.0.into())
            .collect();
        let hashes: Vec<_> = claims
            .iter()
            .map(|claim| hashes::point(claim.message))
            .collect();
        pairing::holds::<WEIGHT>(
            p2_affines::from(&keys).as_slice(),
            &hashes,
            p1_affines::from(&signatures).as_slice(),
            seed,
        )
    }
}
