//! A service's requests: signed, sent until they are answered, and one effect each.

use crate::fake::{Asked, Fake, busy, client, dead_url, final_answer, json, pending, problem};
use axum::response::Response;
use bytes::Bytes;
use plenary_client::{Client, ClientError};
use plenary_types::{
    Method, Problem, Request, SessionId, Stage, TransactionHash,
    testing::{self, request},
};
use serde_json::{Value, json};
use std::time::Duration;

const HASH: TransactionHash = TransactionHash([1; 32]);

fn done() -> Response {
    final_answer(201, json!({ "id": "7" }), HASH)
}

fn signing(urls: &[&str]) -> Client {
    client(urls).with_key(testing::client(1))
}

#[tokio::test]
async fn a_request_arrives_signed_for_the_validator_that_gets_it() {
    let validator = Fake::start(|_, _| done()).await;
    let client = signing(&[&validator.url]);
    let body = json!({ "operator_id": "OPR-001" });
    client.post("/session/start?trace=1", &body).await.unwrap();
    client.get("/session/7/scan/PKG-1").await.unwrap();

    let asked = validator.asked();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        ("POST", "/session/start?trace=1")
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&asked[0].body).unwrap(),
        body
    );
    assert_eq!((asked[1].method.as_str(), asked[1].body.len()), ("GET", 0));
    let signatures: Vec<_> = asked
        .iter()
        .map(|asked| asked.signature(&validator.url))
        .collect();
    for signature in &signatures {
        assert_eq!(signature.key(), testing::client(1).public_key());
    }
    assert_ne!(signatures[0].nonce(), signatures[1].nonce());
}

#[tokio::test]
async fn an_answer_says_what_the_framework_says() {
    let validator = Fake::start(|_, _| done()).await;
    let answer = signing(&[&validator.url])
        .post("/a", &json!({}))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (201, "application/json")
    );
    assert_eq!(answer.json::<Value>().unwrap(), json!({ "id": "7" }));
    assert_eq!(answer.finality.as_deref(), Some("final"));
    assert_eq!(answer.transaction, Some(HASH));
    assert_eq!(answer.height, Some(7));
    assert_eq!(answer.session, Some(SessionId([2; 32])));
    assert_eq!(answer.url, validator.url);
    assert!(matches!(answer.json::<u8>(), Err(ClientError::Form { .. })));
}

#[tokio::test]
async fn without_a_key_a_request_has_an_idempotency_key() {
    let validator = Fake::start(|_, _| json(200, 1)).await;
    client(&[&validator.url]).get("/a").await.unwrap();
    let asked = &validator.asked()[0];
    assert!(!asked.header("idempotency-key").is_empty());
    assert!(asked.headers.get("signature").is_none());
}

/// The nonces that validators were asked with.
fn nonces(url: &str, asked: &[Asked]) -> Vec<String> {
    let nonces = asked
        .iter()
        .map(|asked| asked.signature(url).nonce().to_owned());
    nonces.collect()
}

