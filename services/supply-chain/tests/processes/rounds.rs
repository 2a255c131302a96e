//! Rounds of kill -9 of random nodes of both layers, under load: no session that was acknowledged
//! is lost, none is committed twice or by halves, and all nodes end with the same state.

use crate::{
    network::Network,
    support::{DEADLINE, eventually, json, text},
};
use plenary::{
    client::{Client, ClientError},
    types::PrivateKey,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const VALIDATORS: usize = 4;
const SESSION_NODES: usize = 2;
const CLIENTS: usize = 6;
/// How many more commits each half of a round waits for.
const PHASE: usize = 3;

/// How many rounds: `PLENARY_TEST_ROUNDS`, or a few.
fn rounds() -> u64 {
    let rounds = std::env::var("PLENARY_TEST_ROUNDS").ok();
    rounds.map_or(6, |rounds| rounds.parse().unwrap())
}

/// A sequence that looks random and is the same each time (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Sessions that were acknowledged as committed: the transaction of each.
type Committed = Arc<Mutex<BTreeMap<String, String>>>;

/// A client that works through the supply chain's workflow, again and again.
async fn work(client: Client, number: usize, stop: Arc<AtomicBool>, committed: Committed) {
    while !stop.load(Ordering::Relaxed) {
        match workflow(&client, number).await {
            Ok((session, transaction)) => {
                let before = committed
                    .lock()
                    .unwrap()
                    .insert(session.clone(), transaction);
                assert_eq!(before, None, "{session} was committed before");
            }
            // A session whose steps were on a dead node alone is given up.
            Err(ClientError::Unreachable { .. } | ClientError::Pending { .. }) => {}
            Err(ClientError::Problem { problem, .. }) if is_passing(&problem.code) => {}
            Err(error) => panic!("client {number}: {error}"),
        }
    }
}

/// What may happen to a client of nodes that die, without anybody's fault.
fn is_passing(code: &str) -> bool {
    let codes = [
        "chain-differs",
        "unknown-session",
        "responses-differ",
        "behind",
        "stopping",
    ];
    codes.contains(&code)
}

async fn workflow(client: &Client, number: usize) -> Result<(String, String), ClientError> {
    let operator = json!({ "operator_id": format!("OPR-00{}", number % 3 + 1) });
    let created = client.post("/session/test-package", &json!({})).await?;
    let package: Value = created.json()?;
    let package = package["package_id"].as_str().unwrap();
    let mut session = client.open("/session/start", &operator).await?;
    let id = session.id();
    let scan = session
        .get(&format!("/session/{id}/scan/{package}"))
        .await?;
    let scan: Value = scan.json()?;
    let found = json!({ "package_id": package, "signature": scan["supplier_signature"] });
    session
        .post(&format!("/session/{id}/validate"), &found)
        .await?;
    let quality = json!({ "passed": true, "issues": [] });
    session.post(&format!("/session/{id}/qc"), &quality).await?;
    let label = json!({ "destination": "Oslo", "priority": "high", "courier_id": "COU-001" });
    session
        .post(&format!("/session/{id}/label"), &label)
        .await?;
    let done = session
        .commit_with(&format!("/commit/{id}"), &operator)
        .await?;
    Ok((id.to_string(), done.transaction.hash().to_string()))
}

/// Who dies in a round: a node, or a validator and a session node at once.
fn victims(draw: &mut Draw) -> Vec<usize> {
    match draw.below(4) {
        0 => vec![
            draw.below(VALIDATORS),
            VALIDATORS + draw.below(SESSION_NODES),
        ],
        _ => vec![draw.below(VALIDATORS + SESSION_NODES)],
    }
}

async fn more(committed: &Committed) {
    let goal = committed.lock().unwrap().len() + PHASE;
    eventually("progress", async || {
        (committed.lock().unwrap().len() >= goal).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_survive_rounds_of_deaths_of_random_nodes_of_both_layers() {
    let mut network = Network::start(SESSION_NODES).await;
    let (stop, committed) = (Arc::new(AtomicBool::new(false)), Committed::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = network
                .client()
                .with_key(PrivateKey::from_seed([number as u8 + 1; 32]))
                .with_patience(Duration::from_secs(60));
            tokio::spawn(work(client, number, stop.clone(), committed.clone()))
        })
        .collect();
    let mut draw = Draw(1);
    for round in 0..rounds() {
        let victims = victims(&mut draw);
        eprintln!("round {round}: {victims:?}");
        network.kill(&victims);
        more(&committed).await;
        network.restart(&victims);
        more(&committed).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        tokio::time::timeout(DEADLINE, client)
            .await
            .unwrap()
            .unwrap();
    }
    network.ready().await;
    let committed = committed.lock().unwrap().clone();
    check(&network, &committed).await;
}

/// Checks every node against what clients were told, and all nodes against each other.
async fn check(network: &Network, committed: &BTreeMap<String, String>) {
    let mut top = 0;
    for node in &network.nodes {
        top = top.max(network.height(node).await);
    }
    let mut roots = BTreeSet::new();
    for node in &network.nodes {
        let status = eventually("a node that has caught up", async || {
            let url = format!("{}/plenary/v1/status", node.url);
            let status = network.http.get(&url).await;
            (status["height"].as_u64().unwrap() >= top).then_some(status)
        })
        .await;
        roots.insert((
            status["height"].to_string(),
            status["state_root"].to_string(),
        ));
        for (session, transaction) in committed {
            let url = format!("{}/plenary/v1/sessions/{session}", node.url);
            let told = network.http.get(&url).await;
            assert_eq!(told["status"], "committed", "{told} at {}", node.url);
            assert_eq!(told["transaction"], **transaction, "at {}", node.url);
        }
    }
    assert_eq!(roots.len(), 1, "the nodes' states differ: {roots:?}");
    let mut sessions = BTreeSet::new();
    let url = &network.nodes[0].url;
    for height in 1..=top {
        let block = network
            .http
            .get(&format!("{url}/plenary/v1/blocks/{height}"))
            .await;
        for transaction in block["transactions"].as_array().unwrap() {
            if !transaction["outcome"].to_string().contains("committed") {
                continue;
            }
            let hash = transaction["hash"].as_str().unwrap();
            let found = format!("{url}/plenary/v1/transactions/{hash}");
            let found = network.http.get(&found).await;
            let first = found["operations"][0]["id"].to_string();
            assert!(sessions.insert(first), "{hash} commits a session again");
        }
    }
    assert!(sessions.len() >= committed.len());
    audit(network);
}

/// Runs one validator's whole ledger again.
fn audit(network: &Network) {
    let config = &network.nodes[0].config;
    let directory = config.parent().unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(directory.join("data")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    let genesis = directory.with_file_name("genesis.toml");
    let genesis = text(&genesis);
    let arguments = [
        "ledger",
        "verify",
        "--data-dir",
        text(copy.path()),
        "--genesis",
        genesis,
    ];
    let verified = json(arguments);
    assert!(
        verified["height"].is_u64() || verified["blocks"].is_u64(),
        "{verified}"
    );
}
