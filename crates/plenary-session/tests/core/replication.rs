//! Replication: peers come to have what the originator has, in whatever order, late, or twice; and
//! any of them can go on with it.

use crate::{
    support::Client,
    world::{World, code, number, stepped},
};
use plenary_session::{commit::Rerun, message::Message, participation::Participation, step::Asked};
use plenary_store::testing::Random;
use plenary_types::SessionId;
use plenary_validator::testing::bank::deposit_request;

#[test]
fn messages_in_any_order_lost_or_twice_leave_every_node_with_the_same_chain() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut world = World::new(3);
        let mut client = Client::new(1, "a");
        let mut on_their_way = Vec::new();
        for step in 0..8 {
            world.step(0, &mut client, deposit_request("ann", step + 1));
            on_their_way.extend(world.intercept());
            for _ in 0..random.below(6) {
                if on_their_way.is_empty() {
                    break;
                }
                let at = random.below(on_their_way.len() as u64) as usize;
                match random.below(4) {
                    0 => drop(on_their_way.swap_remove(at)),
                    1 => world.deliver(&on_their_way[at].clone()),
                    _ => {
                        let envelope = on_their_way.swap_remove(at);
                        world.deliver(&envelope);
                    }
                }
                on_their_way.extend(world.intercept());
            }
        }
        // A last step that arrives tells who is behind of what it lacks.
        world.advance(1_000);
        world.step(0, &mut client, deposit_request("ann", 9));
        world.settle();
        for node in 0..3 {
            let chain = world.chain(node, &client);
            assert_eq!(chain, client.chain(), "seed {seed}, node {node}");
        }
        world.commit(2, &client);
        world.ratify();
        assert_eq!(world.status(1, &client), "committed");
    }
}

#[test]
fn a_peer_that_was_away_gets_all_that_it_lacks() {
    let mut world = World::new(2);
    world.crash(1);
    let mut client = Client::new(1, "a");
    for _ in 0..5 {
        world.step(0, &mut client, deposit_request("ann", 5));
    }
    world.settle();
    world.start(1);
    let last = world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    assert_eq!(world.chain(1, &client), client.chain());
    assert!(last.agreement.is_replicated());
    world.restart(1);
    assert_eq!(
        world.chain(1, &client),
        client.chain(),
        "and has it on disk"
    );
}

#[test]
fn a_peer_that_lacks_steps_of_a_third_node_gets_them_as_well() {
    let mut world = World::new(3);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    world.step(0, &mut client, deposit_request("ann", 5));
    for envelope in world.intercept() {
        if envelope.to == 1 {
            world.deliver(&envelope);
        }
    }
    world.settle();
    world.crash(0);
    // Node 2 lacks the second step, whose originator is dead.
    world.step(1, &mut client, deposit_request("ann", 5));
    world.settle();
    assert_eq!(world.chain(2, &client), client.chain());
}

/// A client that signs two steps at once, at two nodes, has itself to blame; the nodes do not.
#[test]
fn nodes_with_two_chains_of_one_session_do_not_talk_for_ever() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    let mut other = client.clone();
    world.step(0, &mut client, deposit_request("ann", 5));
    world.step(1, &mut other, deposit_request("ann", 7));
    world.settle();
    for _ in 0..3 {
        world.step(0, &mut client, deposit_request("ann", 5));
        world.step(1, &mut other, deposit_request("ann", 7));
        world.settle();
        world.advance(2_000);
    }
    world.commit(1, &other);
    world.ratify();
    for node in [0, 1] {
        assert_eq!(world.status(node, &client), "committed");
    }
}

#[test]
fn a_node_that_takes_no_more_sessions_does_not_ask_for_their_steps_for_ever() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.crash(1);
    world.intercept();
    world.bounds.sessions = 0;
    world.start(1);
    for _ in 0..20 {
        world.step(0, &mut client, deposit_request("ann", 5));
    }
    world.settle();
    assert!(world.node(1).sessions.is_empty());
}

#[test]
fn a_peer_at_a_lower_height_waits_until_it_has_the_block() {
    let mut world = World::new(2);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.settle();
    world.commit(0, &ann);
    world.submit();
    world.layer1.ratify(world.now());
    world.feed(0);
    let step = world.step(0, &mut bob, deposit_request("shared", 1));
    assert_eq!(
        (number(&step.operation.response), step.promise.height),
        (6, 1)
    );
    world.settle();
    assert!(world.find(1, bob.session()).is_none());
    world.feed(1);
    world.settle();
    assert_eq!(world.chain(1, &bob), bob.chain());
    assert!(step.agreement.is_replicated());
}

#[test]
fn a_peer_at_a_higher_height_runs_the_step_on_the_height_that_it_names() {
    let mut world = World::new(2);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    let step = world.step(0, &mut bob, deposit_request("shared", 1));
    let late = world.intercept();
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.commit(0, &ann);
    world.ratify();
    late.iter().for_each(|envelope| world.deliver(envelope));
    world.settle();
    assert_eq!(world.chain(1, &bob), bob.chain());
    assert!(step.agreement.is_replicated());
}

