//! Four validators in this process, each with its own directory, engine and HTTP server.

use crate::bank;
use plenary_types::{
    ClientSignature, Genesis, Method, PrivateKey, Request, ServiceId, Timestamp,
    genesis::{ClientSignatures, Member},
    signature::content_digest,
};
use plenary_validator::{Settings, Validator, start};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

pub struct Network {
    pub genesis: Arc<Genesis>,
    pub validators: Vec<Validator>,
    pub http: Client,
    settings: Vec<Settings>,
    _directory: TempDir,
}

/// Ports that nothing else listens on: below those that the system gives away to connections, so that
/// none of them is taken before it is used, and each once in this process.
pub fn free_ports(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 40) as u16 * 512;
    let ports = std::iter::from_fn(|| Some(first + NEXT.fetch_add(1, Ordering::Relaxed) % 512));
    let addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    free.take(count).collect()
}

pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Network {
    pub async fn start(clients: ClientSignatures) -> Self {
        Self::with_session_nodes(clients, Vec::new()).await
    }

    /// A network whose genesis names these session nodes.
    pub async fn with_session_nodes(clients: ClientSignatures, session_nodes: Vec<Member>) -> Self {
        let keys: Vec<PrivateKey> = (1..=4)
            .map(|seed| PrivateKey::from_seed([seed; 32]))
            .collect();
        let members = keys.iter().enumerate().map(|(index, key)| Member {
            name: format!("validator-{index}"),
            key: key.public_key(),
        });
        let service = ServiceId {
            name: "bank".into(),
            version: "1.0.0".into(),
        };
        let genesis = Genesis::new(
            "test",
            Timestamp(now_s() * 1000),
            clients,
            service,
            members.collect(),
            session_nodes,
            Value::Null,
        );
        let genesis = Arc::new(genesis.unwrap());
        let directory = tempfile::tempdir().unwrap();
        let (ports, http) = (free_ports(4), free_ports(4));
        let settings: Vec<Settings> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| Settings {
                genesis: genesis.clone(),
                key: *key,
                data_dir: directory.path().join(index.to_string()),
                http: http[index],
                p2p: ports[index],
                peers: keys
                    .iter()
                    .map(|key| key.public_key())
                    .zip(ports.clone())
                    .collect(),
                double_run: true,
            })
            .collect();
        let mut network = Self {
            genesis,
            validators: Vec::new(),
            http: Client::new(),
            settings,
            _directory: directory,
        };
        network.start_all().await;
        network
    }

    /// Starts those that do not run, where they were before.
    pub async fn start_all(&mut self) {
        for settings in &self.settings[self.validators.len()..] {
            self.validators
                .push(start(bank::service(), settings.clone()).await.unwrap());
        }
    }

    pub async fn stop_all(&mut self) {
        self.stop_from(0).await;
    }

    /// Stops all but the first so many.
    pub async fn stop_from(&mut self, first: usize) {
        for validator in self.validators.drain(first..) {
            validator.stop().await.unwrap();
        }
    }

    pub fn origin(&self, validator: usize) -> String {
        format!("http://{}", self.validators[validator].http_addr())
    }

    pub fn url(&self, validator: usize, target: &str) -> String {
        format!("{}{target}", self.origin(validator))
    }

    pub async fn get(&self, validator: usize, target: &str) -> Response {
        self.http
            .get(self.url(validator, target))
            .send()
            .await
            .unwrap()
    }

    pub async fn post(&self, validator: usize, target: &str, body: &Value) -> Response {
        self.http
            .post(self.url(validator, target))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// A request that a client signed for a validator.
    pub fn signed(
        &self,
        validator: usize,
        request: &Request,
        client: &PrivateKey,
        nonce: &str,
    ) -> RequestBuilder {
        let origin = self.origin(validator);
        let signature = ClientSignature::sign(client, request, &origin, nonce, now_s()).unwrap();
        let (input, signature) = signature.to_headers();
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            _ => reqwest::Method::POST,
        };
        self.http
            .request(method, format!("{origin}{}", request.target))
            .header("content-type", &request.content_type)
            .header("content-digest", content_digest(&request.body))
            .header("signature-input", input)
            .header("signature", signature)
            .body(request.body.clone())
    }
}

/// A header of a response.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .unwrap_or_else(|| panic!("{name} is missing"))
        .to_str()
        .unwrap()
}

/// The stable code of a problem, checked to be one.
pub async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(
        header(&response, "content-type"),
        "application/problem+json"
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(!body["detail"].as_str().unwrap().is_empty());
    (status, body["code"].as_str().unwrap().to_owned())
}
