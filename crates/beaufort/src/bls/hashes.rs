//! The points that messages hash to.
//!
//! Hashing to the curve is a third of what a signature costs, and a replica needs the hash of a message several times:
//! to sign it, and for each sum of others' signatures on it that it verifies. So the last ones are kept. They are the
//! same for everyone, which is why they are a thread's and not a replica's.

use std::{cell::RefCell, collections::BTreeMap};

use blst::{blst_p1_affine, min_sig::AggregateSignature};

use super::{MESSAGE, raw};
use crate::Digest;

/// How many hashes are kept, of 128 bytes each with their message: more than are voted on at a time.
const KEPT: usize = 1024;

thread_local! {
    static POINTS: RefCell<BTreeMap<Digest, blst_p1_affine>> = const { RefCell::new(BTreeMap::new()) };
}

/// The point of a message.
pub fn point(message: &Digest) -> blst_p1_affine {
    POINTS.with_borrow_mut(|points| {
        if let Some(point) = points.get(message) {
            return *point;
        }
        if points.len() == KEPT {
            points.clear();
        }
        let point = AggregateSignature::from(raw::hash_to_g1(message, MESSAGE))
            .to_signature()
            .into();
        points.insert(*message, point);
        point
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_what_was_forgotten_are_the_hash() {
        let message = |number: usize| {
            let mut message = [0; 32];
            message[..8].copy_from_slice(&(number as u64).to_le_bytes());
            message
        };
        let fresh = |number| {
            let hash = raw::hash_to_g1(&message(number), MESSAGE);
            blst_p1_affine::from(AggregateSignature::from(hash).to_signature())
        };
        for number in (0..KEPT + 2).chain([0, KEPT, 1, KEPT + 1]) {
            let point = point(&message(number));
            if !(2..KEPT).contains(&number) {
                assert_eq!(point, fresh(number), "message {number}");
            }
        }
        assert!(POINTS.with_borrow(BTreeMap::len) <= KEPT);
    }
}
