//! Session nodes beside four validators, all in this process, and a client of theirs.

use crate::{
    bank,
    network::{Network, free_ports, now_s},
};
use plenary_session::{SessionNode, Settings, node::Bounds, start};
use plenary_types::{
    ClientSignature, Commitment, Digest, Method, PrivateKey, Promise, Request, SessionId,
    genesis::{ClientSignatures, Member},
    session::EMPTY_CHAIN,
    signature::content_digest,
};
use reqwest::Response;
use serde_json::Value;
use tempfile::TempDir;

pub struct Nodes {
    pub network: Network,
    pub nodes: Vec<SessionNode>,
    pub settings: Vec<Settings>,
    _directory: TempDir,
}

fn key(index: usize) -> PrivateKey {
    PrivateKey::from_seed([100 + index as u8; 32])
}

impl Nodes {
    pub async fn start(count: usize, clients: ClientSignatures, bounds: Bounds) -> Self {
        let members = (0..count).map(|index| Member {
            name: format!("session-{index}"),
            key: key(index).public_key(),
        });
        let network = Network::with_session_nodes(clients, members.collect()).await;
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports(count);
        let validators = network.validators.iter().map(|validator| {
            let key = validator.node().key.public_key();
            (key, format!("http://{}", validator.http_addr()))
        });
        let validators: Vec<_> = validators.collect();
        let settings = (0..count).map(|index| Settings {
            genesis: network.genesis.clone(),
            key: key(index),
            data_dir: directory.path().join(index.to_string()),
            http: "127.0.0.1:0".parse().unwrap(),
            p2p: ports[index],
            peers: (0..count)
                .filter(|other| *other != index)
                .map(|other| (key(other).public_key(), ports[other]))
                .collect(),
            validators: validators.clone(),
            bounds: bounds.clone(),
            double_run: true,
        });
        let mut nodes = Self {
            settings: settings.collect(),
            network,
            nodes: Vec::new(),
            _directory: directory,
        };
        for settings in nodes.settings.clone() {
            nodes
                .nodes
                .push(start(bank::service(), settings).await.unwrap());
        }
        nodes
    }

    pub async fn restart(&mut self, index: usize) {
        let settings = self.settings[index].clone();
        let old = self.nodes.remove(index);
        old.stop().await;
        let new = start(bank::service(), settings).await.unwrap();
        self.nodes.insert(index, new);
    }

    pub fn url(&self, node: usize, target: &str) -> String {
        format!("http://{}{target}", self.nodes[node].http_addr())
    }

    pub async fn get(&self, node: usize, target: &str) -> Response {
        let url = self.url(node, target);
        self.network.http.get(url).send().await.unwrap()
    }

    pub async fn json(&self, node: usize, target: &str) -> Value {
        let answer = self.get(node, target).await;
        assert_eq!(answer.status(), 200, "{target}");
        answer.json().await.unwrap()
    }

    /// Waits until a node has no session in memory any more: the ledger has them.
    pub async fn forgotten(&self, node: usize) {
        let none = |metrics: String| metrics.lines().any(|line| line == "plenary_sessions 0");
        while !none(self.get(node, "/metrics").await.text().await.unwrap()) {}
    }

    pub async fn stop(mut self) {
        for node in self.nodes.drain(..) {
            node.stop().await;
        }
        self.network.stop_all().await;
    }
}

/// A client that signs, and what it has seen of one session.
pub struct Client {
    pub key: PrivateKey,
    pub chain: Digest,
    pub session: Option<SessionId>,
    count: u32,
}

impl Client {
    pub fn new(seed: u8) -> Self {
        Self {
            key: PrivateKey::from_seed([seed; 32]),
            chain: EMPTY_CHAIN,
            session: None,
            count: 0,
        }
    }

    /// A nonce that this client has not used before.
    pub fn nonce(&mut self) -> String {
        self.count += 1;
        format!("nonce-{}", self.count)
    }

