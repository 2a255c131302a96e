//! kill -9 under load: what was acknowledged is there, and nothing is there twice.

use crate::{
    network::Network,
    support::{DEADLINE, Http, eventually},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How many clients load the network.
const CLIENTS: usize = 8;
/// How many more acknowledgements each phase of a test waits for.
const PHASE: usize = 60;

/// What a client was told: the transaction and the package it made.
type Acknowledged = (String, String);

/// Clients that make packages, one after the other, until they are told to stop. Each asks for
/// the same package, at one validator after the other, until it is acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeMap<String, Acknowledged>>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(urls: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, acknowledged, urls) = (stop.clone(), acknowledged.clone(), urls.clone());
            tokio::spawn(async move {
                let http = Http::new();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("client {client} request {number}");
                    let first = client + number;
                    let told = create(&http, &urls, first, &key).await;
                    acknowledged.lock().unwrap().insert(key, told);
                    number += 1;
                }
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            acknowledged,
            clients,
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits for more acknowledgements.
    async fn more(&self) {
        let goal = self.count() + PHASE;
        eventually("progress", async || (self.count() >= goal).then_some(())).await;
    }

    async fn finish(self) -> BTreeMap<String, Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            tokio::time::timeout(DEADLINE, client)
                .await
                .unwrap()
                .unwrap();
        }
        Arc::into_inner(self.acknowledged)
            .unwrap()
            .into_inner()
            .unwrap()
    }
}

/// Makes a package, asking until someone acknowledges it.
async fn create(http: &Http, urls: &[String], first: usize, key: &str) -> Acknowledged {
    for attempt in first.. {
        let url = format!("{}/session/test-package", urls[attempt % urls.len()]);
        match http.try_send("POST", &url, None, Some(key)).await {
            Some(answer) if answer.body["package_id"].is_string() => {
                let package = answer.body["package_id"].as_str().unwrap().to_owned();
                return (answer.tx.unwrap(), package);
            }
            // Refused for good: retrying would hide it.
            Some(answer) if answer.status >= 400 && answer.body["retryable"] != true => {
                panic!("{key}: {}", answer.body);
            }
            // Down, or not decided yet.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    unreachable!()
}

/// Checks at every node that all acknowledged packages are there, and that the ledger has no
/// other and none twice.
async fn check(network: &Network, acknowledged: &BTreeMap<String, Acknowledged>) {
    let mut top = 0;
    for node in &network.nodes {
        top = top.max(network.height(node).await);
    }
    let mut ledgers = BTreeSet::new();
    for node in &network.nodes {
        eventually("a node that has caught up", async || {
            (network.height(node).await >= top).then_some(())
        })
        .await;
        let mut committed: Vec<String> = Vec::new();
        let mut blocks = Vec::new();
        for height in 1..=top {
            let url = format!("{}/plenary/v1/blocks/{height}", node.url);
            let block = network.http.get(&url).await;
            blocks.push(block["hash"].as_str().unwrap().to_owned());
            let transactions = block["transactions"].as_array().unwrap();
            let transactions = transactions.iter().filter(|one| is_committed(one));
            committed.extend(transactions.map(|one| one["hash"].as_str().unwrap().to_owned()));
        }
        ledgers.insert(blocks);
        // As many transactions as requests: with every one of them there, none is there twice.
        assert_eq!(committed.len(), acknowledged.len());
        let committed: BTreeSet<String> = committed.into_iter().collect();
        for (key, (transaction, package)) in acknowledged {
            assert!(
                committed.contains(transaction),
                "{key} is lost at {}",
                node.url
            );
            let found = network
                .http
                .get(&format!("{}/package/{package}", node.url))
                .await;
            assert!(
                found["supplier"].is_string(),
                "{key} is lost at {}",
                node.url
            );
        }
    }
    assert_eq!(ledgers.len(), 1, "the nodes' ledgers differ");
    // A retry, whoever gets it, has the first answer.
    for (index, (key, told)) in acknowledged.iter().enumerate().step_by(16) {
        assert_eq!(
            create(&network.http, &network.urls(false), index, key).await,
            *told
        );
    }
}

fn is_committed(transaction: &Value) -> bool {
    transaction["outcome"].to_string().contains("committed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_validator_costs_the_others_nothing_and_catches_up() {
    let mut network = Network::start(0).await;
    let load = Load::start(network.urls(false));
    load.more().await;
    network.kill(&[1]);
    load.more().await;
    network.restart(&[1]);
    load.more().await;
    let acknowledged = load.finish().await;
    network.ready().await;
    check(&network, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_death_of_all_validators_at_once() {
    let mut network = Network::start(0).await;
    let load = Load::start(network.urls(false));
    for _ in 0..3 {
        load.more().await;
        network.kill(&[0, 1, 2, 3]);
        network.restart(&[0, 1, 2, 3]);
    }
    load.more().await;
    let acknowledged = load.finish().await;
    network.ready().await;
    check(&network, &acknowledged).await;
}
