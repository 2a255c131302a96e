//! What validators tell of sessions: all that layer 1 has decided, and nothing that anyone but the
//! owner has signed.

use crate::{
    bank::deposit_request,
    network::{Network, header, now_s, problem},
};
use plenary_service::Simulation;
use plenary_types::{
    Author, ClientSignature, Commitment, Operation, PrivateKey, Request, SessionId, Timestamp,
    Transaction, encode,
    genesis::{ClientSignatures, Member},
    session::chain_digest,
};
use reqwest::Response;
use serde_json::{Value, json};

fn session_node() -> PrivateKey {
    PrivateKey::from_seed([100; 32])
}

fn owner() -> PrivateKey {
    PrivateKey::from_seed([77; 32])
}

async fn network() -> Network {
    let member = Member {
        name: "session-0".into(),
        key: session_node().public_key(),
    };
    Network::with_session_nodes(ClientSignatures::Optional, vec![member]).await
}

/// A request that a client has signed as a step of a session.
fn asked(client: &PrivateKey, nonce: &str, request: Request) -> (Request, Author) {
    let signed = ClientSignature::sign_in_session(client, &request, "http://a:1", nonce, now_s());
    (request, Author::Signed(signed.unwrap()))
}

/// The steps of a session as a session node runs them on the state of now.
fn run(network: &Network, steps: &[(Request, Author)]) -> Vec<Operation> {
    let node = network.validators[0].node();
    let (_, view) = node.store.state().latest();
    let mut session = plenary_service::Session::open(steps[0].1.operation().into());
    let operations = steps.iter().map(|(request, author)| {
        let (request, author) = (request.clone(), author.clone());
        let now = Timestamp(now_s() * 1000);
        match session.simulate(&node.executor, view.clone(), request, author, now) {
            Ok(Simulation::Answered(operation)) => operation,
            other => panic!("{other:?}"),
        }
    });
    operations.collect()
}

/// The session node's transaction of what a client has committed itself to.
fn transaction(network: &Network, client: &PrivateKey, operations: &[Operation]) -> Transaction {
    let (genesis, service) = (network.genesis.hash(), network.genesis.service.clone());
    let word = Commitment::sign(client, &genesis, &chain_digest(operations));
    let operations = operations.to_vec();
    let word = Some(word);
    Transaction::sign(&session_node(), &genesis, service, operations, word, vec![]).unwrap()
}

async fn submit(network: &Network, transaction: &Transaction) -> Response {
    let url = network.url(0, "/plenary/v1/transactions");
    let request = network.http.post(url).body(encode(transaction));
    request.send().await.unwrap()
}

/// Submits a transaction that must have an outcome, and gives the height of its block.
async fn land(network: &Network, transaction: &Transaction, status: u16) -> u64 {
    let answer = submit(network, transaction).await;
    let height = header(&answer, "plenary-height").parse().unwrap();
    assert_eq!(answer.status(), status, "{:?}", answer.text().await);
    height
}

/// Somebody else deposits, and is answered by transaction and height.
async fn deposit(network: &Network, account: &str) -> String {
    let target = format!("/accounts/{account}/deposits");
    let answer = network.post(0, &target, &json!(1)).await;
    assert_eq!(answer.status(), 200);
    header(&answer, "plenary-tx").to_owned()
}

