//! Whether the owners of keys have their secrets.
//!
//! The proofs of a list are checked with one equation, in less than half of the time that they take one by one. Its
//! weights are drawn from a hash of the whole list, keys and proofs. Who makes the last of them can know the weights,
//! but only those of a finished list: whatever is changed so that false proofs cancel out has other weights, as good
//! as drawn anew. A forger may try lists at home for as long as it likes, unlike with votes, whose weights are drawn
//! once they have come. So these have 128 bits instead of 64: about 2^128 lists would have to be tried.

use blst::{blst_p1_affine, blst_p2, p1_affines, p2_affines};

use super::{
    keys::{KEY, POINT},
    pairing, raw,
};
use crate::{Digest, digest::hash};

/// The domain of proofs: a key is hashed to the curve in it, and the point signed with the key's own secret.
pub const DOMAIN: &[u8] = b"BEAUFORT-V01-POSSESSION-BLS12381G1_XMD:SHA-256_SSWU_RO_";

/// Bytes of a proof's weight.
pub const WEIGHT: usize = 16;

/// A key whose owner claims to have the secret.
pub struct Claimed {
    /// The key and the proof.
    pub encoded: [u8; KEY],
    /// The key raised to its factor.
    pub weighted: blst_p2,
    /// The proof, which is of the curve.
    pub proof: blst_p1_affine,
}

/// The first of these whose proof is false, if one is.
pub fn find_false(claimed: &[Claimed]) -> Option<usize> {
    if claimed.is_empty() || hold(claimed, &seed(claimed)) {
        return None;
    }
    // Any seed does for one.
    let is_false = |one: &Claimed| !hold(std::slice::from_ref(one), &[0; 32]);
    claimed.iter().position(is_false)
}

/// What the weights of a list are drawn from.
pub(super) fn seed(claimed: &[Claimed]) -> Digest {
    let encoded: Vec<_> = claimed.iter().map(|one| &one.encoded[..]).collect();
    hash("beaufort 2026 proofs of possession", &encoded)
}

/// Whether all proofs hold, of one at least.
pub(super) fn hold(claimed: &[Claimed], seed: &Digest) -> bool {
    let keys: Vec<_> = claimed.iter().map(|one| one.weighted).collect();
    let hashes: Vec<_> = claimed
        .iter()
        .map(|one| raw::hash_to_g1(&one.encoded[..POINT], DOMAIN))
        .collect();
    let proofs: Vec<_> = claimed.iter().map(|one| one.proof).collect();
    pairing::holds::<WEIGHT>(
        p2_affines::from(&keys).as_slice(),
        p1_affines::from(&hashes).as_slice(),
        &proofs,
        seed,
    )
}
