//! Participation: a step waits for exactly as many nodes as are asked for, and for nobody else.

use crate::{
    support::Client,
    world::{World, code, stepped},
};
use plenary_session::{
    message::{Endorse, Message},
    participation::Participation,
};
use plenary_types::{Signature, encode};
use plenary_validator::testing::bank::deposit_request;

/// How many endorsements a step at node 0 of three waits for before it is answered.
fn waits_for(participation: Participation) -> usize {
    let mut world = World::participating(3, participation);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    let proposals = world.intercept();
    assert_eq!(proposals.len(), 2, "all others get the step in any case");
    let mut endorsements = 0;
    for proposal in proposals {
        if step.agreement.holds() {
            break;
        }
        world.deliver(&proposal);
        world.settle();
        endorsements += 1;
        assert_eq!(step.agreement.endorsements().len(), endorsements);
    }
    assert!(step.agreement.holds());
    endorsements
}

#[test]
fn a_step_waits_for_as_many_nodes_as_its_participation_says() {
    assert_eq!(waits_for(Participation::Own), 0);
    assert_eq!(waits_for(Participation::Any(1)), 0);
    assert_eq!(waits_for(Participation::Any(2)), 1);
    assert_eq!(waits_for(Participation::Majority), 1);
    assert_eq!(waits_for(Participation::Any(3)), 2);
    assert_eq!(waits_for(Participation::All), 2);
}

#[test]
fn a_dead_peer_delays_nobody_who_does_not_need_it() {
    for participation in [
        Participation::Own,
        Participation::Any(2),
        Participation::Majority,
    ] {
        let mut world = World::participating(3, participation);
        world.crash(1);
        let mut client = Client::new(1, "a");
        let step = world.step(0, &mut client, deposit_request("ann", 5));
        world.settle();
        assert!(step.agreement.holds(), "{participation}");
    }
    let mut world = World::participating(3, Participation::All);
    world.crash(1);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    world.settle();
    assert!(!step.agreement.holds(), "all means all");
}

#[test]
fn an_endorsement_that_comes_twice_counts_once() {
    let mut world = World::participating(3, Participation::All);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    let proposals = world.intercept();
    for _ in 0..3 {
        world.deliver(&proposals[0]);
    }
    for endorsement in world.intercept() {
        world.deliver(&endorsement);
        world.deliver(&endorsement);
    }
    assert_eq!(step.agreement.endorsements().len(), 1);
    assert!(!step.agreement.holds());
}

/// Connections break: what was on them is lost, and the client asks again.
#[test]
fn a_retry_asks_the_peers_again() {
    let mut world = World::participating(2, Participation::All);
    let mut client = Client::new(1, "a");
    let asked = client.ask(world.now(), deposit_request("ann", 5));
    let step = stepped(world.ask(0, &client, asked.clone()));
    world.intercept();
    assert!(!step.agreement.holds());
    stepped(world.ask(0, &client, asked.clone()));
    let proposals = world.intercept();
    proposals.iter().for_each(|one| world.deliver(one));
    world.intercept();
    assert!(!step.agreement.holds(), "now the endorsement was lost");
    stepped(world.ask(0, &client, asked));
    world.settle();
    assert!(step.agreement.holds());
}

/// An endorsement is of a chain, not of a number.
#[test]
fn a_late_endorsement_of_a_void_step_counts_for_none_that_replaced_it() {
    let mut world = World::new(2);
    let (mut ann, mut bob) = (Client::new(1, "a"), Client::new(2, "b"));
    world.step(0, &mut ann, deposit_request("shared", 5));
    world.settle();
    world.step(0, &mut bob, deposit_request("shared", 7));
    let proposal = world.intercept().remove(0);
    world.deliver(&proposal);
    let late = world.intercept().remove(0);
    world.commit(0, &ann);
    world.ratify();
    world.commit(0, &bob);
    world.ratify();
    let entry = world.entry(0, &bob);
    let rerun = world.node(0).rebase(&entry).unwrap();
    world.intercept();
    world.deliver(&late);
    assert!(
        !rerun[0].step.agreement.is_replicated(),
        "the peer has not got this step"
    );
}

/// A peer's word on its own connection is enough for an answer; what goes to layer 1 is signed.
#[test]
fn a_commit_does_not_count_an_endorsement_that_does_not_verify() {
    let mut world = World::participating(2, Participation::All);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    let proposals = world.intercept();
    let forged = Message::Endorse(Endorse {
        session: client.session(),
        sequence: 0,
        chain: step.promise.chain,
        signature: Signature([7; 64]),
    });
    let peer = world.node(1).key.public_key();
    world.node(0).receive(peer, encode(&forged));
    assert!(step.agreement.holds());
    assert_eq!(code(world.try_commit(0, &client)), "participation");
    proposals.iter().for_each(|one| world.deliver(one));
    world.settle();
    world.commit(0, &client);
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
}
