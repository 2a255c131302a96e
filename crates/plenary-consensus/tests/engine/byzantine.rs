//! Up to f validators that lie, in every way they can with the engine's messages.

use crate::{
    log::{Disk, Log},
    world::{SECOND, World, node, settings},
};
use plenary_consensus::simulation::{Misbehaviour, Settings, run};
use plenary_types::{certificate::Phase, evidence::Evidence};
use std::{sync::Arc, time::Duration};

/// What the liars are: the engine's own, twins, or an application that says no to everything.
#[derive(Debug, Clone, Copy)]
enum Liar {
    Engine(Misbehaviour),
    Twins,
    Refuser,
}

fn liars() -> Vec<Liar> {
    let engine = Misbehaviour::ALL.map(Liar::Engine);
    engine
        .into_iter()
        .chain([Liar::Twins, Liar::Refuser])
        .collect()
}

async fn lie(world: &mut World, validator: usize, liar: Liar) {
    match liar {
        Liar::Engine(misbehaviour) => world.net.start_byzantine(validator, misbehaviour).await,
        Liar::Twins => {
            let logs = [(); 2].map(|()| Log::new(&world.genesis));
            for (twin, log) in logs.iter().enumerate() {
                for round in 0..4 {
                    log.submit(format!("of twin {twin} of {validator}: {round}").as_bytes());
                }
            }
            let nodes = [node(&logs[0]), node(&logs[1])];
            world.net.start_twins(validator, nodes).await;
        }
        Liar::Refuser => {
            let log = Log::with_disk(&world.genesis, &Disk::default(), 1);
            let mut log = Arc::into_inner(log).unwrap();
            log.refuse = true;
            world.net.start(validator, node(&Arc::new(log))).await;
        }
    }
}

fn was_submitted(text: &[u8]) -> bool {
    text.starts_with(b"text ") || text.starts_with(b"of twin ")
}

/// Runs a network in which some validators lie; what the others then have as evidence.
fn survive(settings: Settings, liars: &[(usize, Liar)]) -> Vec<Evidence> {
    let genesis = settings.genesis.clone();
    let context = format!("seed {}, {liars:?}", settings.seed);
    run(settings, |net| async move {
        let mut world = World::new(net, &genesis);
        let mut honest = Vec::new();
        for validator in 0..genesis.validators.len() {
            match liars.iter().find(|(liar, _)| *liar == validator) {
                Some((_, liar)) => lie(&mut world, validator, *liar).await,
                None => {
                    world.start(validator).await;
                    honest.push(validator);
                }
            }
        }
        for round in 0..6 {
            let text = format!("text {round}");
            world.submit(honest[round % honest.len()], &text);
            assert!(
                world.settle(&text, 120 * SECOND).await,
                "{text} is not final: {context}"
            );
        }
        assert!(world.converge(30 * SECOND).await, "no agreement: {context}");
        world.assert_agreement(was_submitted);
        for (by, whom) in world.net.blocked().await {
            let lied = |validator| liars.iter().any(|(liar, _)| *liar == validator);
            assert!(lied(by) || lied(whom), "{by} cut off {whom}: {context}");
        }
        world.running().flat_map(|log| log.evidence()).collect()
    })
}

/// A mix of liars, different for each seed.
fn mix(seed: u64, n: usize, f: usize) -> Vec<(usize, Liar)> {
    let kinds = liars();
    let first = seed as usize;
    let liar = |k: usize| ((first + k * 3) % n, kinds[(first / n + k) % kinds.len()]);
    (0..f).map(liar).collect()
}

#[test]
fn one_liar_among_four_stops_nothing() {
    for seed in 0..70 {
        survive(settings(seed, 4), &mix(seed, 4, 1));
    }
}

#[test]
fn two_liars_among_seven_stop_nothing() {
    for seed in 0..49 {
        survive(settings(seed, 7), &mix(seed, 7, 2));
    }
}

#[test]
fn liars_stop_nothing_where_messages_are_lost_too() {
    for seed in 0..42 {
        let mut settings = settings(seed, 4);
        settings.link.loss = 0.05;
        settings.link.jitter = Duration::from_millis(15);
        survive(settings, &mix(seed, 4, 1));
    }
}

#[test]
fn contradicting_votes_become_evidence_that_anyone_can_verify() {
    let seen = |misbehaviour| {
        let settings = settings(11, 4);
        let genesis = settings.genesis.clone();
        let evidence = survive(settings, &[(2, Liar::Engine(misbehaviour))]);
        for proof in &evidence {
            assert!(proof.verify(&genesis));
            assert_eq!(proof.validator, 2, "an honest validator is accused");
            let mut altered = proof.clone();
            altered.validator = 1;
            assert!(!altered.verify(&genesis));
        }
        let phases = evidence
            .iter()
            .map(|proof| (proof.first.phase, proof.second.phase));
        phases.collect::<Vec<_>>()
    };
    let conflicting = seen(Misbehaviour::ConflictingVotes);
    assert!(
        conflicting.contains(&(Phase::Notarize, Phase::Notarize)),
        "{conflicting:?}"
    );
    assert!(
        conflicting.contains(&(Phase::Finalize, Phase::Finalize)),
        "{conflicting:?}"
    );
    let both = seen(Misbehaviour::NullifyAndFinalize);
    assert!(
        both.contains(&(Phase::Nullify, Phase::Finalize)),
        "{both:?}"
    );
    assert_eq!(seen(Misbehaviour::NullifyOnly), []);
}
