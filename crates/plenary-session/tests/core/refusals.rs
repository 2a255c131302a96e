//! What a node refuses, with which code; a session is what it was after each.

use crate::{
    support::Client,
    world::{World, anonymous, code, stepped},
};
use plenary_session::{
    commit::Word,
    node::Bounds,
    step::{Asked, Ran},
};
use plenary_types::{Author, ClientSignature, Digest, Method, limits::MAX_OPERATIONS};
use plenary_validator::testing::bank::{deposit_request, request};

#[test]
fn another_clients_session_is_foreign() {
    let world = World::new(1);
    let (mut ann, mut eve) = (Client::new(1, "a"), Client::new(2, "e"));
    world.step(0, &mut ann, deposit_request("ann", 5));
    let chain = world.chain(0, &ann);
    let entry = world.entry(0, &ann);
    let asked = Asked {
        seen: None,
        ..eve.ask(world.now(), deposit_request("ann", 5))
    };
    assert_eq!(code(world.node(0).step(&entry, asked)), "foreign-session");
    let unsigned = anonymous("e", None, deposit_request("ann", 5));
    assert_eq!(
        code(world.node(0).step(&entry, unsigned)),
        "foreign-session"
    );
    assert_eq!(world.chain(0, &ann), chain);
}

#[test]
fn a_session_of_a_token_takes_nothing_without_it() {
    let world = World::new(1);
    let node = world.node(0);
    let opened = node.open(anonymous("a", None, deposit_request("ann", 5)));
    let Ok(Ran::Stepped(opened)) = opened else {
        panic!("{opened:?}");
    };
    for token in [None, Some(String::new()), Some("0".repeat(64))] {
        let asked = anonymous("b", token, deposit_request("ann", 5));
        assert_eq!(code(node.step(&opened.entry, asked)), "foreign-session");
    }
    let signed = Client::new(1, "e").ask(world.now(), deposit_request("ann", 5));
    assert_eq!(code(node.step(&opened.entry, signed)), "foreign-session");
}

#[test]
fn a_session_that_is_not_here_is_unknown() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.intercept();
    let asked = world.try_step(1, &mut client, deposit_request("ann", 5));
    assert_eq!(code(asked), "unknown-session");
}

#[test]
fn an_expired_session_is_over() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.advance(world.bounds.time_limit.as_millis() as u64);
    let asked = world.try_step(0, &mut client, deposit_request("ann", 5));
    assert_eq!(code(asked), "session-over");
    assert_eq!(code(world.try_commit(0, &client)), "session-over");
    assert_eq!(world.status(0, &client), "expired");
}

#[test]
fn a_session_that_commits_takes_no_more_steps() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.commit(0, &client);
    let asked = world.try_step(0, &mut client, deposit_request("ann", 5));
    assert_eq!(code(asked), "session-not-open");
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
    let asked = world.try_step(0, &mut client, deposit_request("ann", 5));
    assert_eq!(code(asked), "session-not-open");
    let entry = world.entry(0, &client);
    assert_eq!(code(world.node(0).abort(&entry)), "session-not-open");
}

/// A committed session is soon forgotten; its opening is a retry all the same.
#[test]
fn a_committed_session_is_not_opened_again() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    let opening = client.ask(world.now(), deposit_request("ann", 5));
    let ran = world.ask(0, &client, opening.clone());
    client.saw(&crate::world::stepped(ran));
    world.settle();
    world.commit(0, &client);
    world.ratify();
    world.advance(1);
    let fresh = Client::new(1, "a");
    for node in [0, 1] {
        assert!(world.find(node, client.session()).is_none());
        let again = world.ask(node, &fresh, opening.clone());
        assert_eq!(code(again), "already-in-block");
        world.restart(node);
        world.advance(1);
        let again = world.ask(node, &fresh, opening.clone());
        assert_eq!(code(again), "already-in-block");
    }
}

#[test]
fn one_nonce_is_one_request() {
    let world = World::new(1);
    let mut client = Client::new(1, "a");
    let mut twin = client.clone();
    world.step(0, &mut client, deposit_request("ann", 5));
    let asked = twin.ask(world.now(), deposit_request("ann", 6));
    assert_eq!(code(world.ask(0, &twin, asked)), "nonce-reused");
}

#[test]
fn there_are_only_so_many_sessions_at_a_time() {
    let bounds = Bounds {
        sessions: 2,
        ..Bounds::default()
    };
    let mut world = World::with(1, bounds);
    for name in ["a", "b"] {
        world.step(0, &mut Client::new(1, name), deposit_request("ann", 5));
    }
    let mut client = Client::new(1, "c");
    let refused = world.try_step(0, &mut client, deposit_request("ann", 5));
    let problem = refused.unwrap_err().problem();
    assert_eq!((problem.status, &*problem.code), (429, "too-many-sessions"));
    let limit = world.bounds.time_limit.as_millis() as u64;
    world.advance(limit);
    world.advance(60_000);
    world.step(0, &mut client, deposit_request("ann", 5));
}