/// What all validators tell of a session at a height, which must be one and the same.
async fn told(network: &Network, session: SessionId, height: u64) -> Value {
    let mut told = Vec::new();
    for validator in 0..4 {
        let url = network.url(validator, &format!("/plenary/v1/sessions/{session}"));
        let request = network.http.get(url).header("plenary-height", height);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{body}");
        told.push(body);
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    told.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_validator_tells_what_layer_1_decided_of_a_session_last_and_what_is_committed_for_ever()
 {
    let mut network = network().await;
    let steps = [
        asked(&owner(), "open", deposit_request("bob", 2)),
        asked(&owner(), "next", deposit_request("ann", 5)),
    ];
    let session = SessionId::from(steps[0].1.operation());
    let stale = run(&network, &steps);
    let winner = deposit(&network, "ann").await;
    let lost = transaction(&network, &owner(), &stale);
    let height = land(&network, &lost, 409).await;
    let conflict = told(&network, session, height).await;
    assert_eq!(conflict["session"], json!(session));
    assert_eq!(conflict["status"], "conflict");
    assert_eq!(conflict["owner"], json!(owner().public_key()));
    assert_eq!(conflict["chain"], json!(chain_digest(&stale)));
    assert_eq!(conflict["transaction"], json!(lost.hash()));
    assert_eq!(conflict["height"], height);
    let why = &conflict["why"];
    assert_eq!(
        (&why["code"], &why["step"]),
        (&json!("conflict"), &json!(1))
    );
    assert!(why["keys"][0].as_str().unwrap().contains("ann"), "{why}");
    assert_eq!(why["winner"], winner);
    let second = &conflict["operations"][1];
    assert_eq!(second["sequence"], 1);
    assert_eq!(second["operation"], json!(stale[1].id()));
    assert_eq!(second["target"], "/accounts/ann/deposits");
    assert_eq!(
        (&second["status"], &second["finality"]),
        (&json!(200), &json!("simulated"))
    );

    // Who changes the key after that has won nothing; and a restart forgets nothing.
    let later = deposit(&network, "ann").await;
    network.stop_all().await;
    network.start_all().await;
    let still = told(&network, session, height + 1).await;
    assert_eq!(still["transaction"], json!(lost.hash()));
    assert_ne!(still["why"]["winner"], later);

    // The same requests are run again by a node that lies about a response.
    let mut wrong = run(&network, &steps);
    wrong[1].response.body = "500".into();
    let wrong = transaction(&network, &owner(), &wrong);
    let height = land(&network, &wrong, 422).await;
    let rejected = told(&network, session, height).await;
    assert_eq!(rejected["status"], "rejected");
    assert_eq!(rejected["transaction"], json!(wrong.hash()));
    assert_eq!(rejected["why"]["code"], "rejected");
    let signer = session_node().public_key().to_string();
    assert!(
        rejected["why"]["detail"]
            .as_str()
            .unwrap()
            .contains(&signer)
    );

    // And then as they are.
    let right = transaction(&network, &owner(), &run(&network, &steps));
    let height = land(&network, &right, 200).await;
    let committed = told(&network, session, height).await;
    assert_eq!(committed["status"], "committed");
    assert_eq!(committed["transaction"], json!(right.hash()));
    assert_eq!(committed["height"], height);
    assert_eq!(committed["operations"][0]["finality"], "final");
    assert_eq!(committed["why"], Value::Null);
    network.stop_all().await;
    network.start_all().await;
    assert_eq!(told(&network, session, height).await, committed);
    network.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_another_has_signed_changes_what_is_told_of_a_session() {
    let mut network = network().await;
    let steps = [
        asked(&owner(), "open", deposit_request("bob", 2)),
        asked(&owner(), "next", deposit_request("ann", 5)),
    ];
    let session = SessionId::from(steps[0].1.operation());
    let stale = run(&network, &steps);
    deposit(&network, "ann").await;
    let lost = transaction(&network, &owner(), &stale);
    let height = land(&network, &lost, 409).await;
    let before = told(&network, session, height).await;

    // A stranger may have its way with all that is in the ledger: the owner's operations under
    // its own word, cut short without any, or behind one of its own.
    let stranger = PrivateKey::from_seed([78; 32]);
    let (genesis, service) = (network.genesis.hash(), network.genesis.service.clone());
    let now = run(&network, &steps);
    let cut = vec![now[0].clone()];
    let cut = Transaction::sign(&session_node(), &genesis, service, cut, None, vec![]).unwrap();
    let own = asked(&stranger, "open", deposit_request("cleo", 1));
    let mut behind = run(&network, std::slice::from_ref(&own));
    behind.push(now[0].clone());
    for (forged, code) in [
        (
            transaction(&network, &stranger, &now),
            "commitment-signature",
        ),
        (cut, "commitment-signature"),
        (transaction(&network, &stranger, &behind), "mixed-authors"),
    ] {
        let refused = problem(submit(&network, &forged).await).await;
        assert_eq!(refused, (422, code.into()));
    }
    // A session of its own by the same nonce is another one.
    let theirs = transaction(&network, &stranger, &run(&network, &[own]));
    let height = land(&network, &theirs, 200).await;
    assert_eq!(told(&network, session, height).await, before);

    // What commits the session's opening as a later step of another session commits that one.
    let other = [
        asked(&owner(), "other", deposit_request("cleo", 1)),
        steps[0].clone(),
    ];
    let other = run(&network, &other);
    let height = land(&network, &transaction(&network, &owner(), &other), 200).await;
    assert_eq!(told(&network, session, height).await, before);
    assert_eq!(
        told(&network, other[0].id().into(), height).await["status"],
        "committed"
    );
    network.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_layer_1_has_not_decided_is_to_be_asked_for_at_session_nodes() {
    let mut network = network().await;
    let open = SessionId([5; 32]);
    let target = format!("/plenary/v1/sessions/{open}");
    let body: Value = network.get(0, &target).await.json().await.unwrap();
    assert!(
        body["detail"].as_str().unwrap().contains("session node"),
        "{body}"
    );
    let refused = problem(network.get(0, &target).await).await;
    assert_eq!(refused, (404, "unknown-decided-session".into()));
    network.stop_all().await;
}
