//! Safety and liveness over many seeds: up to f Byzantine replicas of every kind, on networks that lose packets and
//! fall apart, with replicas that crash and come back.
//!
//! `SEEDS` says how many seeds each test takes, `SEED` which one is the first. A failure names its seed: `SEEDS=1
//! SEED=<it>` repeats it.
#![allow(missing_docs, clippy::unwrap_used)]

mod chaos;

use beaufort::{
    Millis, Settings,
    sim::{Adversary, Network, Notice, Random, SECOND, Scenario, Setup, Trial, World},
};
use chaos::Chaos;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let first = number("SEED", 1);
    first..first + number("SEEDS", usual)
}

/// Every network ends well with as many adversaries as it tolerates, of kinds that the seed decides.
fn ends_well(members: usize, usual: u64, kinds: &[Adversary]) {
    for seed in seeds(usual) {
        let mut random = Random::new(seed);
        let faults = (members - 1) / 3;
        let adversaries = (0..faults)
            .map(|_| kinds[random.below(kinds.len() as u64) as usize])
            .collect();
        let chaos = Chaos {
            seed,
            members,
            adversaries,
        };
        if let Err(failure) = chaos.run() {
            panic!(
                "seed {seed}, {members} members, {:?}: {failure}",
                chaos.adversaries
            );
        }
    }
}

#[test]
fn four_replicas_agree_and_go_on_with_any_adversary() {
    ends_well(4, 30, &Adversary::ALL);
}

#[test]
fn seven_replicas_agree_and_go_on_with_any_two_adversaries() {
    ends_well(7, 20, &Adversary::ALL);
}

#[test]
fn ten_replicas_agree_and_go_on_with_any_three_adversaries() {
    ends_well(10, 10, &Adversary::ALL);
}

#[test]
fn replicas_agree_and_go_on_where_all_adversaries_equivocate() {
    ends_well(7, 10, &[Adversary::Equivocator]);
}

/// A signature can be added to itself, and a sum does not tell who did it. Sums in which somebody had been counted to the
/// limit could not be joined with each other any more: votes were left out of what was passed on, their senders took them
/// for known, and views stood still for ever.
#[test]
fn nobody_holds_a_view_up_by_counting_signatures_often() {
    for members in [4, 7, 10] {
        ends_well(members, 5, &[Adversary::Inflator]);
    }
}

/// Votes go to whoever passed a proposal on first, and he may keep them: they find another way then, without any
/// comparison or exchange of neighbours.
#[test]
fn nobody_holds_a_view_up_by_keeping_others_votes() {
    for (seed, members) in seeds(5).flat_map(|seed| [4, 7, 10].map(|members| (seed, members))) {
        let mut random = Random::new(seed);
        let mut world = World::new(Setup {
            seed,
            members,
            twins: Vec::new(),
            network: Network::default(),
            costs: None,
            store: 0,
            replica: Settings {
                comparison: Millis::MAX / 4,
                renewal: Millis::MAX / 4,
                stall: Millis::MAX / 4,
                ..Settings::default()
            },
        });
        let byzantine = (members - 1) / 3;
        (0..byzantine).for_each(|site| Adversary::Sink.corrupt(&mut world, site, &mut random));
        world.run_until(3 * SECOND);
        for site in byzantine..members {
            let key = format!("key {site}").into_bytes();
            world.submit(site, site as u64, key, Some(b"value".to_vec()));
        }
        world.run_until(30 * SECOND);
        let settled = |(_, _, notice): &(_, _, Notice)| matches!(notice, Notice::Settled { .. });
        let settled = world.notices().into_iter().filter(settled).count();
        assert_eq!(
            settled,
            members - byzantine,
            "seed {seed}, {members} members"
        );
    }
}

/// A small evaluation run.
fn trial(scenario: Scenario, seed: u64) -> Trial {
    let mut trial = Trial::new(scenario, 7, seed);
    trial.load.measured = 5 * SECOND;
    trial
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    for scenario in Scenario::ALL {
        let [one, same, other] = [1, 1, 2].map(|seed| trial(scenario, seed).run());
        assert_eq!(one.trace, same.trace, "{}", scenario.name());
        assert_eq!(one.latencies, same.latencies, "{}", scenario.name());
        assert_ne!(one.trace, other.trace, "{}", scenario.name());
    }
}

#[test]
fn every_transaction_of_the_evaluation_settles() {
    for scenario in Scenario::ALL {
        let outcome = trial(scenario, 3).run();
        assert_eq!(
            (outcome.unsettled, outcome.refused, outcome.overruled),
            (0, 0, 0),
            "{}",
            scenario.name()
        );
        assert!(outcome.latencies.len() > 20, "{}", scenario.name());
    }
}
