//! The equation of pairings: whether signatures are of these messages and by these keys, all checked at once.
//!
//! Each is weighed with a number of its own that its maker cannot foresee, so that those that are false in opposite
//! ways do not cancel out. One multi-Miller loop and one final exponentiation then do for all.

use std::sync::LazyLock;

use blst::{
    MultiPoint as _, blst_fp12, blst_p1_affine, blst_p2, blst_p2_affine,
    min_sig::AggregatePublicKey, p1_affines,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use super::raw;

/// The generator of G2, negated: what signatures are paired with.
static NEGATED_GENERATOR: LazyLock<blst_p2_affine> = LazyLock::new(|| {
    let mut negated = AggregatePublicKey::from(blst_p2::default());
    negated.sub_aggregate(&AggregatePublicKey::from_public_key(
        &raw::generator().into(),
    ));
    negated.to_public_key().into()
});

/// Whether every signature is the hash of its message raised to its key's secret; one at least, and a key and a hash
/// for each. `BYTES` of `seed`'s random numbers weigh each of several: false ones pass with a probability of one in
/// 2^(8 BYTES).
pub fn holds<const BYTES: usize>(
    keys: &[blst_p2_affine],
    hashes: &[blst_p1_affine],
    signatures: &[blst_p1_affine],
    seed: &[u8; 32],
) -> bool {
    // Refuses the neutral element and what is on the curve outside of the group.
    if signatures.validate().is_err() {
        return false;
    }
    // A single one needs no weight: there is nothing that it could cancel out with.
    let points = match signatures {
        [signature] => [hashes, &[*signature]].concat(),
        _ => weigh::<BYTES>(hashes, signatures, seed),
    };
    if points.last() == Some(&blst_p1_affine::default()) {
        return false;
    }
    let keys = [keys, &[*NEGATED_GENERATOR]].concat();
    blst_fp12::miller_loop_n(&keys, &points).final_exp() == blst_fp12::default()
}

/// The hashes, each weighed with a random number of its own, and then the sum of the signatures with the same weights.
fn weigh<const BYTES: usize>(
    hashes: &[blst_p1_affine],
    signatures: &[blst_p1_affine],
    seed: &[u8; 32],
) -> Vec<blst_p1_affine> {
    let weights = weights::<BYTES>(seed, hashes.len());
    let weigh = |(hash, weight): (&blst_p1_affine, &[u8; BYTES])| [*hash].mult(weight, 8 * BYTES);
    let mut points: Vec<_> = hashes.iter().zip(&weights).map(weigh).collect();
    points.push(signatures.mult(weights.as_flattened(), 8 * BYTES));
    p1_affines::from(&points).as_slice().to_vec()
}

/// The first random numbers of a seed, none of them zero.
pub(super) fn weights<const BYTES: usize>(seed: &[u8; 32], count: usize) -> Vec<[u8; BYTES]> {
    let mut random = ChaCha20Rng::from_seed(*seed);
    let mut weights = vec![[0; BYTES]; count];
    for weight in &mut weights {
        while *weight == [0; BYTES] {
            random.fill_bytes(weight);
        }
    }
    weights
}
