//! Sessions that end without layer 1: given up by their owner, or by time.

use crate::{
    support::Client,
    world::{World, code},
};
use plenary_session::{
    message::{Given, Message},
    step::Ran,
};
use plenary_validator::testing::bank::deposit_request;

/// A client with two steps at node 0, which the others have as well.
fn begun(nodes: usize) -> (World, Client) {
    let mut world = World::new(nodes);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    (world, client)
}

#[test]
fn an_aborted_session_is_over_everywhere_and_stays_so_after_a_crash() {
    let (mut world, mut client) = begun(2);
    let entry = world.entry(0, &client);
    world.node(0).abort(&entry).unwrap();
    world.node(0).abort(&entry).unwrap();
    world.settle();
    for node in [0, 1] {
        assert_eq!(world.status(node, &client), "aborted", "at node {node}");
        assert_eq!(code(world.try_commit(node, &client)), "session-over");
        world.restart(node);
        let asked = world.try_step(node, &mut client, deposit_request("ann", 5));
        assert_eq!(code(asked), "session-over");
    }
}

#[test]
fn a_session_expires_everywhere_at_its_time() {
    let (mut world, client) = begun(2);
    let limit = world.bounds.time_limit.as_millis() as u64;
    world.advance(limit - 1);
    assert_eq!(world.status(0, &client), "open");
    world.advance(1);
    for node in [0, 1] {
        assert_eq!(world.status(node, &client), "expired", "at node {node}");
    }
    world.settle();
    world.advance(60_000);
    for node in [0, 1] {
        assert!(world.find(node, client.session()).is_none());
    }
}

#[test]
fn a_session_expires_while_its_node_is_down() {
    let (mut world, client) = begun(1);
    world.crash(0);
    world.advance(world.bounds.time_limit.as_millis() as u64);
    world.start(0);
    world.advance(1);
    assert_eq!(world.status(0, &client), "expired");
}

#[test]
fn a_session_that_commits_does_not_expire() {
    let (mut world, client) = begun(1);
    world.commit(0, &client);
    world.advance(10 * world.bounds.time_limit.as_millis() as u64);
    assert_eq!(world.status(0, &client), "committing");
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
}

#[test]
fn only_the_node_that_answered_last_may_say_that_a_session_is_over() {
    let (mut world, client) = begun(3);
    let over = Message::Over {
        session: client.session(),
        given: Given::Aborted,
    };
    let liar = world.places[2].key.public_key();
    for node in [0, 1] {
        let over = plenary_types::encode(&over);
        world.node(node).receive(liar, over);
        assert_eq!(world.status(node, &client), "open");
    }
    world.settle();
}

/// What is acknowledged is durable, also where the session's name was used before.
#[test]
fn a_session_opened_again_after_its_end_keeps_what_it_acknowledges() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    let opening = client.ask(world.now(), deposit_request("ann", 5));
    let open = |world: &World| {
        let ran = world.ask(0, &Client::new(1, "a"), opening.clone());
        match ran.unwrap() {
            Ran::Stepped(stepped) => stepped,
            Ran::Refused(response) => panic!("{response:?}"),
        }
    };
    let first = open(&world);
    world.node(0).abort(&first.entry).unwrap();
    world.advance(world.bounds.time_limit.as_millis() as u64);
    world.advance(60_000);
    assert!(world.node(0).sessions.is_empty(), "it is forgotten");
    let again = open(&world);
    assert!(again.agreement().holds());
    world.restart(0);
    let kept = world.find(0, again.entry.id).unwrap();
    let kept = kept.live.lock();
    assert_eq!(kept.status.name(), "open");
    assert_eq!(kept.chain(), again.step.promise.chain);
}
