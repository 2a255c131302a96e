//! Validators that are killed at any point of a block's life, one or all, by process or by power.

use crate::world::{SECOND, World, settings};
use plenary_consensus::simulation::{Simulation, run};
use std::time::Duration;

/// A block is final within this, so a crash after any part of it is a crash at any point.
const LIFE: u64 = 160;

#[test]
fn a_validator_killed_at_any_point_of_a_block_comes_back() {
    for after in (0..LIFE).step_by(4) {
        let settings = settings(after, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            world.commit(0, "before").await;
            for victim in 0..4 {
                let text = format!("during {victim}");
                world.submit((victim + 1) % 4, &text);
                world.net.sleep(Duration::from_millis(after)).await;
                world.crash(victim).await;
                world.net.sleep(Duration::from_millis(50)).await;
                world.start(victim).await;
                assert!(
                    world.settle(&text, 60 * SECOND).await,
                    "after {after} ms: {text}"
                );
            }
            assert!(world.converge(10 * SECOND).await, "after {after} ms");
            world.assert_agreement(|_| true);
            assert_eq!(world.net.blocked().await, [], "after {after} ms");
            assert!(world.running().all(|log| log.evidence().is_empty()));
        });
    }
}

#[test]
fn all_validators_killed_at_any_point_of_a_block_come_back() {
    for after in (0..LIFE).step_by(4) {
        let settings = settings(after, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            world.commit(0, "before").await;
            world.submit(1, "during");
            world.net.sleep(Duration::from_millis(after)).await;
            for victim in 0..4 {
                world.crash(victim).await;
            }
            for victim in 0..4 {
                world.start(victim).await;
            }
            world.commit(2, "after").await;
            assert!(world.converge(10 * SECOND).await, "after {after} ms");
            world.assert_agreement(|_| true);
            assert_eq!(world.net.blocked().await, [], "after {after} ms");
            assert!(world.running().all(|log| log.evidence().is_empty()));
        });
    }
}

#[test]
fn a_power_failure_at_any_point_of_a_block_loses_nothing_that_was_final() {
    for after in (0..LIFE).step_by(4) {
        let settings = settings(after, 4);
        let genesis = settings.genesis.clone();
        let mut simulation = Simulation::new(settings);
        let (disks, known) = simulation.run(|net| {
            let genesis = genesis.clone();
            async move {
                let world = World::all(net, &genesis).await;
                world.commit(0, "before").await;
                world.submit(1, "during");
                world.net.sleep(Duration::from_millis(after)).await;
                let known: Vec<_> = world.running().map(|log| log.texts()).collect();
                (world.disks, known)
            }
        });
        simulation.run(|net| async move {
            let mut world = World::new(net, &genesis);
            world.disks = disks;
            for validator in 0..4 {
                world.start(validator).await;
            }
            world.commit(2, "after").await;
            assert!(world.converge(10 * SECOND).await, "after {after} ms");
            for known in known {
                let texts = world.log(0).texts();
                assert!(
                    texts.starts_with(&known),
                    "after {after} ms: something final is gone"
                );
            }
            world.assert_agreement(|_| true);
            assert_eq!(world.net.blocked().await, [], "after {after} ms");
            assert!(world.running().all(|log| log.evidence().is_empty()));
        });
    }
}
