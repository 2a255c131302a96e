//! A power failure at any moment of a session's life: what was acknowledged is there, and a commit
//! that was begun ends as the one transaction that it is.

use crate::{support::Client, world::World};
use plenary_session::session::Status;
use plenary_types::{Outcome, TransactionHash};
use plenary_validator::testing::bank::deposit_request;

/// What a client knows after a moment: how many events the log's disk had seen by then.
struct Moment {
    events: usize,
    client: Client,
    /// The transaction, once the commit is acknowledged.
    transaction: Option<TransactionHash>,
}

/// The life of a session of four steps, moment by moment, and the world that it was lived in.
fn life() -> (World, Vec<Moment>) {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    let mut moments = Vec::new();
    let note = |world: &World, client: &Client, transaction| Moment {
        events: world.places[0].log.events(),
        client: client.clone(),
        transaction,
    };
    for amount in 1..5 {
        world.step(0, &mut client, deposit_request("ann", amount));
        moments.push(note(&world, &client, None));
    }
    world.commit(0, &client);
    let transaction = world.wire.lock().submitted[0].0.hash();
    moments.push(note(&world, &client, Some(transaction)));
    world.submit();
    (world, moments)
}

#[test]
fn every_acknowledged_step_and_commit_survives_a_crash_at_every_event_of_the_disk() {
    let (world, moments) = life();
    let disk = world.places[0].log.clone();
    for event in 0..=disk.events() {
        let mut after = World::new(1);
        after.crash(0);
        after.places[0].log = disk.crash(event, event as u64);
        after.start(0);
        let acknowledged = moments.iter().rev().find(|moment| moment.events <= event);
        let Some(moment) = acknowledged else {
            continue;
        };
        let entry = after.entry(0, &moment.client);
        let live = entry.live.lock();
        let kept: Vec<_> = live.operations();
        let seen = &moment.client.seen;
        assert_eq!(kept[..seen.len()], seen[..], "event {event}");
        if let Some(hash) = moment.transaction {
            assert_eq!(live.status, Status::Committing(hash), "event {event}");
        }
        let committing = matches!(live.status, Status::Committing(_));
        drop(live);
        after.advance(1);
        let submitted = after.wire.lock().submitted.len();
        assert_eq!(submitted, usize::from(committing), "event {event}");
        if !committing {
            let mut client = moment.client.clone();
            client.seen = kept;
            after.commit(0, &client);
        }
        let decided = after.ratify();
        assert_eq!(decided.len(), 1, "event {event}");
        assert_eq!(decided[0].1, Outcome::Committed);
        assert_eq!(after.status(0, &moment.client), "committed");
    }
}

#[test]
fn a_commit_that_is_taken_up_has_the_same_hash_and_is_committed_once() {
    let (mut world, moments) = life();
    let first = moments.last().unwrap();
    world.restart(0);
    world.advance(1);
    let again = world.wire.lock().submitted.remove(0);
    assert_eq!(Some(again.0.hash()), first.transaction);
    world.ratify();
    assert_eq!(world.status(0, &first.client), "committed");
    world.restart(0);
    world.advance(5_000);
    assert!(world.wire.lock().submitted.is_empty());
}

#[test]
fn a_commit_that_was_decided_while_its_node_was_down_is_found_in_the_blocks() {
    let (mut world, moments) = life();
    let client = moments.last().unwrap().client.clone();
    world.crash(0);
    world.ratify();
    world.start(0);
    assert_eq!(world.status(0, &client), "committing");
    world.feed(0);
    assert_eq!(world.status(0, &client), "committed");
}

#[test]
fn a_block_that_was_followed_and_an_end_that_was_not_written_leave_the_session_decided() {
    let (mut world, moments) = life();
    let client = moments.last().unwrap().client.clone();
    let log = world.places[0].log.events();
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
    let log = world.places[0].log.crash(log, 0);
    world.crash(0);
    world.places[0].log = log;
    world.start(0);
    assert_eq!(world.status(0, &client), "committed");
    world.advance(5_000);
    assert!(world.wire.lock().submitted.is_empty());
}

#[test]
fn a_conflict_is_known_after_a_crash_and_a_rebase_survives_one() {
    let mut world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.step(0, &mut bob, deposit_request("shared", 7));
    world.step(0, &mut bob, deposit_request("bob", 7));
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    world.restart(0);
    assert_eq!(world.status(0, &bob), "conflict");
    let entry = world.entry(0, &bob);
    let rerun = world.node(0).rebase(&entry).unwrap();
    bob.seen.clear();
    rerun.iter().for_each(|rerun| bob.saw(&rerun.step));
    drop(entry);
    world.restart(0);
    assert_eq!(world.chain(0, &bob), bob.chain());
    world.step(0, &mut bob, deposit_request("bob", 1));
    world.commit(0, &bob);
    world.ratify();
    assert_eq!(world.status(0, &bob), "committed");
}

/// A rebase is durable whole or not at all: a client that did not hear of it asks again.
#[test]
fn a_crash_within_a_rebase_leaves_the_conflict_or_the_whole_rebase() {
    let mut world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    for _ in 0..3 {
        world.step(0, &mut bob, deposit_request("shared", 7));
    }
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    let (before, store) = (world.places[0].log.events(), world.places[0].state.clone());
    let entry = world.entry(0, &bob);
    world.node(0).rebase(&entry).unwrap();
    let disk = world.places[0].log.clone();
    for event in before..=disk.events() {
        let mut after = World::new(1);
        after.crash(0);
        after.places[0].log = disk.crash(event, event as u64);
        after.places[0].state = store.crash(store.events(), 0);
        after.start(0);
        let entry = after.entry(0, &bob);
        let live = entry.live.lock();
        let (status, steps) = (live.status.name(), live.steps.len());
        assert!(
            matches!((status, steps), ("conflict" | "open", 3)),
            "event {event}: {status}, {steps} steps"
        );
    }
}
