//! Transactions that validators refuse: sent again as long as any of them may lie, and given up once
//! no block will have them.

use crate::{
    support::Client,
    world::{World, anonymous, code, stepped},
};
use plenary_session::{
    commit::Word, feed::Event, follow::submit::Refused, session::Status, step::token,
};
use plenary_types::{Operation, Problem, Stage, Transaction, TransactionHash};
use plenary_validator::testing::bank::deposit_request;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A session of a node whose commit is on its way.
fn committing() -> (World, Client, TransactionHash) {
    let world = World::new(1);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("ann", 5));
    world.commit(0, &client);
    let hash = world.wire.lock().submitted[0].0.hash();
    (world, client, hash)
}

fn problem(code: &str) -> Problem {
    Problem::new(422, code, "as the validator says").at(Stage::Layer1)
}

fn refuse(world: &World, transaction: TransactionHash, validator: usize, problem: Problem) {
    world.node(0).refused(&Refused {
        transaction,
        validator: world.layer1.genesis.validators[validator].key,
        problem,
    });
}

fn is_given_up(world: &World, client: &Client) -> bool {
    let status = world.entry(0, client).live.lock().status.clone();
    matches!(status, Status::Refused(_))
}

#[test]
fn what_one_honest_validator_refuses_for_good_is_given_up_and_its_session_rejected() {
    let (mut world, client, hash) = committing();
    for validator in [2, 2] {
        refuse(&world, hash, validator, problem("service-version"));
        assert_eq!(world.status(0, &client), "committing", "one may lie");
    }
    refuse(&world, hash, 0, problem("service-version"));
    for restarted in [false, true] {
        if restarted {
            world.restart(0);
        }
        assert_eq!(world.status(0, &client), "rejected");
        let status = world.entry(0, &client).live.lock().status.clone();
        let Status::Refused(reason) = status else {
            panic!("{status:?}");
        };
        let told = reason.problem();
        assert_eq!(
            (&*told.code, told.tx_hash),
            ("refused-for-good", Some(hash))
        );
        assert_eq!(told.extra["reason"], "service-version");
        assert_eq!(world.node(0).pending(), 0);
        world.wire.lock().submitted.clear();
        world.advance(60_000);
        assert!(
            world.wire.lock().submitted.is_empty(),
            "it is not sent again"
        );
    }
    let mut again = client.clone();
    let refused = world.try_step(0, &mut again, deposit_request("ann", 5));
    assert_eq!(code(refused), "session-not-open");
    assert!(
        world.try_commit(0, &client).is_ok(),
        "which tells the same again"
    );
    assert_eq!(world.status(0, &client), "rejected");
}

#[test]
fn whoever_follows_a_session_is_told_that_it_is_rejected_without_a_block() {
    let (world, client, hash) = committing();
    for validator in 0..2 {
        refuse(&world, hash, validator, problem("commitment-signature"));
    }
    let feed = world.entry(0, &client).feed.clone();
    let last = (0..).map_while(|at| feed.at(at)).last();
    let (transaction, height) = (hash, None);
    assert_eq!(
        last,
        Some(Event::Rejected {
            transaction,
            height
        })
    );
}

#[test]
fn lies_of_as_many_validators_as_may_lie_keep_no_session_from_being_committed() {
    let (mut world, client, hash) = committing();
    for code in ["client-signature", "service-version", "already-in-block"] {
        refuse(&world, hash, 3, problem(code));
    }
    // Not for good, whoever says it.
    for validator in 0..4 {
        refuse(&world, hash, validator, problem("operation-time"));
        refuse(&world, hash, validator, problem("no-such-code"));
        refuse(
            &world,
            hash,
            validator,
            problem("already-in-block").about(hash),
        );
    }
    // By nobody's validator.
    world.node(0).refused(&Refused {
        transaction: hash,
        validator: Client::new(77, "s").key.public_key(),
        problem: problem("client-signature"),
    });
    assert_eq!(world.status(0, &client), "committing");
    world.advance(2_000);
    world.ratify();
    assert_eq!(world.status(0, &client), "committed");
}

#[test]
fn a_transaction_that_grew_too_old_is_given_up() {
    let (mut world, client, hash) = committing();
    world.advance(DAY_MS);
    for validator in 0..4 {
        refuse(&world, hash, validator, problem("operation-time"));
    }
    assert!(!is_given_up(&world, &client), "a block can still have it");
    world.advance(1);
    for validator in 0..2 {
        refuse(&world, hash, validator, problem("operation-time"));
    }
    assert!(is_given_up(&world, &client));
    world.advance(1_000);
    assert!(is_given_up(&world, &client), "its client can still ask why");
    world.advance(17 * 60_000);
    assert!(world.find(0, client.session()).is_none());
}

/// An operation of a client that does not sign may be committed without its session.
#[test]
fn an_operation_that_is_committed_elsewhere_ends_the_session() {
    for committing_first in [false, true] {
        let mut world = World::new(1);
        let step = |nonce, token, account| {
            let asked = anonymous(nonce, token, deposit_request(account, 5));
            match world.node(0).sessions.page(None, 1).first() {
                Some(entry) => world.node(0).step(entry, asked),
                None => world.node(0).open(asked),
            }
        };
        let first = stepped(step("1", None, "ann"));
        let session = first.promise.session;
        let second = stepped(step(
            "2",
            Some(token(b"1", &deposit_request("ann", 5))),
            "bob",
        ));
        let genesis = world.layer1.genesis.clone();
        let operations = vec![Operation::clone(&second.operation)];
        let (key, service) = (world.places[0].key, genesis.service.clone());
        let alone = Transaction::sign(&key, &genesis.hash(), service, operations, None, Vec::new());
        let entry = world.find(0, session).unwrap();
        let commit = |world: &World| world.node(0).commit(&entry, Word::Whole(None)).unwrap();
        let mut hash = None;
        if committing_first {
            commit(&world);
            hash = Some(world.wire.lock().submitted.remove(0).0.hash());
        }
        world.layer1.submit(alone.unwrap());
        world.ratify();
        if !committing_first {
            commit(&world);
            hash = Some(world.wire.lock().submitted.remove(0).0.hash());
            for validator in 0..2 {
                let status = entry.live.lock().status.name();
                assert_eq!(status, "committing");
                refuse(
                    &world,
                    hash.unwrap(),
                    validator,
                    problem("already-in-block"),
                );
            }
        }
        let status = entry.live.lock().status.clone();
        let Status::Refused(reason) = status else {
            panic!("{status:?}");
        };
        assert_eq!(
            (Some(reason.transaction), &*reason.code),
            (hash, "already-in-block")
        );
        assert_eq!(world.node(0).pending(), 0);
    }
}

/// A validator's clock may have been wrong, or the block on its way: what is final counts.
#[test]
fn a_block_that_has_the_session_all_the_same_counts() {
    for restarted in [false, true] {
        let (mut world, client, hash) = committing();
        world.submit();
        for validator in 0..2 {
            refuse(&world, hash, validator, problem("client-signature"));
        }
        assert!(is_given_up(&world, &client));
        if restarted {
            world.restart(0);
        }
        world.ratify();
        assert_eq!(world.status(0, &client), "committed");
    }
}
