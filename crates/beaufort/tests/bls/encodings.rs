//! Keys and signatures as bytes: always the same, and nothing else decodes.

use std::fmt::Write as _;

use beaufort::{
    Scheme as _, Signature,
    bls::{Bls, KeyError, PublicKey, SecretKey},
};
use proptest::{collection::vec, prelude::*};

use crate::Network;

/// Seeds of keys, a message, and what comes of them; it must never change, or replicas of two versions disagree.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn encodings_never_change() {
    let network = Network::new(3);
    let message = *b"the message that everybody signs";
    let mut lines = String::new();
    for (member, secret) in (0..).zip(&network.secrets) {
        writeln!(
            lines,
            "secret {member} {}",
            hex::encode(secret.expose_bytes())
        )
        .unwrap();
        writeln!(lines, "public {member} {}", secret.public()).unwrap();
        let signature = Bls.encode(&network.sign(member, &message).1);
        writeln!(lines, "signature {member} {}", hex::encode(signature.0)).unwrap();
    }
    for (name, members) in [("0+1+2", vec![0, 1, 2]), ("0+3*1", vec![0, 1, 1, 1])] {
        let sum = network.sum(members, &message);
        assert!(network.verifies(&message, &sum));
        writeln!(lines, "sum {name} {}", hex::encode(Bls.encode(&sum.1).0)).unwrap();
    }
    assert!(
        lines == GOLDEN,
        "what keys and signatures are has changed, to\n{lines}"
    );
}

#[test]
fn keys_are_the_same_after_a_journey() {
    for secret in Network::new(5).secrets {
        let public = secret.public();
        assert_eq!(&PublicKey::from_bytes(&public.to_bytes()).unwrap(), public);
        assert_eq!(&public.to_string().parse::<PublicKey>().unwrap(), public);
        let json = serde_json::to_string(public).unwrap();
        assert_eq!(&serde_json::from_str::<PublicKey>(&json).unwrap(), public);
        let kept = SecretKey::from_exposed_bytes(&secret.expose_bytes()).unwrap();
        assert_eq!(kept.public(), public);
        assert_eq!(
            Bls.encode(&Bls.sign(&kept, &[1; 32])),
            Bls.encode(&Bls.sign(&secret, &[1; 32]))
        );
    }
}

#[test]
fn a_secret_is_not_shown() {
    let secret = SecretKey::from_seed(&[1; 32]);
    let shown = format!("{secret:?}");
    assert_eq!(shown, format!("SecretKey(of {:?})", secret.public()));
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    let bytes = SecretKey::from_seed(&[1; 32]).public().to_bytes();
    assert_eq!(
        PublicKey::from_bytes(&bytes[1..]),
        Err(KeyError::Length(143))
    );
    assert_eq!("xyz".parse::<PublicKey>(), Err(KeyError::Hex));
    let mut other = bytes;
    other[96..].copy_from_slice(&SecretKey::from_seed(&[2; 32]).public().to_bytes()[96..]);
    assert_eq!(PublicKey::from_bytes(&other), Err(KeyError::Possession));
    for no_secret in [[0; 32], [0xff; 32]] {
        assert_eq!(
            SecretKey::from_exposed_bytes(&no_secret).err(),
            Some(KeyError::Secret)
        );
    }
}

#[test]
fn a_list_of_keys_is_what_each_of_them_is() {
    let mut keys: Vec<_> = Network::new(5)
        .secrets
        .iter()
        .map(|secret| secret.public().clone())
        .collect();
    // Who lists a key twice hears of it where the list becomes a network.
    keys.push(keys[0].clone());
    let texts: Vec<_> = keys.iter().map(ToString::to_string).collect();
    for length in 0..=keys.len() {
        assert_eq!(
            PublicKey::parse_all(&texts[..length]).unwrap(),
            keys[..length]
        );
    }
}

#[test]
fn what_is_no_key_of_a_list_is_named_with_its_place() {
    let network = Network::new(5);
    let keys = network.secrets.iter().map(|secret| secret.public());
    let texts: Vec<_> = keys.map(ToString::to_string).collect();
    let proof_of_another = format!("{}{}", &texts[0][..192], &texts[1][192..]);
    let point_of_nothing = format!("{}{}", "ff".repeat(96), &texts[1][192..]);
    let defects = [
        (proof_of_another, KeyError::Possession),
        (point_of_nothing, KeyError::Point),
        (texts[0][2..].to_owned(), KeyError::Length(143)),
        ("xyz".to_owned(), KeyError::Hex),
    ];
    for (defect, error) in defects {
        for place in 0..texts.len() {
            let mut texts = texts.clone();
            texts[place] = defect.clone();
            assert_eq!(
                PublicKey::parse_all(&texts),
                Err((place, error.clone())),
                "at {place}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 144)) {
        let signature = Signature(bytes[..48].try_into().unwrap());
        if let Some(point) = Bls.decode(&signature) {
            prop_assert_eq!(Bls.encode(&point), signature, "a point has one encoding");
        }
        prop_assert!(PublicKey::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_changed_key_is_no_key(bit in 0_usize..144 * 8) {
        let mut bytes = SecretKey::from_seed(&[1; 32]).public().to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(PublicKey::from_bytes(&bytes).is_err());
    }
}