#[test]
fn a_session_has_only_so_many_steps() {
    let world = World::new(1);
    let mut client = Client::new(1, "a");
    let touch = || request(Method::Post, "/accounts/ann/touches", &());
    for _ in 0..MAX_OPERATIONS {
        world.step(0, &mut client, touch());
    }
    assert_eq!(
        code(world.try_step(0, &mut client, touch())),
        "session-full"
    );
    world.commit(0, &client);
}

#[test]
fn a_session_has_only_so_many_bytes_and_what_fits_can_be_committed() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    let large = || plenary_types::Request {
        body: vec![b' '; 200_000].into(),
        ..request(Method::Post, "/accounts/ann/touches", &())
    };
    let refused = loop {
        match world.try_step(0, &mut client, large()) {
            Ok(Ran::Stepped(stepped)) => client.saw(&stepped.step),
            other => break code(other),
        }
    };
    assert_eq!(refused, "session-full");
    world.commit(0, &client);
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
}

#[test]
fn a_client_that_has_seen_another_chain_is_told() {
    let world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let asked = Asked {
        seen: Some(Digest([7; 32])),
        ..client.ask(world.now(), deposit_request("ann", 5))
    };
    assert_eq!(code(world.ask(0, &client, asked)), "chain-differs");
}

/// A node told its client a lie, and proposed the truth to the others. The client turned to one of
/// them with a request that the liar had proposed as well, and got an answer that did not follow from
/// what it had seen.
#[test]
fn a_client_that_has_seen_another_chain_is_told_of_a_step_that_is_there_already_too() {
    let world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let asked = client.ask(world.now(), deposit_request("ann", 6));
    let step = stepped(world.ask(0, &client, asked.clone()));
    let again = stepped(world.ask(0, &client, asked.clone()));
    assert_eq!(again.promise, step.promise);
    let deceived = Asked {
        seen: Some(Digest([7; 32])),
        ..asked
    };
    assert_eq!(code(world.ask(0, &client, deceived)), "chain-differs");
}

#[test]
fn a_commit_needs_the_clients_signature_over_this_chain_on_this_network() {
    let world = World::new(1);
    let (mut client, eve) = (Client::new(1, "a"), Client::new(2, "e"));
    world.step(0, &mut client, deposit_request("ann", 5));
    let short = client.clone();
    world.step(0, &mut client, deposit_request("ann", 5));
    let (node, entry) = (world.node(0), world.entry(0, &client));
    let (other, _) = crate::world::network(3);
    let mut forger = client.clone();
    forger.key = eve.key;
    let genesis = &world.layer1.genesis;
    let words = [
        (Word::Whole(None), "commitment-required"),
        (short.word(genesis), "commitment-signature"),
        (forger.word(genesis), "commitment-signature"),
        (client.word(&other.genesis), "commitment-signature"),
    ];
    for (word, expected) in words {
        assert_eq!(code(node.commit(&entry, word)), expected);
        assert_eq!(world.status(0, &client), "open");
    }
    node.commit(&entry, client.word(genesis)).unwrap();
}

#[test]
fn a_step_that_closes_needs_the_clients_signature_over_itself() {
    let mut world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    let genesis = world.layer1.genesis.hash();
    let last = client.ask(world.now(), deposit_request("ann", 7));
    let sign = |client: &Client, request: &plenary_types::Request| {
        let last = last.author.operation();
        let key = &client.key;
        plenary_types::Commitment::sign_closing(key, &genesis, &client.chain(), last, request)
            .signature
    };
    let wrong = sign(&client, &deposit_request("ann", 8));
    let forged = Asked {
        commitment: Some(wrong),
        ..last.clone()
    };
    assert_eq!(code(world.ask(0, &client, forged)), "commitment-signature");
    let right = sign(&client, &last.request);
    let closing = Asked {
        commitment: Some(right),
        ..last
    };
    let step = crate::world::stepped(world.ask(0, &client, closing));
    client.saw(&step);
    let entry = world.entry(0, &client);
    let word = Word::Closing(Some(wrong));
    assert_eq!(
        code(world.node(0).commit(&entry, word)),
        "commitment-signature"
    );
    let word = Word::Closing(Some(right));
    world.node(0).commit(&entry, word).unwrap();
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
}

/// Where the client signs requests for one operation alone, they are no steps.
#[test]
fn a_signature_for_another_request_does_not_replicate() {
    let mut world = World::new(2);
    let mut client = Client::new(1, "a");
    let asked = client.ask(world.now(), deposit_request("ann", 5));
    let other = deposit_request("ann", 500);
    let seconds = world.now().0 / 1000;
    let stolen = ClientSignature::sign_in_session(
        &client.key,
        &deposit_request("ann", 5),
        "http://node",
        "stolen",
        seconds,
    );
    let forged = Asked {
        request: other,
        author: Author::Signed(stolen.unwrap()),
        ..asked
    };
    // The server in front of this node would have refused it; its peers do, whatever it does.
    world.ask(0, &client, forged).unwrap();
    world.settle();
    assert!(world.node(1).sessions.is_empty());
}
