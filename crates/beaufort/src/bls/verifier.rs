//! Adding up the keys of those who signed.
//!
//! A sum of signatures is verified against the members' keys, each as often as its signature is in the sum. What
//! every sum of a few neighbouring keys is never changes, so it is computed once: a claim then takes one addition for
//! [`GROUP`] members and bit of the counts, whoever signed.

use blst::{MultiPoint as _, blst_p2, min_sig::AggregatePublicKey, p2_affines};

use super::PublicKey;
use crate::Signers;

/// Keys whose sums are kept together, 2^GROUP points of 192 bytes. Four cost a hundred members 77 KB.
const GROUP: usize = 4;

/// The members' keys, prepared for verification.
pub struct Verifier {
    members: usize,
    /// For each group of keys the sum of each of its subsets, a bit a key.
    sums: p2_affines,
}

impl Verifier {
    pub(super) fn new(keys: &[PublicKey]) -> Self {
        let groups = keys.len().div_ceil(GROUP).max(1);
        let mut sums = vec![blst_p2::default(); groups << GROUP];
        for (sums, keys) in sums.chunks_exact_mut(1 << GROUP).zip(keys.chunks(GROUP)) {
            for (index, key) in keys.iter().enumerate() {
                let without = 1 << index;
                for subset in 0..without {
                    let mut sum = AggregatePublicKey::from(sums[subset]);
                    sum.add_aggregate(&AggregatePublicKey::from_public_key(&key.weighted.into()));
                    sums[subset | without] = sum.into();
                }
            }
        }
        Self {
            members: keys.len(),
            sums: p2_affines::from(&sums),
        }
    }

    /// The sum of the signers' keys, unless nobody signed, their keys cancel out, or they are of another network.
    pub(super) fn sum(&self, signers: &Signers) -> Option<blst_p2> {
        if signers.members() != self.members {
            return None;
        }
        let most = signers.iter().map(|(_, count)| count).max()?;
        let bits = u16::BITS - most.leading_zeros();
        let mut sum = AggregatePublicKey::from(blst_p2::default());
        for bit in (0..bits).rev() {
            let same = sum;
            sum.add_aggregate(&same);
            sum.add_aggregate(&self.sum_once(signers, bit).into());
        }
        Some(blst_p2::from(sum)).filter(|sum| *sum != blst_p2::default())
    }

    /// The sum of the keys, each once, of those whose count has this bit.
    fn sum_once(&self, signers: &Signers, bit: u32) -> blst_p2 {
        let mut subsets = vec![0; self.members.div_ceil(GROUP)];
        for (member, _) in signers.iter().filter(|(_, count)| count >> bit & 1 == 1) {
            let member = usize::from(member.0);
            subsets[member / GROUP] |= 1 << (member % GROUP);
        }
        let present = subsets
            .iter()
            .enumerate()
            .filter(|&(_, &subset)| subset != 0);
        let points: Vec<_> = present
            .map(|(group, subset)| self.sums[(group << GROUP) | subset])
            .collect();
        if points.is_empty() {
            blst_p2::default()
        } else {
            points.add()
        }
    }
}
