//! Direct mode: each request through consensus, each with one effect.

use crate::{
    bank::deposit_request,
    network::{Network, header, problem},
};
use plenary_types::{PrivateKey, Receipt, genesis::ClientSignatures};
use serde_json::{Value, json};

fn client() -> PrivateKey {
    PrivateKey::from_seed([77; 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_final_when_it_is_answered_and_its_receipt_verifies_offline() {
    let network = Network::start(ClientSignatures::Optional).await;
    let answer = network.post(0, "/accounts/ann/deposits", &json!(5)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "plenary-finality"), "final");
    let transaction = header(&answer, "plenary-tx").to_owned();
    let height = header(&answer, "plenary-height").to_owned();
    assert_eq!(answer.json::<Value>().await.unwrap(), 5);

    // What was confirmed can be found at the same node at once, and proven.
    let target = format!("/plenary/v1/receipts/{transaction}");
    let receipt: Receipt = network.get(0, &target).await.json().await.unwrap();
    receipt.verify(&network.genesis).unwrap();
    assert_eq!(receipt.header.height.to_string(), height);
    let found = network
        .get(0, &format!("/plenary/v1/transactions/{transaction}"))
        .await;
    assert_eq!(found.json::<Value>().await.unwrap()["outcome"], "committed");
    let read = network.get(0, "/accounts/ann").await;
    assert_eq!(read.json::<Value>().await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_first_answer_from_any_validator_even_after_a_restart() {
    let mut network = Network::start(ClientSignatures::Required).await;
    let deposit = deposit_request("bob", 3);
    let send = |network: &Network, validator| {
        network
            .signed(validator, &deposit, &client(), "once")
            .send()
    };
    let first = send(&network, 0).await.unwrap();
    let transaction = header(&first, "plenary-tx").to_owned();
    assert_eq!(first.json::<Value>().await.unwrap(), 3);
    for validator in 0..4 {
        let again = send(&network, validator).await.unwrap();
        assert_eq!(header(&again, "plenary-tx"), transaction);
        assert_eq!(again.json::<Value>().await.unwrap(), 3);
    }
    network.stop_all().await;
    network.start_all().await;
    let again = send(&network, 2).await.unwrap();
    assert_eq!(header(&again, "plenary-tx"), transaction);
    // The same nonce for another request is no retry.
    let other = network.signed(1, &deposit_request("bob", 4), &client(), "once");
    assert_eq!(
        problem(other.send().await.unwrap()).await,
        (422, "nonce-reused".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_contend_for_one_key_are_all_committed_once() {
    let network = Network::start(ClientSignatures::Optional).await;
    let sends = (0..12).map(|index| {
        let url = network.url(index % 4, "/accounts/hot/deposits");
        let request = network.http.post(url).header("prefer", "wait=60");
        request.json(&1).send()
    });
    let mut answers = Vec::new();
    for answer in futures::future::join_all(sends).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        answers.push(answer.json::<u64>().await.unwrap());
    }
    answers.sort_unstable();
    assert_eq!(
        answers,
        (1..=12).collect::<Vec<_>>(),
        "each saw what the ones before had done"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_refusal_leaves_no_trace() {
    let network = Network::start(ClientSignatures::Optional).await;
    let transfer = json!({ "from": "nobody", "to": "ann", "amount": 1 });
    let refused = network.post(0, "/transfers", &transfer).await;
    assert_eq!(problem(refused).await, (409, "overdrawn".into()));
    let status: Value = network
        .get(0, "/plenary/v1/status")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&status["height"], &status["pending"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_is_told_where_to_ask() {
    let network = Network::start(ClientSignatures::Optional).await;
    let url = network.url(0, "/accounts/eve/deposits");
    let answer = network
        .http
        .post(url)
        .header("prefer", "respond-async")
        .json(&1)
        .send()
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 202);
    let location = header(&answer, "location").to_owned();
    let events = network.get(0, "/plenary/v1/events?from=1").await;
    crate::api::next_event(events).await;
    let found: Value = network.get(0, &location).await.json().await.unwrap();
    assert_eq!(found["status"], "final");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_does_not_hold_is_refused_with_the_reason() {
    let network = Network::start(ClientSignatures::Required).await;
    let deposit = deposit_request("ann", 1);
    let unsigned = network.post(0, "/accounts/ann/deposits", &json!(1)).await;
    assert_eq!(problem(unsigned).await, (401, "signature-required".into()));
    let signed = || network.signed(0, &deposit, &client(), "n");
    let altered = signed().body("2").send().await.unwrap();
    assert_eq!(
        problem(altered).await,
        (400, "content-digest-mismatch".into())
    );
    // Signed for one validator, sent to another.
    let (_, built) = signed().build_split();
    let mut elsewhere = built.unwrap();
    *elsewhere.url_mut() = network.url(1, "/accounts/ann/deposits").parse().unwrap();
    let elsewhere = network.http.execute(elsewhere).await.unwrap();
    assert_eq!(problem(elsewhere).await, (401, "signature-invalid".into()));
    let (_, built) = signed().build_split();
    let mut garbled = built.unwrap();
    let garbage = "plenary=:AAAA:".parse().unwrap();
    garbled.headers_mut().insert("signature", garbage);
    let garbled = network.http.execute(garbled).await.unwrap();
    assert_eq!(problem(garbled).await.0, 401);
    let read = network.get(0, "/accounts/ann").await;
    assert_eq!(read.status(), 200, "reads need no signature");
    let fine = signed().send().await.unwrap();
    assert_eq!(fine.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_moves_on_reads_what_it_wrote() {
    let network = Network::start(ClientSignatures::Optional).await;
    for round in 1..=10_usize {
        let answer = network
            .post(round % 4, "/accounts/moving/deposits", &json!(1))
            .await;
        let height = header(&answer, "plenary-height").to_owned();
        let url = network.url((round + 1) % 4, "/accounts/moving");
        let read = network
            .http
            .get(url)
            .header("plenary-height", height)
            .send()
            .await
            .unwrap();
        assert_eq!(read.json::<usize>().await.unwrap(), round);
    }
    let ahead = network.http.get(network.url(0, "/accounts/moving"));
    let ahead = ahead
        .header("plenary-height", "99")
        .header("prefer", "respond-async");
    assert_eq!(
        problem(ahead.send().await.unwrap()).await,
        (503, "behind".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receipt_is_of_can_be_fetched_and_hashed() {
    let network = Network::start(ClientSignatures::Optional).await;
    let answer = network.post(0, "/accounts/ann/deposits", &json!(5)).await;
    let hash = header(&answer, "plenary-tx").to_owned();
    let url = network.url(0, &format!("/plenary/v1/transactions/{hash}"));
    let octets = network
        .http
        .get(url)
        .header("accept", "application/octet-stream");
    let bytes = octets.send().await.unwrap().bytes().await.unwrap();
    let transaction: plenary_types::Transaction = plenary_types::decode(bytes).unwrap();
    assert_eq!(transaction.hash().to_string(), hash);
    assert_eq!(transaction.operations[0].response.body, "5");
}
