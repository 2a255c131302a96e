//! A handler that never comes back, in a transaction that a Byzantine originator made.

use crate::{
    bank,
    world::{World, link, run},
};
use bytes::Bytes;
use plenary_types::{Author, Method, Operation, Response, Transaction};
use plenary_validator::mempool::Candidate;
use std::{sync::atomic::Ordering, time::Duration};

#[test]
fn a_handler_that_never_comes_back_gets_into_no_block_and_stops_nobody() {
    run(0, 4, link(), async |mut world: World| {
        world.start_all(0..4).await;
        world.deposit(0, 1);
        world.settle(Duration::from_secs(60)).await;

        // An honest originator would hang on it; this one makes up the response.
        let operation = Operation {
            request: bank::request(Method::Post, "/loops", &()),
            author: Author::Anonymous {
                nonce: Bytes::from_static(b"loop"),
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
        let transaction =
            Transaction::sign(&key, &genesis, service, vec![operation], None, Vec::new());
        let looping = Candidate::new(transaction.unwrap());
        let hash = world.submit(3, looping);

        for validator in 0..4 {
            world.deposit(validator, 2);
        }
        world.settle(Duration::from_secs(600)).await;
        world.assert_agreement_and_validity();
        for node in world.nodes() {
            assert!(node.store.transaction(&hash).unwrap().is_none());
        }
        bank::RELEASED.store(true, Ordering::Relaxed);
    });
}
