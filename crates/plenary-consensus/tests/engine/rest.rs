//! A network at work, at rest, and with validators that are not there.

use crate::world::{LATENCY, SECOND, World, settings};
use plenary_consensus::simulation::run;
use std::time::Duration;

/// Votes and blocks go over at most so many hops: to the leader, the proposal, two votes; and one
/// more where the leader has just proposed something else.
const HOPS: u32 = 5;

#[test]
fn texts_come_to_all_validators_in_one_order() {
    let settings = settings(1, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let world = World::all(net, &genesis).await;
        for round in 0..20 {
            let latency = world.commit(round % 4, &format!("text {round}")).await;
            assert!(latency < HOPS * (LATENCY + LATENCY / 2), "{latency:?}");
        }
        assert_eq!(world.log(0).texts().len(), 20);
        assert!(world.converge(SECOND).await);
        world.assert_agreement(|text| text.starts_with(b"text "));
        assert_eq!(world.net.blocked().await, []);
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let history = |seed| {
        let settings = settings(seed, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let world = World::all(net, &genesis).await;
            for round in 0..5 {
                world.commit(round % 4, &format!("text {round}")).await;
            }
            (world.net.audit(), world.log(0).hashes())
        })
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7).0, history(8).0);
}

#[test]
fn a_network_with_nothing_to_do_sends_nothing_and_wakes_at_once() {
    let cases = (0..12).map(|seed| (seed, 4)).chain([(0, 7), (0, 16)]);
    for (seed, n) in cases {
        let settings = settings(seed, n);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let world = World::all(net, &genesis).await;
            let n = world.logs.len();
            let stand_still = async |world: &World| {
                world.net.sleep(10 * SECOND).await;
                let views = || (0..n).map(|v| world.net.status(v).unwrap().view);
                let before: Vec<_> = views().collect();
                let messages = world.net.messages();
                world.net.sleep(Duration::from_secs(24 * 60 * 60)).await;
                assert_eq!(views().collect::<Vec<_>>(), before, "views went by");
                assert_eq!(world.net.messages(), messages, "something was sent");
                before
            };
            let first = stand_still(&world).await;
            assert!(first.iter().all(|view| *view == 1));
            for round in 0..3 {
                let latency = world.commit(round % n, &format!("text {round}")).await;
                assert!(
                    latency < HOPS * (LATENCY + LATENCY / 2),
                    "seed {seed}, {n}: {latency:?}"
                );
                let views = stand_still(&world).await;
                // One block a view: none was given up on the way to rest.
                assert!(
                    views.iter().all(|view| *view == round as u64 + 2),
                    "{views:?}"
                );
            }
            assert!(world.running().all(|log| log.hashes().len() == 3));
        });
    }
}

#[test]
fn crashed_validators_cost_nothing_once_they_are_noticed() {
    for (n, crashed) in [(4, vec![2]), (7, vec![1, 4])] {
        let settings = settings(3, n);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            for validator in crashed {
                world.crash(validator).await;
            }
            for round in 0..30 {
                world.commit(0, &format!("noticed {round}")).await;
            }
            let mut slowest = Duration::ZERO;
            for round in 0..30 {
                let latency = world.commit(0, &format!("skipped {round}")).await;
                slowest = slowest.max(latency);
            }
            // A turn of a crashed leader is given up in one round of votes.
            assert!(
                slowest < (HOPS + 2) * (LATENCY + LATENCY / 2),
                "{slowest:?}"
            );
            world.assert_agreement(|_| true);
        });
    }
}

#[test]
fn blocks_are_delivered_while_the_application_has_not_made_them_durable() {
    let settings = settings(4, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let mut world = World::new(net, &genesis);
        world.group = 50;
        for validator in 0..4 {
            world.start(validator).await;
        }
        for round in 0..70 {
            world.commit(round % 4, &format!("text {round}")).await;
        }
        assert_eq!(world.disks[1].lock().len(), 50);
        let delivered = world.log(1).delivered();
        assert_eq!(delivered, 70);
        // What it had acknowledged does not come again; the rest does.
        world.crash(1).await;
        world.start(1).await;
        assert!(world.converge(10 * SECOND).await);
        assert_eq!(world.log(1).delivered(), 20);
        world.commit(1, "more").await;
        world.assert_agreement(|_| true);
    });
}
