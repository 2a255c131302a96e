//! Two members know each other after a handshake, and nobody else is let in.

#![allow(clippy::unwrap_used)]

use beaufort::{
    MemberId, Members, Scheme as _, Signature,
    bls::{Bls, SecretKey},
    handshake::{Handshake, HandshakeError, MAX_MESSAGE, Party, fingerprints},
};
use proptest::{collection::vec, prelude::*};

/// The replica with the key of a seed, in the network of the keys of some seeds. Who is no member claims to be the first.
fn replica(network: std::ops::Range<u8>, seed: u8) -> Party<Bls> {
    let secret = |seed| SecretKey::from_seed(&[seed; 32]);
    let members = Members::new(network.map(|seed| Bls.public(&secret(seed))).collect()).unwrap();
    Party {
        scheme: Bls,
        me: members.find(secret(seed).public()).unwrap_or(MemberId(0)),
        members,
        secret: secret(seed),
    }
}

fn begin(party: &Party<Bls>, nonce: u8, channel: &[u8]) -> (Handshake, Vec<u8>) {
    Handshake::begin(party, [nonce; 32], channel)
}

type Outcome = Result<MemberId, HandshakeError>;

/// Both sides' outcomes where each has its own idea of the channel.
fn meet(
    (one, one_channel): (&Party<Bls>, &[u8]),
    (other, other_channel): (&Party<Bls>, &[u8]),
) -> (Outcome, Outcome) {
    let (one_state, one_hello) = begin(one, 1, one_channel);
    let (other_state, other_hello) = begin(other, 2, other_channel);
    match (
        one_state.prove(one, &other_hello),
        other_state.prove(other, &one_hello),
    ) {
        (Ok((one_state, one_proof)), Ok((other_state, other_proof))) => (
            one_state.check(one, &other_proof),
            other_state.check(other, &one_proof),
        ),
        (one, other) => (
            one.and(Err(HandshakeError::Malformed)),
            other.and(Err(HandshakeError::Malformed)),
        ),
    }
}

#[test]
fn members_know_each_other() {
    let [one, other] = [1, 2].map(|seed| replica(0..4, seed));
    assert_eq!(
        meet((&one, b"channel"), (&other, b"channel")),
        (Ok(other.me), Ok(one.me))
    );
}

#[test]
fn who_sits_in_between_is_found_out() {
    let [one, other] = [1, 2].map(|seed| replica(0..4, seed));
    let [to_one, to_other] =
        ["sha-256 AA:01", "sha-256 BB:02"].map(|own| fingerprints(own, "sha-256 CC:03"));
    let (at_one, at_other) = meet((&one, &to_one), (&other, &to_other));
    assert_eq!(at_one, Err(HandshakeError::Forged(other.me)));
    assert_eq!(at_other, Err(HandshakeError::Forged(one.me)));
}

#[test]
fn fingerprints_are_the_same_at_both_ends_and_no_others() {
    let expected = fingerprints("sha-256 AA:01", "sha-256 BB:02");
    assert_eq!(fingerprints("sha-256 bb:02\r", "sha-256 aa:01"), expected);
    assert_ne!(fingerprints("sha-256 AA:01", "sha-256 CC:03"), expected);
    assert_ne!(fingerprints("sha-256 AA:01sha-256 BB:02", ""), expected);
}

#[test]
fn a_replayed_proof_is_refused() {
    let [one, other] = [1, 2].map(|seed| replica(0..4, seed));
    let (_, hello) = begin(&one, 1, b"channel");
    let prove = |nonce| {
        begin(&other, nonce, b"channel")
            .0
            .prove(&other, &hello)
            .unwrap()
    };
    let other_hello = |nonce| begin(&other, nonce, b"channel").1;

    let recorded = {
        let (state, _) = begin(&one, 1, b"channel");
        state.prove(&one, &other_hello(2)).unwrap().1
    };
    let (same, _) = prove(2);
    assert_eq!(same.check(&other, &recorded), Ok(one.me));
    let (later, _) = prove(3);
    assert_eq!(
        later.check(&other, &recorded),
        Err(HandshakeError::Forged(one.me))
    );
}

#[test]
fn ones_own_words_are_no_proof() {
    let [one, other] = [1, 2].map(|seed| replica(0..4, seed));
    let (state, hello) = begin(&one, 1, b"channel");
    assert_eq!(
        state.prove(&one, &hello).err(),
        Some(HandshakeError::Itself)
    );

    let (state, _) = begin(&one, 1, b"channel");
    let (state, own_proof) = state.prove(&one, &begin(&other, 2, b"channel").1).unwrap();
    assert_eq!(
        state.check(&one, &own_proof),
        Err(HandshakeError::Forged(other.me))
    );
}

#[test]
fn who_is_no_member_is_refused() {
    let one = replica(0..4, 1);
    let stranger = Party {
        me: replica(0..4, 2).me,
        ..replica(0..4, 9)
    };
    let (at_one, _) = meet((&one, b"channel"), (&stranger, b"channel"));
    assert_eq!(at_one, Err(HandshakeError::Forged(stranger.me)));

    let beyond = Party {
        me: MemberId(4),
        ..replica(0..4, 9)
    };
    let (at_one, _) = meet((&one, b"channel"), (&beyond, b"channel"));
    assert_eq!(at_one, Err(HandshakeError::Stranger(MemberId(4))));
}

#[test]
fn another_network_is_named() {
    let (one, other) = (replica(0..4, 1), replica(0..5, 2));
    let network = Err(HandshakeError::Network);
    assert_eq!(
        meet((&one, b"channel"), (&other, b"channel")),
        (network, network)
    );
}

#[test]
fn a_member_cannot_pass_for_another() {
    let one = replica(0..4, 1);
    let victim = replica(0..4, 2).me;
    let impostor = Party {
        me: victim,
        ..replica(0..4, 3)
    };
    let (at_one, _) = meet((&one, b"channel"), (&impostor, b"channel"));
    assert_eq!(at_one, Err(HandshakeError::Forged(victim)));
}

#[test]
fn a_vote_is_no_proof() {
    let [one, other] = [1, 2].map(|seed| replica(0..4, seed));
    let (state, _) = begin(&one, 1, b"channel");
    let (state, _) = state.prove(&one, &begin(&other, 2, b"channel").1).unwrap();
    let vote = Bls.encode(&Bls.sign(&other.secret, &[1; 32]));
    assert_eq!(
        state.check(&one, &vote.0),
        Err(HandshakeError::Forged(other.me))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_refused(garbage in vec(any::<u8>(), 0..2 * MAX_MESSAGE), cut in 1_usize..48) {
        let [one, other] = [1, 2].map(|seed| replica(0..2, seed & 1));
        let begun = || begin(&one, 1, b"channel").0;
        prop_assert!(begun().prove(&one, &garbage).is_err());
        let hello = begin(&other, 2, b"channel").1;
        let (longer, shorter) = ([&hello[..], &[0]].concat(), &hello[..hello.len() - cut]);
        for hello in [&longer, shorter] {
            prop_assert_eq!(begun().prove(&one, hello).err(), Some(HandshakeError::Malformed));
        }
        let proving = || begun().prove(&one, &hello).unwrap().0;
        prop_assert!(proving().check(&one, &garbage).is_err());
        let zeros = Signature([0; 48]).0;
        prop_assert_eq!(proving().check(&one, &zeros[cut..]), Err(HandshakeError::Malformed));
    }
}
