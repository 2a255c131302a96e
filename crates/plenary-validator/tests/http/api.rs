//! The node API: what a network says of itself.

use crate::network::{Network, header};
use futures::StreamExt as _;
use plenary_types::{Digest, StateKey, StateProof, genesis::ClientSignatures};
use reqwest::Response;
use serde_json::{Value, json};

/// The first event of a stream, as its text.
pub async fn next_event(events: Response) -> String {
    assert_eq!(header(&events, "content-type"), "text/event-stream");
    let mut stream = events.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        if text.contains("\n\n") {
            break;
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_describes_itself() {
    let network = Network::start(ClientSignatures::Optional).await;
    for account in ["ann", "bob", "cleo"] {
        let target = format!("/accounts/{account}/deposits");
        assert_eq!(network.post(0, &target, &json!(5)).await.status(), 200);
    }
    let get = async |target: &str| -> Value {
        let response = network.get(0, target).await;
        assert_eq!(response.status(), 200, "{target}");
        response.json().await.unwrap()
    };
    let status = get("/plenary/v1/status").await;
    assert_eq!(status["height"], 3);
    assert_eq!(status["service"]["name"], "bank");
    let validators = get("/plenary/v1/validators").await;
    assert_eq!(validators["quorum"], 3);
    assert_eq!(validators["validators"].as_array().unwrap().len(), 4);
    let block = get("/plenary/v1/blocks/2").await;
    assert_eq!(block["header"]["height"], 2);
    assert_eq!(block["transactions"][0]["outcome"], "committed");
    assert_eq!(get("/plenary/v1/evidence").await, json!({ "evidence": [] }));
    let openapi = get("/plenary/v1/openapi.json").await;
    assert_eq!(openapi["openapi"], "3.1.0");
    assert!(openapi["paths"]["/accounts/{account}/deposits"]["post"].is_object());
    assert!(openapi["paths"]["/plenary/v1/receipts/{hash}"]["get"].is_object());
    let genesis = network
        .get(0, "/plenary/v1/genesis")
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(
        plenary_types::Genesis::from_toml(&genesis).unwrap().hash(),
        network.genesis.hash()
    );

    for (account, value) in [("bob", json!(5)), ("nobody", Value::Null)] {
        let entry = get(&format!("/plenary/v1/state/accounts/{account}")).await;
        assert_eq!(entry["value"], value);
        let root: Digest = entry["state_root"].as_str().unwrap().parse().unwrap();
        assert_eq!(entry["state_root"], status["state_root"]);
        let proof: StateProof = serde_json::from_value(entry["proof"].clone()).unwrap();
        let key = StateKey::new("accounts", account.as_bytes()).unwrap();
        let proven = proof.verify(&root, &key).unwrap();
        assert_eq!(proven.is_some(), !value.is_null());
    }

    let metrics = network.get(0, "/metrics").await.text().await.unwrap();
    assert!(metrics.contains("plenary_height 3"), "{metrics}");
    assert!(metrics.contains("plenary_transactions_committed_total 3"));
    assert_eq!(network.get(0, "/livez").await.status(), 200);
    assert_eq!(network.get(0, "/readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_resume_after_what_a_client_has_seen() {
    let network = Network::start(ClientSignatures::Optional).await;
    for _ in 0..3 {
        network.post(1, "/accounts/ann/deposits", &json!(1)).await;
    }
    let url = network.url(1, "/plenary/v1/events");
    let resumed = network
        .http
        .get(url)
        .header("last-event-id", "1")
        .send()
        .await
        .unwrap();
    let event = next_event(resumed).await;
    assert!(event.contains("id: 2\n"), "{event}");
    assert!(event.contains("event: block\n"));
}
