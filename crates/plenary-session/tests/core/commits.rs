//! Commits: once, whole, whatever else happens; and conflicts, which are answers.

use crate::{
    support::Client,
    world::{World, code, number},
};
use plenary_session::{feed::Event, session::Status};
use plenary_types::{Method, Outcome};
use plenary_validator::testing::bank::{deposit_request, request};

/// Two sessions on one key at a node, the first of which is committed.
fn contended(nodes: usize) -> (World, Client, Client) {
    let world = World::new(nodes);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("ann", 1));
    world.step(0, &mut bob, deposit_request("bob", 1));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.step(0, &mut bob, deposit_request("shared", 7));
    (world, ann, bob)
}

#[test]
fn a_session_is_committed_whole_with_what_its_client_saw() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    for account in ["ann", "bob", "ann"] {
        world.step(0, &mut client, deposit_request(account, 5));
    }
    world.settle();
    world.commit(0, &client);
    assert_eq!(world.status(0, &client), "committing");
    let decided = world.ratify();
    assert_eq!(decided.len(), 1);
    let block = &world.layer1.blocks[0].0;
    assert_eq!(block.transactions[0].operations, client.seen);
    assert_eq!(block.transactions[0].endorsements.len(), 1, "the peer's");
    for node in [0, 1] {
        assert_eq!(world.status(node, &client), "committed", "at node {node}");
    }
    let events = world.entry(0, &client).feed.clone();
    let last = (0..).map_while(|at| events.at(at)).last();
    assert!(matches!(last, Some(Event::Final { height: 1, .. })));
}

#[test]
fn of_two_sessions_on_one_key_one_is_committed_and_the_other_told_the_key() {
    let (mut world, ann, bob) = contended(2);
    world.settle();
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    for node in [0, 1] {
        assert_eq!(world.status(node, &ann), "committed");
        assert_eq!(world.status(node, &bob), "conflict");
    }
    let status = world.entry(0, &bob).live.lock().status.clone();
    let Status::Decided(_, landed) = status else {
        panic!("{status:?}");
    };
    let Outcome::Conflict { step, keys } = landed.outcome else {
        panic!("{landed:?}");
    };
    assert_eq!((step, keys.len()), (1, 1));
    assert!(keys[0].to_string().contains("shared"), "{}", keys[0]);
}

#[test]
fn a_stale_read_whose_answer_stays_the_same_is_no_conflict() {
    let mut world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    let touch = request(Method::Post, "/accounts/shared/touches", &());
    world.step(0, &mut ann, touch);
    world.step(0, &mut bob, deposit_request("shared", 7));
    world.commit(0, &bob);
    world.ratify();
    world.commit(0, &ann);
    world.ratify();
    assert_eq!(world.status(0, &ann), "committed");
}

#[test]
fn a_rebase_shows_what_changed_and_is_committed() {
    let (mut world, ann, mut bob) = contended(2);
    world.settle();
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    let entry = world.entry(0, &bob);
    let rerun = world.node(0).rebase(&entry).unwrap();
    let answers = rerun.iter().map(|rerun| {
        let (before, after) = (&rerun.before, &rerun.step.operation.response);
        (number(before), number(after))
    });
    assert_eq!(answers.collect::<Vec<_>>(), [(1, 1), (7, 12)]);
    bob.seen.clear();
    rerun.iter().for_each(|rerun| bob.saw(&rerun.step));
    world.settle();
    for node in [0, 1] {
        assert_eq!(world.chain(node, &bob), bob.chain(), "at node {node}");
        assert_eq!(world.status(node, &bob), "open");
    }
    world.commit(1, &bob);
    world.ratify();
    for node in [0, 1] {
        assert_eq!(world.status(node, &bob), "committed");
    }
}

/// A commit that layer 1 decided later than the session's own time was forgotten at once: its client
/// heard of no conflict, and could not have it rebased.
#[test]
fn a_conflict_that_comes_late_can_be_rebased_for_as_long_as_any_other() {
    let (mut world, ann, bob) = contended(1);
    world.commit(0, &ann);
    world.commit(0, &bob);
    let limit = world.bounds.time_limit.as_millis() as u64;
    world.advance(10 * limit);
    world.ratify();
    world.advance(limit);
    assert_eq!(world.status(0, &bob), "conflict");
    world.advance(60_000);
    assert!(world.find(0, bob.session()).is_none());
}

#[test]
fn only_a_session_in_conflict_is_rebased() {
    let (mut world, ann, bob) = contended(1);
    let entry = world.entry(0, &bob);
    assert_eq!(code(world.node(0).rebase(&entry)), "not-in-conflict");
    world.commit(0, &ann);
    world.ratify();
    let entry = world.entry(0, &ann);
    assert_eq!(code(world.node(0).rebase(&entry)), "not-in-conflict");
}

#[test]
fn without_a_quorum_of_layer_1_steps_work_and_the_commit_ends_when_it_is_back() {
    let mut world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("ann", 5));
    world.commit(0, &ann);
    let first = world.wire.lock().submitted.remove(0);
    for round in 1..4 {
        world.step(0, &mut bob, deposit_request("bob", 5));
        world.advance(1_000);
        let (again, attempt) = world.wire.lock().submitted.remove(0);
        assert_eq!((again.hash(), attempt), (first.0.hash(), round));
        assert_eq!(world.status(0, &ann), "committing");
    }
    world.advance(1_000);
    world.ratify();
    assert_eq!(world.status(0, &ann), "committed");
    world.advance(60_000);
    assert!(
        world.wire.lock().submitted.is_empty(),
        "nothing more to send"
    );
}

#[test]
fn a_commit_asked_for_twice_is_one_transaction() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.commit(0, &client);
    world.commit(0, &client);
    assert_eq!(world.wire.lock().submitted.len(), 1);
    world.ratify();
    world.commit(0, &client);
    assert!(world.wire.lock().submitted.is_empty());
    assert_eq!(world.status(0, &client), "committed");
}

#[test]
fn a_session_committed_by_two_nodes_is_committed_once_and_both_know() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    world.step(1, &mut client, deposit_request("ann", 5));
    world.settle();
    world.commit(0, &client);
    world.commit(1, &client);
    let decided = world.ratify();
    let committed = |outcome: &Outcome| *outcome == Outcome::Committed;
    assert_eq!(decided.iter().filter(|(_, one)| committed(one)).count(), 1);
    for node in [0, 1] {
        assert_eq!(world.status(node, &client), "committed");
        assert!(world.ratify().is_empty());
    }
    world.advance(5_000);
    assert!(world.wire.lock().submitted.is_empty(), "neither goes on");
}

/// The block comes while the other node's commit is being written.
#[test]
fn a_session_that_another_node_committed_in_the_meantime_stays_committed() {
    let mut world = World::new(2);
    world.crash(1);
    world.grouped = true;
    world.start(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let proposal = world.intercept().remove(0);
    world.deliver(&proposal);
    let step = world.entry(1, &client).live.lock().steps[0].clone();
    let feed = world.entry(1, &client).feed.clone();
    let durable = feed
        .bell
        .until(|| step.agreement.is_durable().then_some(()));
    futures::executor::block_on(durable);
    world.commit(0, &client);
    let disk = world.places[1].log.clone();
    let held = disk.hold_syncs();
    world.commit(1, &client);
    held.wait();
    world.ratify();
    assert_eq!(world.status(1, &client), "committed");
    drop(held);
    world.node(1).stop();
    assert_eq!(world.status(1, &client), "committed");
    world.advance(5_000);
    assert!(
        world.wire.lock().submitted.is_empty(),
        "there is nothing to submit"
    );
}
