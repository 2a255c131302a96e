//! A sum of signatures verifies for exactly what was signed by exactly who is said to be in it.

use beaufort::{Claim, MemberId, Scheme as _, Signature, Signers, bls::Bls};
use blst::{
    BLST_ERROR, MultiPoint as _, blst_p1_affine,
    min_sig::{self, AggregateSignature},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{Network, add};

const MESSAGE: [u8; 32] = [1; 32];

/// The order of the group, least significant byte first.
const ORDER: [u8; 32] = [
    0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53,
    0x05, 0xd8, 0xa1, 0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sums_verify_in_whatever_order_and_overlap(
        n in 1_usize..20,
        additions in vec((any::<Index>(), any::<Index>()), 0..24),
    ) {
        let network = Network::new(n);
        let mut sums: Vec<_> = (0..n as u16).map(|member| network.sign(member, &MESSAGE)).collect();
        for (one, other) in additions {
            // Counts grow as fast as these are added to themselves.
            if let Some(signers) = one.get(&sums).0.plus(&other.get(&sums).0) {
                prop_assume!(signers.iter().all(|(_, count)| count <= 1 << 12));
                let sum = add(one.get(&sums), other.get(&sums));
                sums.push(sum);
            }
        }
        let travelled = |point| Bls.decode(&Bls.encode(point)).unwrap();
        for (signers, point) in &sums[sums.len().saturating_sub(8)..] {
            prop_assert!(network.verifies(&MESSAGE, &(signers.clone(), *point)));
            prop_assert!(network.verifies(&MESSAGE, &(signers.clone(), travelled(point))));
        }
    }
}

#[test]
fn order_and_grouping_make_no_difference() {
    let network = Network::new(4);
    let [a, b, c] = [0, 1, 2].map(|member| network.sign(member, &MESSAGE));
    let expected = Bls.encode(&add(&add(&a, &b), &c).1);
    assert_eq!(Bls.encode(&add(&c, &add(&b, &a)).1), expected);
    assert_eq!(Bls.encode(&add(&add(&c, &a), &b).1), expected);
}

#[test]
fn another_message_is_not_signed() {
    let network = Network::new(4);
    let sum = network.sum([0, 1, 2], &MESSAGE);
    assert!(network.verifies(&MESSAGE, &sum));
    for byte in 0..32 {
        let mut other = MESSAGE;
        other[byte] ^= 0x80;
        assert!(!network.verifies(&other, &sum), "byte {byte}");
    }
}

#[test]
fn a_signer_more_or_less_or_twice_is_refused() {
    let network = Network::new(6);
    let (signers, sum) = network.sum([0, 1, 1, 4], &MESSAGE);
    assert!(network.verifies(&MESSAGE, &(signers.clone(), sum)));
    for (member, wrong) in [
        (0, [1, 1, 4].to_vec()),
        (1, vec![0, 1, 4]),
        (4, vec![0, 1, 1]),
    ] {
        let less = network.sum(wrong, &MESSAGE).0;
        assert!(
            !network.verifies(&MESSAGE, &(less, sum)),
            "without {member}"
        );
    }
    for member in 0..6 {
        let more = signers.plus(&network.one(member)).unwrap();
        assert!(
            !network.verifies(&MESSAGE, &(more, sum)),
            "with {member} once more"
        );
    }
    let swapped = network.sum([0, 1, 1, 5], &MESSAGE).0;
    assert!(!network.verifies(&MESSAGE, &(swapped, sum)));
}

#[test]
fn each_bit_of_a_signature_matters() {
    let network = Network::new(4);
    let (signers, sum) = network.sum([0, 1, 2], &MESSAGE);
    let bytes = Bls.encode(&sum).0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let point = Bls.decode(&Signature(flipped));
        assert!(
            !point.is_some_and(|point| network.verifies(&MESSAGE, &(signers.clone(), point))),
            "bit {bit}"
        );
    }
}

#[test]
fn nobody_signs_nothing() {
    let network = Network::new(4);
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    let infinity = Bls.decode(&Signature(infinity)).unwrap();
    let (one, signature) = network.sign(0, &MESSAGE);
    assert!(!network.verifies(&MESSAGE, &(Signers::none(4), infinity)));
    assert!(!network.verifies(&MESSAGE, &(Signers::none(4), signature)));
    assert!(!network.verifies(&MESSAGE, &(one, infinity)));
}

#[test]
fn signers_of_another_network_are_refused() {
    let network = Network::new(4);
    let (_, signature) = network.sign(0, &MESSAGE);
    for n in [1, 3, 5, 512] {
        let signers = Signers::one(n, MemberId(0));
        assert!(
            !network.verifies(&MESSAGE, &(signers, signature)),
            "{n} members"
        );
    }
}

/// A pairing does not see a part outside of the group: there would be several encodings of one signature.
#[test]
fn a_part_outside_of_the_group_is_refused() {
    let network = Network::new(4);
    let (signers, sum) = network.sum([0, 1, 2], &MESSAGE);
    let outside = (0..).find_map(|x| {
        let mut bytes = [0; 48];
        (bytes[0], bytes[47]) = (0x80, x);
        let point = min_sig::Signature::uncompress(&bytes).ok()?;
        // Raised to the group's order, only the part outside is left.
        let outside = [blst_p1_affine::from(point)].mult(&ORDER, 255);
        Some(AggregateSignature::from(outside)).filter(|point| !point.subgroup_check())
    });
    let outside = outside.unwrap();

    let secret = min_sig::SecretKey::key_gen(&[7; 32], &[]).unwrap();
    let mut unchecked = AggregateSignature::from_signature(&secret.sign(&MESSAGE, b"domain", &[]));
    unchecked.add_aggregate(&outside);
    let result =
        unchecked
            .to_signature()
            .verify(false, &MESSAGE, b"domain", &[], &secret.sk_to_pk(), false);
    assert_eq!(
        result,
        BLST_ERROR::BLST_SUCCESS,
        "without the check it would be accepted"
    );

    let outside = Bls
        .decode(&Signature(outside.to_signature().compress()))
        .unwrap();
    let (signers, shifted) = add(&(signers, sum), &(Signers::none(4), outside));
    assert_ne!(Bls.encode(&shifted), Bls.encode(&sum));
    assert!(!network.verifies(&MESSAGE, &(signers, shifted)));
}

#[test]
fn no_claims_hold() {
    let network = Network::new(1);
    let none: [Claim<'_, Bls>; 0] = [];
    assert!(Bls.verify(&network.verifier, &none, &[0; 32]));
}
