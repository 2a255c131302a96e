//! A handler that never comes back, in a transaction that a Byzantine originator made.

use crate::{
    bank,
    world::{World, link, run},
};
use bytes::Bytes;
use plenary_types::{Author, Method, Operation, Response, Transaction, encode};
use plenary_validator::{guard::MOST_ABANDONED, mempool::Candidate};
use std::{sync::atomic::Ordering, time::Duration};

/// What a Byzantine originator makes up, where an honest one would hang.
fn looping(world: &World, nonce: u8) -> Candidate {
    let operation = Operation {
        request: bank::request(Method::Post, "/loops", &()),
        author: Author::Anonymous {
            nonce: Bytes::copy_from_slice(&[nonce]),
        },
        time: world.network.now(),
        reads: Vec::new(),
        response: Response {
            status: 200,
            content_type: "application/json".into(),
            body: Bytes::from_static(b"true"),
        },
    };
    let (genesis, service) = (world.genesis.hash(), world.genesis.service.clone());
    let key = world.node(3).key;
    let transaction = Transaction::sign(&key, &genesis, service, vec![operation], None, Vec::new());
    Candidate::new(transaction.unwrap())
}

#[test]
fn a_handler_that_never_comes_back_gets_into_no_block_and_stops_nobody() {
    run(0, 4, link(), async |mut world: World| {
        world.start_all(0..4).await;
        world.deposit(0, 1);
        world.settle(Duration::from_secs(60)).await;

        let candidate = looping(&world, 0);
        let hash = world.submit(3, candidate);
        for validator in 0..4 {
            world.deposit(validator, 2);
        }
        world.settle(Duration::from_secs(600)).await;
        world.assert_agreement_and_validity();
        for node in world.nodes() {
            assert!(node.store.transaction(&hash).unwrap().is_none());
        }

        // More of the same costs nobody a second thread, and the other routes go on.
        for nonce in 1..=2 * MOST_ABANDONED as u8 {
            let message = encode(&looping(&world, nonce).transaction);
            for node in world.nodes() {
                node.receive_all([message.clone()]);
            }
        }
        for validator in 0..4 {
            world.deposit(validator, 3);
        }
        world.settle(Duration::from_secs(60)).await;
        world.assert_agreement_and_validity();
        let abandoned = world.nodes().map(|node| node.guard.abandoned());
        assert!(abandoned.max() <= Some(1));
        bank::RELEASED.store(true, Ordering::Relaxed);
    });
}
