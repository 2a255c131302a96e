//! What a proof is found to say.

#![allow(clippy::unwrap_used)]
use super::*;
use plenary_types::{
    Author, Operation, PrivateKey, Promise, Transaction,
    genesis::{ClientSignatures, Member},
    session::{EMPTY_CHAIN, chain_link},
    testing::{NOW, Network, request, response},
};

const NODES: [[u8; 32]; 2] = [[200; 32], [201; 32]];

/// A network whose session nodes' keys are known.
fn network() -> Network {
    let mut network = Network::new(4);
    let nodes = NODES.iter().enumerate().map(|(index, seed)| Member {
        name: format!("session-{index}"),
        key: PrivateKey::from_seed(*seed).public_key(),
    });
    network.genesis = Genesis::new(
        "test-network",
        NOW,
        ClientSignatures::Optional,
        network.genesis.service.clone(),
        network.genesis.validators.clone(),
        nodes.collect(),
        Value::Null,
    )
    .unwrap();
    network
}

fn step(answer: &str) -> Operation {
    Operation {
        request: request("/work", "{}"),
        author: Author::Anonymous {
            nonce: "nonce".into(),
        },
        time: NOW,
        reads: Vec::new(),
        response: response(200, answer),
    }
}

/// What is found of `originator`'s commit of `answer`, where the first node had promised `1`.
fn checked(originator: usize, answer: &str) -> Result<Broken, Failure> {
    let network = network();
    let (genesis, promised) = (network.genesis.hash(), step("1"));
    let promise = Promise::sign(
        &PrivateKey::from_seed(NODES[0]),
        &genesis,
        promised.id().into(),
        0,
        NOW,
        1,
        chain_link(&EMPTY_CHAIN, &promised),
    );
    let transaction = Transaction::sign(
        &PrivateKey::from_seed(NODES[originator]),
        &genesis,
        network.genesis.service.clone(),
        vec![step(answer)],
        None,
        Vec::new(),
    )
    .unwrap();
    let block = network.committed(&network.genesis_block().header, vec![transaction.clone()]);
    let proof = BrokenPromise {
        promise,
        transaction,
        receipt: network.receipt(&block, 0, 0),
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proof.json");
    std::fs::write(&file, serde_json::to_string(&proof).unwrap()).unwrap();
    Broken::check(&file, &network.genesis)
}

#[test]
fn a_broken_promise_is_told_by_name() {
    let own = checked(0, "2").unwrap();
    assert!(own.human().contains("session-0 broke its word"));
    assert_eq!(own.value()["promised_by"]["name"], "session-0");
    let others = checked(1, "2").unwrap();
    assert!(others.human().contains("session-1 committed another"));
}

#[test]
fn a_kept_promise_proves_nothing() {
    let Err(refused) = checked(0, "1") else {
        panic!("it proves something");
    };
    assert!(refused.to_string().contains("the promise was kept"));
}
