//! What the protocol needs of a signature scheme.
//!
//! The protocol adds signatures of several members on one message into one, in whatever order and overlap gossip
//! brings them, and verifies such a sum against how often each member is in it. [`crate::bls`] does that with
//! BLS12-381. Simulations use a scheme that adds in the same way and costs nothing, and charge each replica's clock
//! for what it would have cost.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use crate::{Signers, digest::Digest};

/// A signature, or a sum of signatures, as it travels: a compressed point of G1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature(#[serde(with = "BigArray")] pub [u8; 48]);

impl Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([first, second, ..]) = self;
        write!(f, "Signature({first:02x}{second:02x}..)")
    }
}

/// That these members signed this message, each as often as `signers` counts it.
pub struct Claim<'a, S: Scheme> {
    /// What was signed.
    pub message: &'a Digest,
    /// Whose signatures are in the sum, and how often.
    pub signers: &'a Signers,
    /// The sum.
    pub signature: &'a S::Point,
}

/// A scheme whose signatures on one message add up.
pub trait Scheme: Sized + 'static {
    /// Signs for one member.
    type SecretKey;
    /// Names a member and checks what it signed.
    type PublicKey: Clone + Ord + Debug;
    /// A signature, or a sum of some, ready to be added to others.
    type Point: Clone;
    /// The members' keys, prepared for verification.
    type Verifier;

    /// The key that checks what `secret` signs.
    fn public(&self, secret: &Self::SecretKey) -> Self::PublicKey;

    /// A public key's canonical bytes.
    fn encode_key(key: &Self::PublicKey) -> Vec<u8>;

    /// A public key from its bytes, where these are the canonical ones of a key that is safe to use.
    fn decode_key(bytes: &[u8]) -> Option<Self::PublicKey>;

    /// Prepares the members' keys; a claim's signers are indexes into these.
    fn verifier(&self, keys: &[Self::PublicKey]) -> Self::Verifier;

    /// Signs a message.
    fn sign(&self, secret: &Self::SecretKey, message: &Digest) -> Self::Point;

    /// Adds one sum to another.
    fn add(&self, to: &mut Self::Point, other: &Self::Point);

    /// A sum as it travels.
    fn encode(&self, point: &Self::Point) -> Signature;

    /// A sum that travelled, where the bytes are a point at all. Whether it is a signature is for [`Self::verify`].
    fn decode(&self, signature: &Signature) -> Option<Self::Point>;

    /// Whether every claim holds, all checked at once. `seed` must be unknown to who made the signatures: the claims
    /// are weighed with random numbers from it, so that two false ones cannot cancel out.
    fn verify(
        &self,
        verifier: &Self::Verifier,
        claims: &[Claim<'_, Self>],
        seed: &[u8; 32],
    ) -> bool;
}
