//! Signatures for the model check: they add like those of BLS, and say outright what they are.
//!
//! One is the beginning of the message's digest and how often each member signed it.

use crate::{Claim, Digest, Scheme, Signature};

/// The most members that a signature has room for.
const MEMBERS: usize = 16;

/// The scheme. A secret key is a member's number, and so is a public one.
#[derive(Clone, Copy)]
pub struct Marks;

/// What was signed, and how often by whom.
#[derive(Clone, PartialEq)]
pub struct Point {
    message: [u8; 16],
    counts: [u16; MEMBERS],
}

fn beginning(message: &Digest) -> [u8; 16] {
    let (beginning, _) = message.split_at(16);
    beginning.try_into().expect("half a digest")
}

impl Scheme for Marks {
    type SecretKey = u16;
    type PublicKey = u16;
    type Point = Point;
    type Verifier = ();

    fn public(&self, secret: &u16) -> u16 {
        *secret
    }

    fn encode_key(key: &u16) -> Vec<u8> {
        key.to_be_bytes().into()
    }

    fn decode_key(bytes: &[u8]) -> Option<u16> {
        bytes.try_into().ok().map(u16::from_be_bytes)
    }

    fn verifier(&self, _keys: &[u16]) {}

    fn sign(&self, secret: &u16, message: &Digest) -> Point {
        let mut counts = [0; MEMBERS];
        counts[usize::from(*secret)] = 1;
        Point {
            message: beginning(message),
            counts,
        }
    }

    fn add(&self, to: &mut Point, other: &Point) {
        if to.message != other.message {
            to.message = [0; 16];
        }
        for (mine, theirs) in to.counts.iter_mut().zip(other.counts) {
            *mine = mine.wrapping_add(theirs);
        }
    }

    fn encode(&self, point: &Point) -> Signature {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&point.message);
        for (chunk, count) in bytes[16..].chunks_exact_mut(2).zip(point.counts) {
            chunk.copy_from_slice(&count.to_be_bytes());
        }
        Signature(bytes)
    }

    fn decode(&self, signature: &Signature) -> Option<Point> {
        let (message, counts) = signature.0.split_at(16);
        let mut point = Point {
            message: message.try_into().ok()?,
            counts: [0; MEMBERS],
        };
        for (count, chunk) in point.counts.iter_mut().zip(counts.chunks_exact(2)) {
            *count = u16::from_be_bytes(chunk.try_into().ok()?);
        }
        Some(point)
    }

    fn verify(&self, (): &(), claims: &[Claim<'_, Self>], _seed: &[u8; 32]) -> bool {
        claims.iter().all(|claim| {
            let mut counts = [0; MEMBERS];
            for (member, count) in claim.signers.iter() {
                counts[usize::from(member.0)] = count;
            }
            *claim.signature
                == Point {
                    message: beginning(claim.message),
                    counts,
                }
        })
    }
}
