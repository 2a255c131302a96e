//! Sessions through session nodes: the papers' steps, signed, every answer's promise checked.
//!
//! A session is six steps and a commit: open, make a package, scan, validate, check its quality,
//! label it, commit. First one client alone, then a closed loop of many. A commit is measured until
//! its answer; of one client also with all that the client library checks after that (it fetches the
//! transaction and its receipt from a validator).

use crate::{Node, percentile, row};
use plenary::{
    client::{Client, Session},
    types::{
        Author, ClientSignature, Commitment, Genesis, Method, PrivateKey, Request,
        signature::content_digest,
    },
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Sessions that one client measures, after a tenth of them that are not counted.
const SEQUENTIAL: usize = 200;

/// The nodes to measure, and what a client of them needs.
pub struct Network<'a> {
    pub validators: &'a [Node],
    pub session_nodes: &'a [Node],
    pub genesis: &'a Path,
}

/// Latencies in milliseconds.
#[derive(Default)]
struct Measured {
    steps: Vec<f64>,
    commits: Vec<f64>,
    checked: Vec<f64>,
    failures: usize,
}

/// One client.
struct Worker {
    client: Client,
    http: reqwest::Client,
    /// The session node that it works with.
    url: String,
    key: PrivateKey,
    genesis: Arc<Genesis>,
}

/// Measures all, and prints it.
pub async fn measure(network: &Network<'_>, clients: usize, seconds: u64) {
    alone(network).await;
    load(network, clients, seconds).await;
}

async fn alone(network: &Network<'_>) {
    let worker = Worker::new(network, 0);
    let mut measured = Measured::default();
    for number in 0..SEQUENTIAL + SEQUENTIAL / 10 {
        if number == SEQUENTIAL / 10 {
            measured = Measured::default();
        }
        let done = worker.session(&mut measured, number % 2 == 0).await;
        done.expect("a session is committed");
    }
    tell("one client, a step", measured.steps);
    tell("one client, a commit", measured.commits);
    tell("one client, a commit and its checks", measured.checked);
}

async fn load(network: &Network<'_>, clients: usize, seconds: u64) {
    let memory = || {
        let nodes = network.session_nodes.iter().map(Node::memory);
        format!("{:.0}", nodes.fold(0.0, f64::max))
    };
    row("memory of a session node before the load, MiB", memory());
    let nodes = || network.session_nodes.iter().chain(network.validators);
    let used: f64 = nodes().map(Node::processor).sum();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let loops = (0..clients).map(|index| {
        let worker = Worker::new(network, index + 1);
        tokio::spawn(async move {
            let mut measured = Measured::default();
            while Instant::now() < end {
                if worker.session(&mut measured, true).await.is_none() {
                    measured.failures += 1;
                }
            }
            measured
        })
    });
    let mut all = Measured::default();
    for task in loops.collect::<Vec<_>>() {
        let mine = task.await.unwrap();
        all.steps.extend(mine.steps);
        all.commits.extend(mine.commits);
        all.failures += mine.failures;
    }
    let took = start.elapsed().as_secs_f64();
    let rate = |count: usize| format!("{:.0}", count as f64 / took);
    row(
        &format!("{clients} clients, steps/s"),
        rate(all.steps.len()),
    );
    row(
        &format!("{clients} clients, committed sessions/s"),
        rate(all.commits.len()),
    );
    tell(&format!("{clients} clients, a step"), all.steps);
    tell(&format!("{clients} clients, a commit"), all.commits);
    row("sessions under load, failed", all.failures);
    let spent: f64 = nodes().map(Node::processor).sum();
    let cores = (spent - used) / took;
    row("processor time of all nodes, cores", format!("{cores:.2}"));
    row("memory of a session node after the load, MiB", memory());
}

fn tell(what: &str, mut latencies: Vec<f64>) {
    latencies.sort_by(f64::total_cmp);
    if latencies.is_empty() {
        return row(&format!("{what}, ms"), "none");
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let value = percentile(&latencies, share);
        row(&format!("{what}, ms, {name}"), format!("{value:.2}"));
    }
}

