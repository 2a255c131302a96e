//! Keys made from those of others so that they cancel them out, attempted.
//!
//! Each attack is first shown to work on the scheme without the defence that it is stopped by, so that no test here
//! passes because its attack is wrong.

#![allow(clippy::unwrap_used)]

use blst::{
    BLST_ERROR, MultiPoint as _, blst_p1_affine, blst_p2_affine, blst_scalar,
    min_sig::{self, AggregatePublicKey, AggregateSignature},
};

use super::{keys::factor, *};
use crate::{MemberId, Signers};

const FORGED: Digest = *b"all points to the account of Mal";

fn honest(seeds: std::ops::Range<u8>) -> Vec<PublicKey> {
    seeds
        .map(|seed| SecretKey::from_seed(&[seed; 32]).public().clone())
        .collect()
}

/// A number as blst's plain secret key, with nothing folded in.
fn exponent(number: u64) -> min_sig::SecretKey {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    min_sig::SecretKey::from_bytes(&bytes).unwrap()
}

/// The key itself, without its factor.
fn plain(key: &PublicKey) -> min_sig::PublicKey {
    min_sig::PublicKey::uncompress(&key.to_bytes()[..keys::POINT]).unwrap()
}

fn add(keys: &[min_sig::PublicKey]) -> min_sig::PublicKey {
    let keys: Vec<_> = keys.iter().collect();
    AggregatePublicKey::aggregate(&keys, false)
        .unwrap()
        .to_public_key()
}

fn raised(key: &min_sig::PublicKey, factor: &blst_scalar) -> blst_p2_affine {
    let point = [blst_p2_affine::from(*key)].mult(&factor.b, 255);
    AggregatePublicKey::from(point).to_public_key().into()
}

fn raised_hash(number: u64, factor: &blst_scalar) -> AggregateSignature {
    let hash = exponent(number).sign(&FORGED, MESSAGE, &[]);
    [blst_p1_affine::from(hash)].mult(&factor.b, 255).into()
}

/// What a rogue would be if nobody asked for a proof: the key as figure 4 has it. The proof is another's.
fn unproven(key: &min_sig::PublicKey) -> PublicKey {
    let factor = factor(&key.compress()).unwrap();
    PublicKey::unproven(key, raised(key, &factor))
}

/// So many signers of `n`, each with a count.
fn counted(n: usize, counts: impl IntoIterator<Item = u16>) -> Signers {
    let mut all = Signers::none(n);
    for (member, count) in (0..).zip(counts) {
        for bit in (0..u16::BITS).filter(|bit| count >> bit & 1 == 1) {
            let doubled = (0..bit).fold(Signers::one(n, MemberId(member)), |one, _| {
                one.plus(&one).unwrap()
            });
            all = all.plus(&doubled).unwrap();
        }
    }
    all
}

fn verifies(keys: &[PublicKey], signers: &Signers, signature: AggregateSignature) -> bool {
    let claim = Claim {
        message: &FORGED,
        signers,
        signature: &Point(signature),
    };
    Bls.verify(&Bls.verifier(keys), &[claim], &[0; 32])
}

/// A key of `number` from which the others' are subtracted: whoever adds them all is left with that of `number`.
fn rogue(number: u64, others: &[min_sig::PublicKey]) -> min_sig::PublicKey {
    let mut key = AggregatePublicKey::from_public_key(&exponent(number).sk_to_pk());
    for other in others {
        key.sub_aggregate(&AggregatePublicKey::from_public_key(other));
    }
    key.to_public_key()
}

#[test]
fn a_rogue_key_forges_a_plain_sum_and_not_one_with_factors() {
    let victim = honest(1..2).remove(0);
    let rogue = rogue(7, &[plain(&victim)]);
    let forged = exponent(7).sign(&FORGED, MESSAGE, &[]);
    let both = add(&[plain(&victim), rogue]);
    assert_eq!(
        forged.verify(true, &FORGED, MESSAGE, &[], &both, false),
        BLST_ERROR::BLST_SUCCESS
    );

    let factors = [&victim.to_bytes()[..keys::POINT], &rogue.compress()]
        .map(|key| factor(key.try_into().unwrap()));
    let keys = [victim, unproven(&rogue)];
    let signers = counted(2, [1, 1]);
    assert!(!verifies(
        &keys,
        &signers,
        AggregateSignature::from_signature(&forged)
    ));
    for factor in factors {
        assert!(!verifies(&keys, &signers, raised_hash(7, &factor.unwrap())));
    }
}

/// Members of a network of 52, which tolerates 17 Byzantine ones: those whose votes are forged, and those who do it.
const VICTIMS: u8 = 18;
const ROGUES: u64 = 17;

/// How often each victim's key is in the forged sum, and then each rogue's. Lattice reduction found them in less than a second:
/// the victims' count plus, over the rogues, count times factor is a multiple of the order of the group.
const COUNTS: [u16; 1 + ROGUES as usize] = [
    40010, 36838, 25562, 34608, 39688, 27619, 28258, 38634, 21642, 39015, 28445, 44767, 24928,
    42312, 28479, 31110, 27817, 24735,
];

