//! What whoever follows a session is told, event by event, at every node and after a crash.

use crate::{support::Client, world::World};
use plenary_session::{follow::submit::Refused, participation::Participation};
use plenary_types::{Problem, Stage};
use plenary_validator::testing::bank::deposit_request;

/// The names of what a node has told of a client's session so far.
fn told(world: &World, node: usize, client: &Client) -> Vec<&'static str> {
    let feed = world.entry(node, client).feed.clone();
    let events = (0..).map_while(|index| feed.at(index));
    events.map(|event| event.name()).collect()
}

/// A client with one step at node 0 of two, both needed, and its commit on its way.
fn committing() -> (World, Client) {
    let mut world = World::participating(2, Participation::All);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    world.commit(0, &client);
    (world, client)
}

/// Two sessions on one account at node 0, the second of which has lost.
fn lost(nodes: usize) -> (World, Client) {
    let mut world = World::new(nodes);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.step(0, &mut bob, deposit_request("shared", 7));
    world.settle();
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    (world, bob)
}

#[test]
fn a_committed_session_is_simulated_replicated_submitted_and_final() {
    let (mut world, client) = committing();
    assert_eq!(
        told(&world, 0, &client),
        ["simulated", "replicated", "submitted"]
    );
    assert_eq!(told(&world, 1, &client), ["simulated"]);
    world.ratify();
    let all = ["simulated", "replicated", "submitted", "final"];
    assert_eq!(told(&world, 0, &client), all);
    assert_eq!(told(&world, 1, &client), ["simulated", "final"]);
}

/// The feed of a node that was started again began with the steps and went on with the end: what had
/// happened in between was not told to whoever followed the session anew.
#[test]
fn a_restarted_node_tells_what_was_replicated_and_submitted_before() {
    let (mut world, client) = committing();
    let before = told(&world, 0, &client);
    world.restart(0);
    assert_eq!(told(&world, 0, &client), before);
    world.ratify();
    assert_eq!(told(&world, 0, &client).last(), Some(&"final"));
}

/// At the other nodes a session in conflict went on with the steps of its rebase, as if it had none
/// before; and after a restart at its own as well.
#[test]
fn a_conflict_and_its_rebase_are_told_at_every_node_and_after_a_restart() {
    let (mut world, client) = lost(2);
    let conflict = ["simulated", "replicated", "submitted", "conflict"];
    assert_eq!(told(&world, 0, &client), conflict);
    assert_eq!(told(&world, 1, &client), ["simulated", "conflict"]);
    let entry = world.entry(0, &client);
    world.node(0).rebase(&entry).unwrap();
    world.settle();
    assert_eq!(
        told(&world, 0, &client)[4..],
        ["rebased", "simulated", "replicated"]
    );
    assert_eq!(told(&world, 1, &client)[2..], ["rebased", "simulated"]);
    drop(entry);
    for node in [0, 1] {
        world.restart(node);
        let again = told(&world, node, &client);
        assert_eq!(again[again.len() - 2..], ["rebased", "simulated"]);
    }
}

/// A node that was started again between the end and its forgetting kept whoever followed the session
/// waiting for an end that it never told.
#[test]
fn ends_without_a_block_are_told_once_also_after_a_restart() {
    type End = fn(&mut World, &Client);
    let abort: End = |world, client| {
        let entry = world.entry(0, client);
        world.node(0).abort(&entry).unwrap();
    };
    let expire: End = |world, _| world.advance(world.bounds.time_limit.as_millis() as u64);
    let reject: End = |world, client| {
        world.commit(0, client);
        let transaction = world.wire.lock().submitted[0].0.hash();
        for validator in 0..2 {
            world.node(0).refused(&Refused {
                transaction,
                validator: world.layer1.genesis.validators[validator].key,
                problem: Problem::new(422, "service-version", "another").at(Stage::Layer1),
            });
        }
    };
    for (end, names) in [
        (abort, &["simulated", "aborted"][..]),
        (expire, &["simulated", "expired"]),
        (reject, &["simulated", "submitted", "rejected"]),
    ] {
        let mut world = World::new(1);
        let mut client = Client::new(1, "a");
        world.step(0, &mut client, deposit_request("ann", 5));
        end(&mut world, &client);
        assert_eq!(told(&world, 0, &client), names);
        world.restart(0);
        assert_eq!(told(&world, 0, &client), names, "after a restart");
    }
}