impl Worker {
    fn new(network: &Network<'_>, index: usize) -> Self {
        let text = std::fs::read_to_string(network.genesis).unwrap();
        let genesis = Arc::new(Genesis::from_toml(&text).unwrap());
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let key = PrivateKey::from_seed(seed);
        let url = &network.session_nodes[index % network.session_nodes.len()].url;
        let validators = network.validators.iter().map(|node| &node.url);
        let client = Client::new(validators)
            .and_then(|client| client.with_session_nodes([url]))
            .unwrap();
        Self {
            client: client.with_genesis(genesis.clone()).with_key(key),
            http: reqwest::Client::new(),
            url: url.clone(),
            key,
            genesis,
        }
    }

    /// One session; nothing where it fails.
    async fn session(&self, measured: &mut Measured, bare: bool) -> Option<()> {
        let operator = json!({ "operator_id": "OPR-001" });
        let start = Instant::now();
        let mut session = self.client.open("/session/start", &operator).await.ok()?;
        measured.steps.push(elapsed(start));
        let id = session.id();
        let mut at = Steps {
            session: &mut session,
            measured,
        };
        let made = at.post("/session/test-package", &json!({})).await?;
        let package = made["package_id"].as_str()?;
        let scan = at.get(&format!("/session/{id}/scan/{package}")).await?;
        let found = json!({ "package_id": package, "signature": scan["supplier_signature"] });
        at.post(&format!("/session/{id}/validate"), &found).await?;
        let quality = json!({ "passed": true, "issues": [] });
        at.post(&format!("/session/{id}/qc"), &quality).await?;
        let label = json!({ "destination": "Oslo", "priority": "high", "courier_id": "COU-001" });
        at.post(&format!("/session/{id}/label"), &label).await?;
        let target = format!("/commit/{id}");
        let start = Instant::now();
        match bare {
            true => {
                self.commit(&session, target, &operator).await?;
                measured.commits.push(elapsed(start));
            }
            false => {
                session.commit_with(&target, &operator).await.ok()?;
                measured.checked.push(elapsed(start));
            }
        }
        Some(())
    }

    /// Asks for the commit as the client library does, up to the answer.
    async fn commit(&self, session: &Session, target: String, body: &Value) -> Option<()> {
        let request = Request {
            method: Method::Post,
            target,
            content_type: "application/json".into(),
            body: body.to_string().into(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        // No other session's chain is this one's.
        let nonce = session.chain().to_string();
        let signed =
            ClientSignature::sign_in_session(&self.key, &request, &self.url, &nonce, now.as_secs());
        let signed = signed.ok()?;
        let (input, signature) = signed.to_headers();
        let last = Author::Signed(signed).operation();
        let (genesis, chain) = (self.genesis.hash(), session.chain());
        let word = Commitment::sign_closing(&self.key, &genesis, &chain, last, &request);
        let answer = self
            .http
            .post(format!("{}{}", self.url, request.target))
            .header("content-type", &request.content_type)
            .header("content-digest", content_digest(&request.body))
            .header("signature-input", input)
            .header("signature", signature)
            .header("plenary-commitment", word.signature.to_string())
            .body(request.body)
            .send()
            .await
            .ok()?;
        let decided = answer.headers().get("plenary-finality");
        let committed = answer.status().is_success() && decided.is_some_and(|it| it == "final");
        answer.bytes().await.ok()?;
        committed.then_some(())
    }
}

/// The steps of a session, each with its latency.
struct Steps<'a> {
    session: &'a mut Session,
    measured: &'a mut Measured,
}

impl Steps<'_> {
    async fn get(&mut self, target: &str) -> Option<Value> {
        let start = Instant::now();
        let answer = self.session.get(target).await.ok()?;
        self.measured.steps.push(elapsed(start));
        answer.json().ok()
    }

    async fn post(&mut self, target: &str, body: &Value) -> Option<Value> {
        let start = Instant::now();
        let answer = self.session.post(target, body).await.ok()?;
        self.measured.steps.push(elapsed(start));
        answer.json().ok()
    }
}

fn elapsed(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