/// Each rogue's key is the product of all victims' keys with factors, and of the generator raised to its number.
fn colluders(victims: &[PublicKey]) -> Vec<min_sig::PublicKey> {
    let victims: Vec<min_sig::PublicKey> = victims.iter().map(|key| key.weighted.into()).collect();
    let rogue = |number| add(&[&victims[..], &[exponent(number).sk_to_pk()]].concat());
    (1..=ROGUES).map(rogue).collect()
}

#[test]
fn colluding_rogues_forge_a_quorum_of_figure_4_without_a_proof() {
    let victims = honest(0..VICTIMS);
    let rogues = colluders(&victims);
    let [victim_count, counts @ ..] = COUNTS;
    let mut signature = AggregateSignature::from(blst::blst_p1::default());
    for ((number, rogue), &count) in (1..).zip(&rogues).zip(&counts) {
        let factor = factor(&rogue.compress()).unwrap();
        signature.add_aggregate(&raised_hash(number * u64::from(count), &factor));
    }
    let keys: Vec<_> = victims
        .into_iter()
        .chain(rogues.iter().map(unproven))
        .collect();
    let signers = counted(
        keys.len(),
        [victim_count; VICTIMS as usize].into_iter().chain(counts),
    );
    assert_eq!(signers.distinct(), 52 - ROGUES as usize);
    assert!(verifies(&keys, &signers, signature));
}

#[test]
fn nobody_can_prove_to_have_the_secret_of_a_rogue_key() {
    let victims = honest(0..VICTIMS);
    let plain_victims: Vec<_> = victims.iter().map(plain).collect();
    let rogues = [rogue(7, &plain_victims[..1]), colluders(&victims).remove(6)];
    for rogue in rogues {
        let point = rogue.compress();
        let factor = factor(&point).unwrap();
        let number = exponent(7);
        let weighted = raw::product((&number).into(), &factor).unwrap();
        let weighted: &min_sig::SecretKey = (&weighted).try_into().unwrap();
        let proofs = [&number, weighted]
            .map(|secret| secret.sign(&point, possession::DOMAIN, &[]).compress());
        let victims_own = victims[0].to_bytes()[keys::POINT..].try_into().unwrap();
        for proof in proofs.into_iter().chain([victims_own]) {
            let bytes = [&point[..], &proof].concat();
            assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::Possession));
        }
    }
}

#[test]
fn a_point_outside_of_the_group_is_no_key() {
    let honest = honest(1..2).remove(0).to_bytes();
    let mut refused = 0;
    for byte in 0..=u8::MAX {
        let mut bytes = honest;
        bytes[keys::POINT - 1] = byte;
        let Ok(point) = min_sig::PublicKey::uncompress(&bytes[..keys::POINT]) else {
            continue;
        };
        if point.validate().is_err() {
            assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::Point));
            refused += 1;
        }
    }
    assert!(refused > 0, "no such point among those tried");
    let mut infinity = [0; keys::KEY];
    infinity[0] = 0xc0;
    assert_eq!(PublicKey::from_bytes(&infinity), Err(KeyError::Point));
}

/// Two keys that exchange their proofs: the sum of both stays what it was.
#[test]
fn false_proofs_that_cancel_out_are_found() {
    let [one, other] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public().clone());
    let [(one_point, one_proof), (other_point, other_proof)] =
        [&one, &other].map(|key| key.encoded.split_at(keys::POINT));
    let sum = AggregateSignature::aggregate_serialized(&[one_proof, other_proof], true).unwrap();
    let unweighed = sum.to_signature().aggregate_verify(
        true,
        &[one_point, other_point],
        possession::DOMAIN,
        &[&one.weighted.into(), &other.weighted.into()],
        false,
    );
    assert_eq!(unweighed, BLST_ERROR::BLST_SUCCESS);

    let exchanged = [(one_point, other_proof), (other_point, one_proof)]
        .map(|(point, proof)| hex::encode([point, proof].concat()));
    assert_eq!(
        PublicKey::parse_all(&exchanged),
        Err((0, KeyError::Possession))
    );
}

/// Proofs that cancel out under weights that the forger knew beforehand. Its own change of the list changes them.
#[test]
fn nobody_knows_the_weights_before_the_proofs() {
    let mut list: Vec<_> = honest(1..3)
        .iter()
        .map(|key| keys::claimed(&key.to_bytes()).unwrap())
        .collect();
    let seed = possession::seed(&list);
    let weights = pairing::weights::<{ possession::WEIGHT }>(&seed, 2);
    let difference = exponent(7).sign(&FORGED, MESSAGE, &[]);
    let mut opposite = difference.compress();
    opposite[0] ^= 0x20;
    let opposite = min_sig::Signature::uncompress(&opposite).unwrap();
    let changes = [(difference, weights[1]), (opposite, weights[0])];
    for (claimed, (change, weight)) in list.iter_mut().zip(changes) {
        let change = [blst_p1_affine::from(change)].mult(&weight, 8 * possession::WEIGHT);
        let mut proof = AggregateSignature::from_signature(&claimed.proof.into());
        proof.add_aggregate(&change.into());
        let proof = proof.to_signature();
        claimed.proof = proof.into();
        claimed.encoded[keys::POINT..].copy_from_slice(&proof.compress());
    }
    assert!(possession::hold(&list, &seed));
    assert_eq!(possession::find_false(&list), Some(0));
}
