//! Claims verified together hold exactly when each of them does.

use beaufort::{
    Claim, Digest, Scheme as _, Signature, Signers,
    bls::{Bls, Point},
};
use proptest::prelude::*;

use crate::{Network, add};

type Signed = (Digest, (Signers, Point));

fn together(network: &Network, signed: &[Signed], seed: u8) -> bool {
    let claims = signed.iter().map(|(message, (signers, signature))| Claim {
        message,
        signers,
        signature,
    });
    Bls.verify(&network.verifier, &claims.collect::<Vec<_>>(), &[seed; 32])
}

fn negated(point: &Point) -> Point {
    let mut bytes = Bls.encode(point).0;
    bytes[0] ^= 0x20;
    Bls.decode(&Signature(bytes)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_holds_when_each_claim_does(
        messages in proptest::collection::vec((0_u8..4, any::<bool>()), 1..40),
        seed in any::<u8>(),
    ) {
        let network = Network::new(5);
        let mut signed = Vec::new();
        for (index, (message, honest)) in messages.iter().enumerate() {
            let members = (0..5).filter(|member| index % 7 != usize::from(*member));
            let (signers, point) = network.sum(members, &[*message; 32]);
            let signers = if *honest { signers } else { signers.plus(&network.one(0)).unwrap() };
            signed.push(([*message; 32], (signers, point)));
        }
        let all = messages.iter().all(|&(_, honest)| honest);
        prop_assert_eq!(together(&network, &signed, seed), all);
        let honest: Vec<_> = signed.into_iter().zip(&messages).filter(|(_, (_, honest))| *honest).collect();
        let honest: Vec<_> = honest.into_iter().map(|(signed, _)| signed).collect();
        prop_assert!(together(&network, &honest, seed));
    }
}

#[test]
fn false_claims_that_cancel_out_are_refused() {
    let network = Network::new(4);
    let difference = (Signers::none(4), network.sign(3, &[9; 32]).1);
    let opposite = (Signers::none(4), negated(&difference.1));
    for same_message in [true, false] {
        let messages = [[1; 32], [if same_message { 1 } else { 2 }; 32]];
        let [one, other] = messages.map(|message| network.sum([0, 1, 2], &message));
        let false_ones = [add(&one, &difference), add(&other, &opposite)];
        if same_message {
            let whole = add(&false_ones[0], &false_ones[1]);
            assert!(
                network.verifies(&messages[0], &whole),
                "unweighed, they do cancel out"
            );
        }
        let signed: Vec<_> = messages.into_iter().zip(false_ones).collect();
        for seed in 0..8 {
            assert!(!together(&network, &signed, seed), "seed {seed}");
        }
    }
}

#[test]
fn swapped_signatures_are_refused() {
    let network = Network::new(4);
    let messages = [[1; 32], [2; 32]];
    let [one, other] = messages.map(|message| network.sum([0, 1, 2], &message));
    assert!(together(
        &network,
        &[(messages[0], one.clone()), (messages[1], other.clone())],
        0
    ));
    assert!(!together(
        &network,
        &[(messages[0], other), (messages[1], one)],
        0
    ));
}
