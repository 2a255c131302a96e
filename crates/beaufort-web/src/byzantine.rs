//! Signatures of a member that lies: right until told otherwise, then over another message, and all
//! others taken for right.

use beaufort::{
    Claim, Digest, Scheme, Signature,
    bls::{Bls, Point, PublicKey, SecretKey, Verifier},
};
use std::{cell::Cell, rc::Rc};

/// Signs as [`Bls`] does, or falsely.
#[derive(Clone, Default)]
pub(crate) struct Signing(Rc<Cell<bool>>);

impl Signing {
    /// Signs falsely from now on, or rightly again.
    pub(crate) fn forge(&self, falsely: bool) {
        self.0.set(falsely);
    }
}

impl Scheme for Signing {
    type SecretKey = SecretKey;
    type PublicKey = PublicKey;
    type Point = Point;
    type Verifier = Verifier;

    fn public(&self, secret: &SecretKey) -> PublicKey {
        Bls.public(secret)
    }

    fn encode_key(key: &PublicKey) -> Vec<u8> {
        Bls::encode_key(key)
    }

    fn decode_key(bytes: &[u8]) -> Option<PublicKey> {
        Bls::decode_key(bytes)
    }

    fn verifier(&self, keys: &[PublicKey]) -> Self::Verifier {
        Bls.verifier(keys)
    }

    fn sign(&self, secret: &SecretKey, message: &Digest) -> Self::Point {
        let mut message = *message;
        message[0] ^= u8::from(self.0.get());
        Bls.sign(secret, &message)
    }

    fn add(&self, to: &mut Self::Point, other: &Self::Point) {
        Bls.add(to, other);
    }

    fn encode(&self, point: &Self::Point) -> Signature {
        Bls.encode(point)
    }

    fn decode(&self, signature: &Signature) -> Option<Self::Point> {
        Bls.decode(signature)
    }

    fn verify(
        &self,
        verifier: &Self::Verifier,
        claims: &[Claim<'_, Self>],
        seed: &[u8; 32],
    ) -> bool {
        // A forger believes everything: its own false votes, above all.
        if self.0.get() {
            return true;
        }
        let claims: Vec<_> = claims.iter().map(same).collect();
        Bls.verify(verifier, &claims, seed)
    }
}

/// The claim as [`Bls`] checks it.
fn same<'a>(claim: &Claim<'a, Signing>) -> Claim<'a, Bls> {
    Claim {
        message: claim.message,
        signers: claim.signers,
        signature: claim.signature,
    }
}