#[test]
fn another_node_goes_on_with_a_session_and_commits_it() {
    for participation in [Participation::Own, Participation::Any(2)] {
        let mut world = World::participating(3, participation);
        let mut client = Client::new(1, "a");
        world.step(0, &mut client, deposit_request("ann", 5));
        world.settle();
        let asked = client.ask(world.now(), deposit_request("ann", 5));
        let step = stepped(world.ask(0, &client, asked.clone()));
        world.settle();
        assert!(step.agreement.holds());
        client.saw(&step);
        world.crash(0);
        let again = stepped(world.ask(1, &client, asked));
        world.settle();
        assert!(again.agreement.holds(), "also for a retry, {participation}");
        let step = world.step(1, &mut client, deposit_request("ann", 5));
        world.settle();
        assert!(step.agreement.holds());
        world.commit(1, &client);
        world.start(0);
        world.feed(0);
        world.ratify();
        for node in 0..3 {
            let entry = world.find(node, client.session());
            let status = entry.map(|entry| entry.live.lock().status.name());
            assert_eq!(status, Some("committed"), "node {node}");
        }
        let committed = &world.layer1.blocks[0].0.transactions[0];
        assert_eq!(committed.operations, client.seen);
    }
}

#[test]
fn a_node_that_lacks_what_the_client_has_seen_says_so() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    world.step(0, &mut client, deposit_request("ann", 5));
    world.intercept();
    world.crash(0);
    let refused = world.try_step(1, &mut client, deposit_request("ann", 5));
    assert_eq!(code(refused), "chain-differs");
}

/// A conflict is of one chain; a message from before it does not bring that chain back.
#[test]
fn a_message_from_before_a_conflict_does_not_open_the_session() {
    let mut world = World::new(2);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.step(0, &mut bob, deposit_request("shared", 7));
    world.step(0, &mut bob, deposit_request("bob", 7));
    let proposals = world.intercept();
    proposals.iter().for_each(|one| world.deliver(one));
    world.settle();
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    assert_eq!(world.status(1, &bob), "conflict");
    proposals.iter().for_each(|one| world.deliver(one));
    world.settle();
    assert_eq!(world.status(1, &bob), "conflict");
    let entry = world.entry(0, &bob);
    let rerun = world.node(0).rebase(&entry).unwrap();
    bob.seen.clear();
    rerun.iter().for_each(|rerun| bob.saw(&rerun.step));
    world.settle();
    assert_eq!(world.chain(1, &bob), bob.chain());
}

/// The peer lacked the last step when layer 1 decided; the conflict is of its session all the same.
#[test]
fn a_rebase_reaches_a_peer_that_had_only_a_part_of_the_session() {
    for restarted in [false, true] {
        let mut world = World::new(2);
        let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
        world.step(0, &mut ann, deposit_request("shared", 5));
        world.step(0, &mut bob, deposit_request("shared", 7));
        world.settle();
        world.step(0, &mut bob, deposit_request("bob", 7));
        world.intercept();
        world.commit(0, &ann);
        world.commit(0, &bob);
        world.ratify();
        if restarted {
            world.restart(1);
        }
        assert_eq!(world.status(1, &bob), "conflict");
        let entry = world.entry(0, &bob);
        let rerun = world.node(0).rebase(&entry).unwrap();
        bob.seen.clear();
        rerun.iter().for_each(|rerun| bob.saw(&rerun.step));
        world.settle();
        assert_eq!(world.chain(1, &bob), bob.chain());
        let replicated = |rerun: &Rerun| rerun.step.agreement.is_replicated();
        assert!(rerun.iter().all(replicated));
    }
}

#[test]
fn a_peer_that_had_only_a_part_of_a_session_in_conflict_rebases_all_of_it() {
    let mut world = World::new(2);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.step(0, &mut bob, deposit_request("shared", 7));
    world.settle();
    world.step(0, &mut bob, deposit_request("bob", 7));
    world.intercept();
    world.commit(0, &ann);
    world.commit(0, &bob);
    world.ratify();
    let entry = world.entry(1, &bob);
    let rerun = world.node(1).rebase(&entry).unwrap();
    assert_eq!(rerun.len(), 2);
}

#[test]
fn a_replica_of_a_session_that_is_committed_is_settled_after_a_restart() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    world.commit(0, &client);
    world.ratify();
    // The end of the session was not written before the crash; the block was.
    world.restart(1);
    let asked = Asked {
        seen: None,
        ..client.ask(world.now(), deposit_request("ann", 5))
    };
    let refused = world.ask(1, &client, asked);
    assert!(refused.is_err(), "it is committed: {refused:?}");
}

#[test]
fn what_is_no_message_or_of_no_session_node_changes_nothing() {
    let world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let proposal = world.wire.lock().messages.remove(0).unwrap();
    let stranger = Client::new(77, "s").key.public_key();
    let own = world.places[1].key.public_key();
    let node = world.node(1);
    node.receive(stranger, proposal.bytes.clone());
    node.receive(own, proposal.bytes.clone());
    let from = world.places[0].key.public_key();
    for bytes in [&[][..], &[9], &[0, 0], &proposal.bytes[1..]] {
        node.receive(from, bytes.to_vec().into());
    }
    let unknown = Message::Behind {
        session: SessionId([9; 32]),
        from: u32::MAX,
    };
    node.receive(from, plenary_types::encode(&unknown));
    assert!(node.sessions.is_empty());
    assert!(world.wire.lock().messages.is_empty());
    assert_eq!(node.metrics.garbage.get(), 4);
}
