//! The five functions of blst that it offers to C only. All unsafe code of this crate is here.
//!
//! Each fills a value that this module owns from references that live through the call, and none keeps a pointer.
//! Points are not checked here: whoever decodes one says what it must be.
#![allow(unsafe_code, reason = "blst has no safe form of these")]

use blst::{
    blst_hash_to_g1, blst_p1, blst_p2, blst_p2_affine, blst_p2_affine_generator, blst_p2_mult,
    blst_scalar, blst_sign_pk_in_g2, blst_sk_mul_n_check,
};

/// The point of G1 that a message hashes to (RFC 9380), in a domain of its own.
pub fn hash_to_g1(message: &[u8], domain: &[u8]) -> blst_p1 {
    let mut point = blst_p1::default();
    let augmentation: &[u8] = &[];
    // SAFETY: each pointer comes with the length of the slice it is of, and `point` is one to write to.
    unsafe {
        blst_hash_to_g1(
            &mut point,
            message.as_ptr(),
            message.len(),
            domain.as_ptr(),
            domain.len(),
            augmentation.as_ptr(),
            augmentation.len(),
        );
    }
    point
}

/// A point of G1 raised to a secret, in a time that tells nothing of the secret.
pub fn sign(hash: &blst_p1, secret: &blst_scalar) -> blst_p1 {
    let mut signature = blst_p1::default();
    // SAFETY: two references to read and one to write, each to a whole value of its type.
    unsafe { blst_sign_pk_in_g2(&mut signature, hash, secret) };
    signature
}

/// The product modulo the order of the group, unless it is zero, in a time that tells nothing of either.
pub fn product(one: &blst_scalar, other: &blst_scalar) -> Option<blst_scalar> {
    let mut product = blst_scalar::default();
    // SAFETY: two references to read and one to write, each to a whole value of its type.
    let usable = unsafe { blst_sk_mul_n_check(&mut product, one, other) };
    usable.then_some(product)
}

/// A point of G2 raised to a number. What is on the curve outside of the group becomes something else.
pub fn raise(point: blst_p2, number: &blst_scalar) -> blst_p2 {
    let mut raised = blst_p2::default();
    // SAFETY: a point to read and one to write, and as many bits as the number's bytes have.
    unsafe {
        blst_p2_mult(&mut raised, &point, number.b.as_ptr(), 8 * number.b.len());
    }
    raised
}

/// The generator of G2.
pub fn generator() -> blst_p2_affine {
    // SAFETY: the pointer is to a constant of the library, which nothing ever changes.
    unsafe { *blst_p2_affine_generator() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use blst::{
        MultiPoint as _, min_sig,
        min_sig::{AggregatePublicKey, AggregateSignature},
    };

    use super::*;

    fn secret(seed: u8) -> min_sig::SecretKey {
        min_sig::SecretKey::key_gen(&[seed; 32], &[]).unwrap()
    }

    #[test]
    fn hashing_and_signing_are_what_the_safe_interface_does() {
        let (secret, message, domain) = (secret(1), b"message", b"domain");
        let signature = sign(&hash_to_g1(message, domain), (&secret).into());
        let expected = secret.sign(message, domain, &[]);
        assert_eq!(AggregateSignature::from(signature).to_signature(), expected);
    }

    #[test]
    fn a_product_of_secrets_signs_as_one_after_the_other() {
        let (one, other) = (secret(1), secret(2));
        let hash = hash_to_g1(b"message", b"domain");
        let both = product((&one).into(), (&other).into()).unwrap();
        assert_eq!(
            sign(&hash, &both),
            sign(&sign(&hash, (&one).into()), (&other).into())
        );
        assert_eq!(product((&one).into(), &blst_scalar::default()), None);
    }

    #[test]
    fn a_raised_point_is_what_the_safe_interface_makes_slowly() {
        let point = secret(1).sk_to_pk();
        let number = secret(2);
        let number: &blst_scalar = (&number).into();
        let slowly = [blst_p2_affine::from(point)].mult(&number.b, 255);
        let raised = raise(AggregatePublicKey::from_public_key(&point).into(), number);
        assert_eq!(raised, slowly);
    }

    #[test]
    fn the_generator_is_the_key_of_one() {
        let mut one = [0; 32];
        one[31] = 1;
        let key = min_sig::SecretKey::from_bytes(&one).unwrap().sk_to_pk();
        assert_eq!(generator(), blst_p2_affine::from(key));
    }
}