#[tokio::test]
async fn where_a_validator_does_not_answer_the_next_gets_the_same_request() {
    let broken = Fake::start(|_, _| json(500, "no problem of RFC 9457")).await;
    let busy = Fake::start(|_, _| busy()).await;
    let good = Fake::start(|_, _| done()).await;
    // The connection breaks while the validator is at it.
    let (listener, gone) = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let dead = dead_url().await;
    let urls = [&dead, &gone, &broken.url, &busy.url, &good.url];
    let client = signing(&urls.map(String::as_str));
    let answer = client.post("/a", &json!({})).await.unwrap();
    assert_eq!((answer.status, answer.url), (201, good.url.clone()));

    let nonce = nonces(&good.url, &good.asked());
    assert_eq!(nonces(&broken.url, &broken.asked()), nonce);
    assert_eq!(nonces(&busy.url, &busy.asked()), nonce);

    // The one that answered is asked first from then on.
    client.post("/b", &json!({})).await.unwrap();
    assert_eq!((busy.asked().len(), good.asked().len()), (1, 2));
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again_with_the_same_nonce() {
    let validator = Fake::start(|count, _| match count {
        0 | 1 => busy(),
        2 => pending(HASH),
        _ => done(),
    })
    .await;
    let client = signing(&[&validator.url]).with_patience(Duration::from_secs(30));
    let answer = client.post("/a", &json!({})).await.unwrap();
    assert_eq!(answer.status, 201);
    let nonces = nonces(&validator.url, &validator.asked());
    assert_eq!(nonces.len(), 4);
    assert!(nonces.iter().all(|nonce| *nonce == nonces[0]));
}

#[tokio::test]
async fn a_refusal_is_an_error_at_once_and_carries_the_problem() {
    let refusal = Problem::not_found("operator", "OPR-9").with("operator", "OPR-9");
    let refused = refusal.clone();
    let validator = Fake::start(move |_, _| problem(&refused)).await;
    let other = Fake::start(|_, _| done()).await;
    let client = signing(&[&validator.url, &other.url]).with_patience(Duration::from_secs(30));
    let error = client.post("/a", &json!({})).await.unwrap_err();
    assert_eq!(error.problem(), Some(&refusal));
    assert_eq!(
        error.to_string(),
        format!(
            "{} answers 404 unknown-operator: there is no operator OPR-9",
            validator.url
        )
    );
    assert_eq!((validator.asked().len(), other.asked().len()), (1, 0));
}

#[tokio::test]
async fn a_refusal_on_record_is_an_answer() {
    let validator = Fake::start(|_, _| {
        let mut response = problem(&Problem::unprocessable("failed-qc", "failed"));
        let headers = response.headers_mut();
        headers.insert("plenary-finality", "final".parse().unwrap());
        headers.insert("plenary-tx", HASH.to_string().parse().unwrap());
        response
    })
    .await;
    let answer = signing(&[&validator.url])
        .post("/a", &json!({}))
        .await
        .unwrap();
    assert_eq!((answer.status, answer.transaction), (422, Some(HASH)));
}

#[tokio::test]
async fn what_is_not_final_in_time_is_named() {
    let validator = Fake::start(|_, _| pending(HASH)).await;
    let error = signing(&[&validator.url])
        .post("/a", &json!({}))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Pending {
                transaction: HASH,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_retry_with_a_nonce_of_ones_own_is_the_same_request() {
    let validator = Fake::start(|_, _| done()).await;
    let client = signing(&[&validator.url]);
    let request = request("/a", "{}");
    for _ in 0..2 {
        client.send(&request, Some("order-17")).await.unwrap();
    }
    assert_eq!(
        nonces(&validator.url, &validator.asked()),
        ["order-17", "order-17"]
    );
}

#[tokio::test]
async fn nobody_there_is_said_with_every_reason() {
    let (one, two) = (dead_url().await, dead_url().await);
    let error = client(&[&one, &two])
        .get("/a")
        .await
        .unwrap_err()
        .to_string();
    for url in [&one, &two] {
        assert!(
            error.contains(&format!("{url} (Connection refused")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_a_validator_said_is_told_rather_than_who_was_silent() {
    let busy = Fake::start(|_, _| busy()).await;
    let dead = dead_url().await;
    let error = client(&[&busy.url, &dead]).get("/a").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "mempool-full");
    assert_eq!(error.problem().unwrap().stage, Stage::Layer1);
}

#[test]
fn urls_that_are_no_validators_are_refused() {
    for url in [
        "",
        "127.0.0.1:5000",
        "ftp://a",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://u@a",
        "http://a#b",
    ] {
        let error = Client::new([url]).unwrap_err();
        assert!(matches!(error, ClientError::Url { .. }), "{url}: {error}");
    }
    assert!(matches!(Client::new([""; 0]), Err(ClientError::NoUrl)));
    for url in [
        "http://127.0.0.1:5000",
        "http://127.0.0.1:5000/",
        "http://[::1]:5000",
        "http://h:80",
    ] {
        assert!(Client::new([url]).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn what_cannot_be_signed_and_sent_alike_is_refused_before_it_is_sent() {
    let validator = Fake::start(|_, _| done()).await;
    let client = signing(&[&validator.url]);
    for target in ["a", "", "/a b", "/a#b", "/ä"] {
        let error = client.get(target).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Request(_)),
            "{target}: {error}"
        );
    }
    for target in ["/a/../b", "/\"", "/a?'<"] {
        let error = client.get(target).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Target { .. }),
            "{target}: {error}"
        );
    }
    let large = Bytes::from(vec![b'0'; 300 * 1024]);
    let error = client.request(Method::Post, "/a", large).await.unwrap_err();
    assert!(matches!(error, ClientError::Request(_)), "{error}");
    let error = client
        .send(&request("/a", ""), Some("ä"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Sign(_)), "{error}");
    assert!(validator.asked().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let validator = Fake::start(|_, _| {
        let chunks = std::iter::repeat(Ok::<_, std::convert::Infallible>(vec![b' '; 65536]));
        Response::new(axum::body::Body::from_stream(futures::stream::iter(chunks)))
    })
    .await;
    let error = client(&[&validator.url]).get("/a").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it has more than 16777216 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Fake::start(|_, _| done()).await;
    let url = elsewhere.url.clone();
    let validator = Fake::start(move |_, _| {
        let mut response = json(307, ());
        let location = format!("{url}/b").parse().unwrap();
        response.headers_mut().insert("location", location);
        response
    })
    .await;
    let answer = signing(&[&validator.url]).get("/a").await.unwrap();
    assert_eq!((answer.status, answer.finality), (307, None));
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn clients_are_used_from_many_tasks() {
    let validator = Fake::start(|_, _| done()).await;
    let client = signing(&[&validator.url]);
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let request = Request {
                    method: Method::Put,
                    ..request(&format!("/{number}"), "{}")
                };
                client.send(&request, None).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut nonces = nonces(&validator.url, &validator.asked());
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 20);
}

/// A validator that says "behind" where the client has seen a later height than its own, 7.
fn honest(asked: &Asked) -> Response {
    match asked.header("plenary-height").parse::<u64>().unwrap() {
        0..=7 => done(),
        _ => problem(
            &Problem::new(503, "behind", "not there yet")
                .at(Stage::Layer1)
                .retryable(),
        ),
    }
}

#[tokio::test]
async fn a_client_that_moves_on_names_the_height_it_has_seen() {
    let first = Fake::start(|count, _| if count == 0 { done() } else { busy() }).await;
    let second = Fake::start(|_, asked| honest(asked)).await;
    let client = signing(&[&first.url, &second.url]);
    client.post("/a", &json!({})).await.unwrap();
    client.post("/b", &json!({})).await.unwrap();
    assert_eq!(first.asked()[0].header("plenary-height"), "0");
    assert_eq!(second.asked()[0].header("plenary-height"), "7");
}

#[tokio::test]
async fn a_validator_that_lies_about_its_height_cannot_keep_a_client_from_the_others() {
    let liar = Fake::start(|count, _| {
        let mut answer = if count == 0 { done() } else { busy() };
        let height = u64::MAX.to_string().parse().unwrap();
        answer.headers_mut().insert("plenary-height", height);
        answer
    })
    .await;
    let other = Fake::start(|_, asked| honest(asked)).await;
    let client = signing(&[&liar.url, &other.url]).with_patience(Duration::from_secs(30));
    client.post("/a", &json!({})).await.unwrap();
    let answer = client.post("/b", &json!({})).await.unwrap();
    assert_eq!(answer.url, other.url);
}
