//! Networks that fall apart and come together again, and validators that were away.

use crate::world::{SECOND, World, settings};
use plenary_consensus::simulation::{Link, run};
use std::time::Duration;

#[test]
fn nothing_is_final_without_a_quorum_and_everything_after_it_is_back() {
    for seed in 0..20 {
        let settings = settings(seed, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            world.commit(0, "text before").await;
            world.net.partition(&[&[0, 1], &[2, 3]]).await;
            world.submit(0, "text left");
            world.submit(3, "text right");
            world.net.sleep(20 * SECOND).await;
            assert!(
                world.running().all(|log| log.texts().len() == 1),
                "seed {seed}"
            );
            world.net.heal().await;
            assert!(world.settle("text left", 60 * SECOND).await, "seed {seed}");
            assert!(world.settle("text right", 60 * SECOND).await, "seed {seed}");
            assert!(world.converge(10 * SECOND).await, "seed {seed}");
            world.assert_agreement(|text| text.starts_with(b"text "));
            assert_eq!(world.net.blocked().await, [], "seed {seed}");
        });
    }
}

#[test]
fn a_minority_that_was_cut_off_catches_up_while_all_are_at_rest() {
    for seed in 0..20 {
        let settings = settings(seed, 7);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            let away = [seed as usize % 7, (seed as usize + 3) % 7];
            let rest: Vec<_> = (0..7)
                .filter(|validator| !away.contains(validator))
                .collect();
            world.net.partition(&[&rest]).await;
            for round in 0..10 {
                let text = format!("text {round}");
                world.submit(rest[round % rest.len()], &text);
                let done = || {
                    rest.iter()
                        .all(|index| world.log(*index).has(text.as_bytes()))
                };
                assert!(
                    world.net.wait(60 * SECOND, done).await,
                    "seed {seed}, {text}"
                );
            }
            world.net.sleep(30 * SECOND).await;
            assert!(
                away.iter()
                    .all(|index| world.log(*index).texts().is_empty())
            );
            world.net.heal().await;
            assert!(world.converge(10 * SECOND).await, "seed {seed}");
            assert_eq!(world.log(away[0]).texts().len(), 10);
            world.assert_agreement(|_| true);
        });
    }
}

#[test]
fn a_network_that_keeps_falling_apart_agrees_and_goes_on() {
    for seed in 0..10u64 {
        let settings = settings(seed, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            for round in 0..12u64 {
                let alone = ((seed + round * 7) % 4) as usize;
                let rest: Vec<_> = (0..4).filter(|validator| *validator != alone).collect();
                world.net.partition(&[&rest]).await;
                world.submit(alone, &format!("text alone {round}"));
                world.submit(rest[0], &format!("text {round}"));
                // Sometimes long enough to commit, sometimes in the middle of it.
                world
                    .net
                    .sleep(Duration::from_millis((seed * 37 + round * 53) % 300))
                    .await;
            }
            world.net.heal().await;
            for round in 0..12 {
                for text in [format!("text alone {round}"), format!("text {round}")] {
                    assert!(
                        world.settle(&text, 120 * SECOND).await,
                        "seed {seed}, {text}"
                    );
                }
            }
            assert!(world.converge(10 * SECOND).await, "seed {seed}");
            world.assert_agreement(|text| text.starts_with(b"text "));
            assert_eq!(world.net.blocked().await, [], "seed {seed}");
        });
    }
}

#[test]
fn a_validator_that_was_away_for_long_catches_up_while_all_are_at_rest() {
    let settings = settings(5, 4);
    let genesis = settings.genesis.clone();
    run(settings, |net| async move {
        let mut world = World::all(net, &genesis).await;
        world.commit(3, "first").await;
        world.crash(3).await;
        let start = world.net.now().0;
        for round in 0..300 {
            world.commit(round % 3, &format!("text {round}")).await;
        }
        let grew = world.net.now().0 - start;
        world.net.sleep(60 * SECOND).await;
        let start = world.net.now().0;
        world.start(3).await;
        assert!(world.converge(60 * SECOND).await);
        let caught_up = world.net.now().0 - start;
        assert_eq!(world.log(3).texts().len(), 301);
        assert!(
            caught_up * 5 < grew,
            "{caught_up} ms for what took {grew} ms"
        );
        world.commit(3, "last").await;
        world.assert_agreement(|_| true);
    });
}

#[test]
fn a_block_whose_votes_were_lost_becomes_final_without_anything_new_to_commit() {
    for after in (0..160).step_by(4) {
        let settings = settings(after, 4);
        let genesis = settings.genesis.clone();
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            world.commit(0, "text before").await;
            world.submit(1, "text");
            world.net.sleep(Duration::from_millis(after)).await;
            world.net.partition(&[]).await;
            world.net.sleep(SECOND / 2).await;
            world.net.heal().await;
            let settled = world.settle("text", 30 * SECOND).await;
            assert!(settled, "all votes lost after {after} ms");
            assert!(world.converge(10 * SECOND).await, "after {after} ms");
            world.assert_agreement(|text| text.starts_with(b"text"));
        });
    }
}

#[test]
fn who_missed_messages_is_told_once_things_become_quiet() {
    for seed in 0..20 {
        let settings = settings(seed, 4);
        let genesis = settings.genesis.clone();
        let good = settings.link;
        run(settings, |net| async move {
            let mut world = World::all(net, &genesis).await;
            world.commit(0, "before").await;
            world.net.set_links(Link { loss: 0.4, ..good }).await;
            for round in 0..3 {
                let text = format!("text {round}");
                world.submit(0, &text);
                // Nobody repeats anything but the engines.
                let log = world.log(0).clone();
                world
                    .net
                    .wait(30 * SECOND, || log.has(text.as_bytes()))
                    .await;
            }
            world.net.set_links(good).await;
            world.net.sleep(10 * SECOND).await;
            assert!(world.converge(SECOND).await, "seed {seed}");
            world.assert_agreement(|_| true);
        });
    }
}
