//! Malformed and oversized input: a clear problem each, and nothing lost.

use crate::network::{Network, problem};
use plenary_types::genesis::ClientSignatures;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_problem_with_a_stable_code_and_loses_nothing() {
    let network = Network::start(ClientSignatures::Optional).await;
    let post = |target: &str, body: Vec<u8>| {
        let url = network.url(0, target);
        network
            .http
            .post(url)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("/accounts/ann/deposits", b"nope".to_vec(), 400),
        ("/accounts/ann/deposits", b"\"five\"".to_vec(), 422),
        ("/accounts/ann/deposits", vec![b' '; 300 * 1024], 413),
        ("/no/such/route", b"1".to_vec(), 404),
        ("/accounts/ann", b"1".to_vec(), 405),
        ("/plenary/v1/transactions", b"garbage".to_vec(), 400),
        ("/plenary/v1/transactions", vec![0xFF; 2 * 1024 * 1024], 413),
    ];
    for (target, body, status) in cases {
        let (found, code) = problem(post(target, body).await.unwrap()).await;
        assert_eq!(found, status, "{target}: {code}");
    }
    let long = format!("/accounts/{}", "x".repeat(4000));
    assert_eq!(problem(network.get(0, &long).await).await.0, 414);
    for (target, status) in [
        ("/plenary/v1/blocks/abc", 400),
        ("/plenary/v1/blocks/99", 404),
        ("/plenary/v1/blocks", 400),
        ("/plenary/v1/blocks?from=x", 400),
        ("/plenary/v1/blocks?from=1", 406),
        ("/plenary/v1/receipts/zz", 400),
        ("/plenary/v1/transactions/00", 400),
        ("/plenary/v1/state/accounts/0xzz", 400),
        ("/plenary/v1/state/accounts/ann?height=77", 404),
        ("/plenary/v1/events?from=x", 400),
        ("/plenary/v1/nothing", 404),
    ] {
        let (found, code) = problem(network.get(0, target).await).await;
        assert_eq!(found, status, "{target}: {code}");
    }
    let delete = network
        .http
        .delete(network.url(0, "/plenary/v1/status"))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(delete).await.0, 405);
    let answer = network.post(0, "/accounts/ann/deposits", &json!(1)).await;
    assert_eq!(answer.json::<Value>().await.unwrap(), 1, "the node goes on");
}
