//! Sessions that their clients bring to a validator themselves.

use crate::{
    bank::{Transfer, deposit_request, request},
    network::{Network, now_s, problem},
};
use plenary_types::{
    Author, ClientSignature, Commitment, Method, Operation, PrivateKey, Request, Response,
    Timestamp, encode,
    genesis::ClientSignatures,
    session::{Draft, chain_digest},
};
use reqwest::Response as HttpResponse;
use serde_json::{Value, json};

fn client() -> PrivateKey {
    PrivateKey::from_seed([77; 32])
}

/// A step as its client keeps it.
fn step(nonce: &str, request: Request, body: &str) -> Operation {
    let now = now_s();
    let signed =
        ClientSignature::sign_in_session(&client(), &request, "http://a:1", nonce, now).unwrap();
    Operation {
        author: Author::Signed(signed),
        request,
        time: Timestamp(now * 1000),
        reads: Vec::new(),
        response: Response {
            status: 200,
            content_type: "application/json".into(),
            body: body.as_bytes().to_vec().into(),
        },
    }
}

/// Ann gets 5 and gives 2 of them to Bob.
fn steps(left: &str) -> Vec<Operation> {
    let transfer = Transfer {
        from: "ann".into(),
        to: "bob".into(),
        amount: 2,
    };
    vec![
        step("one", deposit_request("ann", 5), "5"),
        step("two", request(Method::Post, "/transfers", &transfer), left),
    ]
}

fn committed(network: &Network, operations: Vec<Operation>) -> Draft {
    let chain = chain_digest(&operations);
    let commitment = Commitment::sign(&client(), &network.genesis.hash(), &chain);
    Draft {
        operations,
        commitment: Some(commitment),
    }
}

async fn post(network: &Network, validator: usize, draft: &Draft) -> HttpResponse {
    let url = network.url(validator, "/plenary/v1/drafts");
    let request = network.http.post(url).body(encode(draft));
    request.send().await.unwrap()
}

async fn balance(network: &Network, account: &str) -> Value {
    let target = format!("/accounts/{account}");
    network.get(0, &target).await.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_its_client_brings_itself_is_committed_whole_and_once() {
    let network = Network::start(ClientSignatures::Required).await;
    let draft = committed(&network, steps("3"));
    let answer = post(&network, 0, &draft).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["outcome"], "committed");
    assert_eq!(balance(&network, "ann").await, 3);
    assert_eq!(balance(&network, "bob").await, 2);
    // Again, at the same validator: it says which transaction has it.
    let again = post(&network, 0, &draft).await;
    assert_eq!(
        again.headers()["plenary-tx"],
        answer["hash"].as_str().unwrap()
    );
    assert_eq!(problem(again).await, (409, "already-in-block".into()));
    assert_eq!(balance(&network, "ann").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_not_what_the_client_signed_is_named_and_nothing_submitted() {
    let network = Network::start(ClientSignatures::Required).await;
    let differing = committed(&network, steps("4"));
    let refused = post(&network, 0, &differing).await;
    assert_eq!(refused.status(), 409);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "responses-differ");
    assert_eq!(refused["step"], 1);
    assert!(
        refused["difference"]
            .as_str()
            .unwrap()
            .contains("`4` and `3`"),
        "{refused}"
    );
    // A handler that refuses now has not given the client's response either.
    let lone = committed(&network, steps("4").split_off(1));
    assert_eq!(
        problem(post(&network, 0, &lone).await).await,
        (409, "responses-differ".into())
    );
    let status = network.get(0, "/plenary/v1/status").await;
    let status: Value = status.json().await.unwrap();
    assert_eq!(
        (&status["height"], &status["pending"]),
        (&json!(0), &json!(0))
    );
}

/// A client brought its session to a validator that had not got the block yet which the session's first step had read.
/// It was told that the responses differ, and to run the session again, while every other validator would have
/// committed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_is_behind_the_sessions_state_says_so_and_runs_nothing() {
    let network = Network::start(ClientSignatures::Required).await;
    let draft = committed(&network, steps("4"));
    let url = network.url(0, "/plenary/v1/drafts");
    let request = network
        .http
        .post(url)
        .header("plenary-height", 1)
        .header("prefer", "wait=0");
    let refused = request.body(encode(&draft)).send().await.unwrap();
    assert_eq!(problem(refused).await, (503, "behind".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_to_a_closing_request_is_the_validators_to_give() {
    let network = Network::start(ClientSignatures::Required).await;
    let operations = steps("not known yet");
    let (last, seen) = operations.split_last().unwrap();
    let (genesis, chain) = (network.genesis.hash(), chain_digest(seen));
    let commitment =
        Commitment::sign_closing(&client(), &genesis, &chain, last.id(), &last.request);
    let draft = Draft {
        operations,
        commitment: Some(commitment),
    };
    assert_eq!(post(&network, 0, &draft).await.status(), 200);
    assert_eq!(balance(&network, "ann").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_that_the_client_has_not_signed() {
    let network = Network::start(ClientSignatures::Required).await;
    let good = committed(&network, steps("3"));
    let cut = Draft {
        operations: good.operations[..1].to_vec(),
        ..good.clone()
    };
    let mut altered = good.clone();
    altered.operations[0].request = deposit_request("ann", 500);
    let mut old = steps("3");
    old[0].time = Timestamp(1);
    let uncommitted = Draft {
        commitment: None,
        ..good.clone()
    };
    for (draft, code) in [
        (cut, "commitment-signature"),
        (altered, "client-signature"),
        (committed(&network, old), "client-signature"),
        (uncommitted, "commitment-signature"),
    ] {
        let refused = problem(post(&network, 0, &draft).await).await;
        assert_eq!(refused, (422, code.into()));
    }
    let url = network.url(0, "/plenary/v1/drafts");
    let garbage = network.http.post(url).body("garbage").send().await.unwrap();
    assert_eq!(problem(garbage).await, (400, "malformed-draft".into()));
    assert_eq!(balance(&network, "ann").await, 0);
}
