//! Evidence convicts a validator that contradicted itself, and nobody else.

use plenary_types::{Evidence, Genesis, certificate::Phase, testing::Network};

fn nullify_and_finalize(network: &Network) -> Evidence {
    let header = network
        .committed(&network.genesis_block().header, vec![])
        .header;
    Evidence {
        validator: 1,
        first: network.vote(1, Phase::Finalize, header.round, &header),
        second: network.vote(1, Phase::Nullify, header.round, &header),
    }
}

#[test]
fn two_votes_for_different_blocks_in_one_view_convict() {
    let network = Network::new(4);
    assert!(network.equivocation(2).verify(&network.genesis));
}

#[test]
fn giving_up_a_view_and_finalizing_in_it_convicts() {
    let network = Network::new(4);
    let evidence = nullify_and_finalize(&network);
    assert!(evidence.verify(&network.genesis));
    let swapped = Evidence {
        first: evidence.second,
        second: evidence.first,
        ..evidence
    };
    assert!(swapped.verify(&network.genesis));
}

#[test]
fn votes_that_an_honest_validator_casts_convict_nobody() {
    let network = Network::new(4);
    let genesis = network.genesis_block().header;
    let one = network.committed(&genesis, vec![]).header;
    let next = network.committed(&one, vec![]).header;
    let vote = |phase, header: &plenary_types::Header| network.vote(1, phase, header.round, header);
    let honest = [
        (vote(Phase::Notarize, &one), vote(Phase::Notarize, &one)),
        (vote(Phase::Notarize, &one), vote(Phase::Finalize, &one)),
        (vote(Phase::Notarize, &one), vote(Phase::Nullify, &one)),
        (vote(Phase::Notarize, &one), vote(Phase::Notarize, &next)),
        (vote(Phase::Nullify, &one), vote(Phase::Finalize, &next)),
    ];
    for (first, second) in honest {
        let evidence = Evidence {
            validator: 1,
            first,
            second,
        };
        assert!(!evidence.verify(&network.genesis), "{evidence:?}");
    }
}

#[test]
fn evidence_with_any_part_altered_convicts_nobody() {
    let network = Network::new(4);
    for evidence in [network.equivocation(2), nullify_and_finalize(&network)] {
        let json = serde_json::to_value(&evidence).unwrap();
        let mut refused = 0;
        crate::receipt::for_each_change(&json, &mut |path, changed| {
            let changed = serde_json::from_value::<Evidence>(changed).ok();
            // Leaving out what is null anyway alters nothing.
            if let Some(changed) = changed.filter(|changed| *changed != evidence) {
                assert!(!changed.verify(&network.genesis), "{path}");
                refused += 1;
            }
        });
        assert!(refused > 10);
    }
}

#[test]
fn evidence_of_another_network_convicts_nobody() {
    let network = Network::new(4);
    let mut file = plenary_types::GenesisFile::from(network.genesis.clone());
    file.network = "another".into();
    let other = Genesis::try_from(file).unwrap();
    assert!(!network.equivocation(2).verify(&other));
}

#[test]
fn evidence_against_nobody_is_refused() {
    let network = Network::new(4);
    let evidence = Evidence {
        validator: 4,
        ..network.equivocation(2)
    };
    assert!(!evidence.verify(&network.genesis));
}
