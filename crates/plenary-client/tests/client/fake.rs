//! A validator of a test's own making: it answers what the test says, and keeps what it is asked.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use plenary_client::Client;
use plenary_types::{
    ClientSignature, Method, Problem, Stage, TransactionHash, signature::verify_content_digest,
    testing::Network,
};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// What a validator was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    /// Checks the signature as a validator does, and gives it.
    pub(crate) fn signature(&self, origin: &str) -> ClientSignature {
        let request = plenary_types::Request {
            method: self.method.parse::<Method>().unwrap(),
            target: self.target.clone(),
            content_type: self.header("content-type").into(),
            body: self.body.clone(),
        };
        verify_content_digest(self.header("content-digest"), &self.body).unwrap();
        let (input, value) = (self.header("signature-input"), self.header("signature"));
        let signature = ClientSignature::from_headers(input, value, origin).unwrap();
        signature.verify(&request).unwrap();
        signature
    }
}

/// A validator that runs.
pub(crate) struct Fake {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts a validator that answers with `answer`, given how often it was asked before.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Asked) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        let router = Router::new().fallback(move |request: Request<Body>| async move {
            let (parts, body) = request.into_parts();
            let asked = Asked {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                headers: parts.headers,
                body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
            };
            let count = {
                let mut kept = kept.lock().unwrap();
                kept.push(asked.clone());
                kept.len() - 1
            };
            answer(count, &asked)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A URL at which nobody listens.
pub(crate) async fn dead_url() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A client that asks everyone once.
pub(crate) fn client(urls: &[&str]) -> Client {
    Client::new(urls).unwrap().with_patience(Duration::ZERO)
}

/// A client that asks everyone once and believes nobody.
pub(crate) fn wary(urls: &[&str], network: &Network) -> Client {
    client(urls).with_genesis(network.genesis.clone())
}

pub(crate) fn json(status: u16, body: impl serde::Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = serde_json::to_vec(&body).unwrap();
    (status, [("content-type", "application/json")], body).into_response()
}

/// A handler's response that is final.
pub(crate) fn final_answer(status: u16, body: Value, transaction: TransactionHash) -> Response {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    headers.insert("plenary-finality", "final".parse().unwrap());
    headers.insert("plenary-height", "7".parse().unwrap());
    headers.insert("plenary-tx", transaction.to_string().parse().unwrap());
    headers.insert("plenary-session", "02".repeat(32).parse().unwrap());
    response
}

/// The answer of a validator whose wait ended before the transaction was final.
pub(crate) fn pending(transaction: TransactionHash) -> Response {
    let mut response = json(202, serde_json::json!({ "status": "pending" }));
    let value = transaction.to_string().parse().unwrap();
    response.headers_mut().insert("plenary-tx", value);
    response
}

pub(crate) fn problem(problem: &Problem) -> Response {
    let response = problem.to_response();
    let status = StatusCode::from_u16(response.status).unwrap();
    (
        status,
        [("content-type", response.content_type)],
        response.body,
    )
        .into_response()
}

/// A problem that may pass.
pub(crate) fn busy() -> Response {
    problem(
        &Problem::new(503, "mempool-full", "too much waits")
            .at(Stage::Layer1)
            .retryable(),
    )
}
