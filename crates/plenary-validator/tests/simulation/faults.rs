//! Crashes, restarts and partitions: nothing that was committed is lost, nothing comes twice, and
//! the network goes on as long as a quorum can talk.

use crate::world::{World, link, run, seeds};
use plenary_consensus::simulation::Link;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn four_validators_commit_what_clients_send_to_any_of_them() {
    for seed in seeds(10) {
        run(seed, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            for round in 0..5 {
                for validator in 0..4 {
                    world.deposit(validator, 10 * round + validator as u64 + 1);
                }
                world.sleep(Duration::from_millis(30)).await;
            }
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_chain() {
    let tip = |seed| {
        run(seed, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            for validator in 0..4 {
                world.deposit(validator, 7);
                world.sleep(Duration::from_millis(15)).await;
            }
            world.settle(PATIENCE).await;
            world.node(0).store.tip().hash
        })
    };
    assert_eq!(tip(3), tip(3));
}

#[test]
fn losing_messages_delays_but_loses_nothing() {
    for seed in seeds(10) {
        let lossy = Link {
            loss: 0.1,
            ..link()
        };
        run(seed, 4, lossy, async |mut world: World| {
            world.start_all(0..4).await;
            for validator in 0..4 {
                world.deposit(validator, 5);
                world.sleep(Duration::from_millis(25)).await;
            }
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}

#[test]
fn a_minority_partition_stops_and_catches_up_when_it_heals() {
    for seed in seeds(20) {
        run(seed, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            world.deposit(0, 1);
            world.settle(PATIENCE).await;
            let before = world.node(3).store.tip().height;
            world.network.partition(&[&[0, 1, 2], &[3]]).await;
            for _ in 0..5 {
                world.deposit(1, 2);
                world.sleep(Duration::from_millis(200)).await;
            }
            world.sleep(Duration::from_secs(5)).await;
            assert!(
                world.node(0).store.tip().height > before,
                "the majority goes on"
            );
            assert_eq!(
                world.node(3).store.tip().height,
                before,
                "the minority cannot decide"
            );
            world.network.heal().await;
            world.deposit(0, 3);
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}

#[test]
fn no_half_of_a_split_network_decides_alone() {
    for seed in seeds(10) {
        run(seed, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            world.network.partition(&[&[0, 1], &[2, 3]]).await;
            let before = world.node(0).store.tip().height;
            world.deposit(0, 1);
            world.deposit(2, 2);
            world.sleep(Duration::from_secs(10)).await;
            for node in world.nodes() {
                assert_eq!(node.store.tip().height, before);
            }
            world.network.heal().await;
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}

/// A validator is killed at every point of a block's life: one run for each millisecond from the
/// submission until well after it is final everywhere.
#[test]
fn a_validator_killed_at_any_point_of_a_blocks_life_loses_nothing() {
    for delay in 0..60 {
        run(delay, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            let victim = (delay % 4) as usize;
            world.deposit((victim + 1) % 4, 1);
            world.sleep(Duration::from_millis(delay)).await;
            world.crash(victim).await;
            world.deposit((victim + 2) % 4, 2);
            world.sleep(Duration::from_millis(300)).await;
            world.start(victim).await;
            world.deposit((victim + 3) % 4, 3);
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}

#[test]
fn all_validators_killed_at_any_point_come_back_with_what_was_final() {
    for delay in 0..40 {
        run(100 + delay, 4, link(), async |mut world: World| {
            world.start_all(0..4).await;
            for validator in 0..4 {
                world.deposit(validator, 1);
            }
            world.sleep(Duration::from_millis(2 * delay)).await;
            let (height, hash) = {
                let tip = world
                    .nodes()
                    .map(|node| node.store.tip())
                    .max_by_key(|tip| tip.height);
                tip.map(|tip| (tip.height, tip.hash)).unwrap()
            };
            // What only waited in memory dies with the processes; its clients send it again.
            let node = world.node(0).clone();
            world
                .deposits
                .retain(|hash, _| node.store.transaction(hash).unwrap().is_some());
            drop(node);
            for validator in 0..4 {
                world.crash(validator).await;
            }
            world.start_all(0..4).await;
            world.deposit(2, 9);
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
            if height > 0 {
                let block = world.node(1).store.block(height).unwrap().unwrap();
                assert_eq!(block.hash(), hash, "what was final anywhere stays");
            }
        });
    }
}
