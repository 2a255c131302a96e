//! Steps: durable before they are answered, answered once, and on what the session has written.

use crate::{
    support::Client,
    world::{World, anonymous, code, number, stepped},
};
use plenary_session::step::{Ran, token};
use plenary_types::{Method, encode};
use plenary_validator::testing::bank::{deposit_request, request, transfer_request};

#[test]
fn a_step_is_answered_once_it_is_durable_and_not_before() {
    let mut world = World::new(1);
    world.crash(0);
    world.grouped = true;
    world.start(0);
    let disk = world.places[0].log.clone();
    let held = disk.hold_syncs();
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    held.wait();
    assert!(!step.agreement.is_durable() && !step.agreement.holds());
    drop(held);
    let feed = world.entry(0, &client).feed.clone();
    let holds = feed.bell.until(|| step.agreement.holds().then_some(()));
    futures::executor::block_on(holds);
    world.restart(0);
    let chain = world.entry(0, &client).live.lock().chain();
    assert_eq!(chain, client.chain(), "what was answered is on the disk");
}

#[test]
fn each_step_is_proposed_with_the_chain_so_far() {
    let world = World::new(2);
    let mut client = Client::new(1, "a");
    for sequence in 0..3 {
        let step = world.step(0, &mut client, deposit_request("ann", 5));
        let promise = step.promise;
        assert_eq!(
            (promise.sequence, promise.chain),
            (sequence, client.chain())
        );
        assert_eq!(promise.session, client.session());
        assert!(promise.verify_proposal(&world.layer1.genesis.hash(), &step.history));
    }
}

#[test]
fn a_sessions_own_writes_are_seen_by_it_and_by_nobody_else() {
    let world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    let again = world.step(0, &mut ann, deposit_request("shared", 5));
    assert_eq!(number(&again.operation.response), 10);
    let other = world.step(0, &mut bob, deposit_request("shared", 1));
    assert_eq!(number(&other.operation.response), 1);
    let look = request(Method::Get, "/accounts/shared", &());
    let entry = world.entry(0, &ann);
    let read = |reader: &mut Client| {
        let asked = reader.ask(world.now(), look.clone());
        world
            .node(0)
            .read(&entry, &asked.request, &asked.author, None)
    };
    let (_, seen) = read(&mut ann).unwrap();
    assert_eq!(number(&seen.response()), 10);
    assert_eq!(code(read(&mut bob)), "foreign-session");
}

#[test]
fn a_session_sees_what_others_have_committed_since() {
    let mut world = World::new(1);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("own", 5));
    world.step(0, &mut bob, deposit_request("shared", 1));
    world.commit(0, &bob);
    world.ratify();
    let step = world.step(0, &mut ann, deposit_request("shared", 2));
    assert_eq!(number(&step.operation.response), 3);
    assert_eq!(step.promise.height, 1);
}

#[test]
fn a_handlers_refusal_leaves_no_trace() {
    let world = World::new(2);
    let mut client = Client::new(1, "a");
    let refused = world.try_step(0, &mut client, transfer_request("ann", "bob", 5));
    assert!(matches!(refused, Ok(Ran::Refused(response)) if response.status == 409));
    assert!(world.node(0).sessions.is_empty(), "nor a session");
    world.step(0, &mut client, deposit_request("ann", 5));
    let chain = world.chain(0, &client);
    let refused = world.try_step(0, &mut client, transfer_request("ann", "bob", 6));
    assert!(matches!(refused, Ok(Ran::Refused(_))));
    assert_eq!(world.chain(0, &client), chain);
}

#[test]
fn the_same_nonce_gets_the_same_answer_at_any_node_and_after_a_crash() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let asked = client.ask(world.now(), deposit_request("ann", 7));
    let first = stepped(world.ask(0, &client, asked.clone()));
    client.saw(&first);
    world.settle();
    let same = |world: &World, node: usize| {
        let again = stepped(world.ask(node, &client, asked.clone()));
        assert_eq!(again.operation, first.operation);
        assert_eq!(encode(&again.promise), encode(&first.promise));
        assert_eq!(world.chain(node, &client), client.chain());
    };
    same(&world, 0);
    same(&world, 1);
    world.restart(0);
    same(&world, 0);
    world.restart(1);
    same(&world, 1);
}

#[test]
fn a_retry_signed_anew_with_the_same_nonce_gets_the_same_answer() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    let before = client.clone();
    let first = world.step(0, &mut client, deposit_request("ann", 5));
    world.advance(60_000);
    let asked = before.clone().ask(world.now(), deposit_request("ann", 5));
    let again = stepped(world.ask(0, &before, asked));
    assert_eq!(again.operation, first.operation);
}

#[test]
fn a_client_that_does_not_sign_works_with_its_token() {
    let mut world = World::new(1);
    let node = world.node(0);
    let opened = node.open(anonymous("a", None, deposit_request("ann", 5)));
    let Ok(Ran::Stepped(opened)) = opened else {
        panic!("{opened:?}");
    };
    let token = Some(token(b"a", &deposit_request("ann", 5)));
    let asked = anonymous("b", token, deposit_request("ann", 5));
    let step = stepped(node.step(&opened.entry, asked.clone()));
    assert_eq!(number(&step.operation.response), 10);

    // A retry after a crash is the same step, and the token is still the owner's.
    world.restart(0);
    let entry = world.find(0, opened.entry.id).unwrap();
    let again = stepped(world.node(0).step(&entry, asked.clone()));
    assert_eq!(again.operation, step.operation);
    let next = anonymous("c", asked.token, deposit_request("ann", 5));
    let next = stepped(world.node(0).step(&entry, next));
    assert_eq!(number(&next.operation.response), 15);
}