    /// Sends a request that is a step of a session, or that opens one.
    pub async fn send(
        &self,
        nodes: &Nodes,
        node: usize,
        request: &Request,
        nonce: &str,
        closing: bool,
    ) -> Response {
        let origin = nodes.url(node, "");
        let key = &self.key;
        let signed = ClientSignature::sign_in_session(key, request, &origin, nonce, now_s());
        let signed = signed.unwrap();
        let (input, signature) = signed.to_headers();
        let url = nodes.url(node, &request.target);
        let http = &nodes.network.http;
        let mut sent = match request.method {
            Method::Get => http.get(url),
            Method::Delete => http.delete(url),
            _ => http.post(url),
        };
        if !request.content_type.is_empty() {
            sent = sent.header("content-type", &request.content_type);
        }
        if let Some(session) = self.session {
            sent = sent.header("plenary-session", session.to_string());
        }
        if closing {
            let genesis = nodes.network.genesis.hash();
            let id = plenary_types::Author::Signed(signed.clone()).operation();
            let word = Commitment::sign_closing(&self.key, &genesis, &self.chain, id, request);
            sent = sent.header("plenary-commitment", word.signature.to_string());
        }
        sent.header("plenary-chain", self.chain.to_string())
            .header("content-digest", content_digest(&request.body))
            .header("signature-input", input)
            .header("signature", signature)
            .body(request.body.clone())
            .send()
            .await
            .unwrap()
    }

    /// Takes the next step of its session, or opens one, and remembers what it was promised.
    pub async fn step(&mut self, nodes: &Nodes, node: usize, target: &str, body: &Value) -> Value {
        let request = post(target, body);
        let nonce = self.nonce();
        let answer = self.send(nodes, node, &request, &nonce, false).await;
        self.take(answer).await
    }

    /// Checks an answer's promise, and goes on from it.
    pub async fn take(&mut self, answer: Response) -> Value {
        let status = answer.status();
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
        let promise: Option<Promise> = header("plenary-promise").map(|text| text.parse().unwrap());
        let session = header("plenary-session");
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{status}: {body}");
        let promise = promise.unwrap();
        self.chain = promise.chain;
        self.session = Some(session.unwrap().parse().unwrap());
        serde_json::from_str(&body).unwrap()
    }

    /// Commits what it has seen.
    pub async fn commit(&mut self, nodes: &Nodes, node: usize) -> Response {
        self.commit_within(nodes, node, "wait=10").await
    }

    /// Commits what it has seen, and says how long it would wait for that.
    pub async fn commit_within(&mut self, nodes: &Nodes, node: usize, prefer: &str) -> Response {
        let session = self.session.unwrap();
        let genesis = nodes.network.genesis.hash();
        let word = Commitment::sign(&self.key, &genesis, &self.chain);
        let request = post(
            &format!("/plenary/v1/sessions/{session}/commit"),
            &Value::Null,
        );
        let origin = nodes.url(node, "");
        let nonce = self.nonce();
        let signed = ClientSignature::sign(&self.key, &request, &origin, &nonce, now_s()).unwrap();
        let (input, signature) = signed.to_headers();
        nodes
            .network
            .http
            .post(nodes.url(node, &request.target))
            .header("content-type", &request.content_type)
            .header("content-digest", content_digest(&request.body))
            .header("signature-input", input)
            .header("signature", signature)
            .header("plenary-commitment", word.signature.to_string())
            .header("prefer", prefer)
            .body(request.body.clone())
            .send()
            .await
            .unwrap()
    }

    /// Gives its session up.
    pub async fn abort(&mut self, nodes: &Nodes, node: usize) -> Response {
        let target = format!("/plenary/v1/sessions/{}", self.session.unwrap());
        let mut request = post(&target, &Value::Null);
        request.method = Method::Delete;
        let nonce = self.nonce();
        self.send(nodes, node, &request, &nonce, false).await
    }
}

pub fn post(target: &str, body: &Value) -> Request {
    Request {
        method: Method::Post,
        target: target.into(),
        content_type: "application/json".into(),
        body: body.to_string().into(),
    }
}

pub fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name);
    let value = value.unwrap_or_else(|| panic!("no {name}: {answer:?}"));
    value.to_str().unwrap().to_owned()
}

pub async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

pub async fn one_node() -> Nodes {
    Nodes::start(1, ClientSignatures::Optional, Bounds::default()).await
}

/// A client that does not sign, and its session once it has opened one.
pub struct Anonymous<'a> {
    pub nodes: &'a Nodes,
    pub session: Option<(String, String)>,
}

impl Anonymous<'_> {
    /// Sends a request to a node with an `Idempotency-Key`, until enough nodes agree.
    pub async fn post(&self, node: usize, target: &str, key: &str) -> Response {
        loop {
            let http = self.nodes.network.http.post(self.nodes.url(node, target));
            let mut http = http.header("idempotency-key", key);
            if let Some((session, token)) = &self.session {
                http = http.header("plenary-session", session);
                http = http.header("plenary-session-token", token);
            }
            let answer = http.json(&3).send().await.unwrap();
            if answer.status() != 503 {
                return answer;
            }
        }
    }
}
