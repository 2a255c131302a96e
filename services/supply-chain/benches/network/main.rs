//! A whole network on this machine, measured from outside: real processes, TCP, durable files.
//!
//! ```console
//! $ cargo bench -p supply-chain --bench network -- --validators 4 --clients 200 --seconds 20
//! ```
//!
//! Prints one table: latency of a single client, throughput of a closed loop, memory, what rest
//! costs, and how fast a validator catches up that was away, once while the others were under full
//! load and once under a moderate one. `--only latency`, `rest`, `load` or `catch-up` leaves the
//! rest out. Clients run in this process, on the
//! same machine, so they take their share of it. Linux only: it reads `/proc`.

#![allow(missing_docs, clippy::unwrap_used)]

mod sessions;

use reqwest::Client;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_supply-chain");
/// Clock ticks a second, as Linux counts processor time.
const TICKS: f64 = 100.0;
/// How many requests the latency is measured on, after as many that are not counted as this /10.
const SEQUENTIAL: usize = 500;
/// How many clients are full load for the validators that are left when one is away.
const FULL: usize = 50;
/// How many clients are a moderate load.
const MODERATE: usize = 10;
/// How long a validator is away.
const AWAY: Duration = Duration::from_secs(20);

struct Node {
    directory: PathBuf,
    url: String,
    process: Child,
}

impl Node {
    fn spawn(directory: &Path) -> Child {
        let log = fs::File::create(directory.join("log")).unwrap();
        Command::new(PROGRAM)
            .args(["start", "--config"])
            .arg(directory.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn new(directory: PathBuf) -> Self {
        let config = fs::read_to_string(directory.join("config.toml")).unwrap();
        let address = config
            .lines()
            .find_map(|line| line.strip_prefix("listen = "));
        let url = format!("http://{}", address.unwrap().trim_matches('"'));
        Self {
            url,
            process: Self::spawn(&directory),
            directory,
        }
    }

    /// Resident memory in MiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1024.0
    }

    /// Processor time used so far, in seconds.
    fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
    }

    fn bytes(&self) -> u64 {
        fn size(path: &Path) -> u64 {
            let entries = fs::read_dir(path).unwrap().filter_map(Result::ok);
            entries
                .map(|entry| match entry.metadata() {
                    Ok(data) if data.is_dir() => size(&entry.path()),
                    Ok(data) => data.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        size(&self.directory)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What follows a name among the arguments.
fn text(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn argument(name: &str, default: usize) -> usize {
    text(name).map_or(default, |number| number.parse().unwrap())
}

/// Whether a part of the measurements is asked for.
fn wanted(part: &str) -> bool {
    text("--only").is_none_or(|only| only == part)
}

/// Makes and starts a network: its directory, its validators and its session nodes.
fn network(validators: usize, session_nodes: usize) -> (TempDir, Vec<Node>, Vec<Node>) {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("network");
    let made = Command::new(PROGRAM)
        .args([
            "testnet",
            "init",
            "--unsigned-clients",
            "--http-port",
            "0",
            "--p2p-port",
            "0",
            "--session-http-port",
            "0",
            "--session-p2p-port",
            "0",
        ])
        .args(["--validators", &validators.to_string()])
        .args(["--session-nodes", &session_nodes.to_string(), "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let entries = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    let is_validator = |folder: &PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy();
        name.starts_with("validator-")
    };
    let (validators, session_nodes) = folders.into_iter().partition(is_validator);
    let start = |folders: Vec<PathBuf>| folders.into_iter().map(Node::new).collect();
    (directory, start(validators), start(session_nodes))
}

async fn height(client: &Client, node: &Node) -> Option<u64> {
    let answer = client
        .get(format!("{}/plenary/v1/status", node.url))
        .send()
        .await
        .ok()?;
    answer.json::<serde_json::Value>().await.ok()?["height"].as_u64()
}

async fn ready(client: &Client, node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = client.get(format!("{}/readyz", node.url)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(Instant::now() < deadline, "{} does not get ready", node.url);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One operation; how long it took, or nothing where it failed.
async fn operate(client: &Client, url: &str) -> Option<f64> {
    let start = Instant::now();
    let answer = client
        .post(format!("{url}/session/test-package"))
        .send()
        .await
        .ok()?;
    let accepted = answer
        .headers()
        .get("plenary-finality")
        .is_some_and(|it| it == "final");
    answer.bytes().await.ok()?;
    accepted.then(|| start.elapsed().as_secs_f64() * 1000.0)
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn row(what: &str, value: impl std::fmt::Display) {
    println!("{what:<52} {value}");
}

#[tokio::main]
async fn main() {
    let validators = argument("--validators", 4);
    let clients = argument("--clients", 200);
    let seconds = argument("--seconds", 20) as u64;
    let sessions = match text("--mode").as_deref() {
        Some("session") => true,
        None | Some("direct") => false,
        Some(mode) => panic!("--mode is session or direct, not {mode}"),
    };
    let session_nodes = argument("--session-nodes", usize::from(sessions));
    let started = Instant::now();
    let (directory, mut nodes, session_nodes) = network(validators, session_nodes);
    let client = Client::new();
    for node in nodes.iter().chain(&session_nodes) {
        ready(&client, node).await;
    }
    row("validators", validators);
    row("session nodes", session_nodes.len());
    row("from nothing to ready, ms", started.elapsed().as_millis());
    if sessions {
        let network = sessions::Network {
            validators: &nodes,
            session_nodes: &session_nodes,
            genesis: &directory.path().join("network/genesis.toml"),
        };
        return sessions::measure(&network, clients, seconds).await;
    }
    if wanted("latency") {
        latency(&client, &nodes).await;
    }
    if wanted("rest") {
        rest(&nodes).await;
    }
    if wanted("load") {
        load(&client, &nodes, clients, seconds).await;
    }
    if wanted("catch-up") && validators < 8 {
        catch_up(&client, &mut nodes, FULL, "full load").await;
        catch_up(&client, &mut nodes, MODERATE, "moderate load").await;
    }
}

async fn latency(client: &Client, nodes: &[Node]) {
    let mut latencies = Vec::new();
    for index in 0..SEQUENTIAL + SEQUENTIAL / 10 {
        let node = &nodes[index % nodes.len()];
        let took = operate(client, &node.url)
            .await
            .expect("an operation is final");
        if index >= SEQUENTIAL / 10 {
            latencies.push(took);
        }
    }
    latencies.sort_by(f64::total_cmp);
    row(
        "one client, one operation, ms, p50",
        format!("{:.1}", percentile(&latencies, 0.5)),
    );
    row(
        "one client, one operation, ms, p99",
        format!("{:.1}", percentile(&latencies, 0.99)),
    );
}

async fn rest(nodes: &[Node]) {
    // What was just committed is flushed first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = |nodes: &[Node]| nodes.iter().map(Node::processor).sum::<f64>();
    let bytes = |nodes: &[Node]| nodes.iter().map(Node::bytes).sum::<u64>();
    let (processor, disk, start) = (used(nodes), bytes(nodes), Instant::now());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let share = (used(nodes) - processor) / start.elapsed().as_secs_f64() * 100.0;
    row(
        "at rest, all validators, % of one core",
        format!("{share:.2}"),
    );
    row(
        "at rest, growth on disk, bytes in 20 s",
        bytes(nodes) - disk,
    );
}

async fn load(client: &Client, nodes: &[Node], clients: usize, seconds: u64) {
    let memory = |nodes: &[Node]| nodes.iter().map(Node::memory).fold(0.0, f64::max);
    row(
        "memory before the load, MiB, largest",
        format!("{:.0}", memory(nodes)),
    );
    let used: Vec<f64> = nodes.iter().map(Node::processor).collect();
    let disk: u64 = nodes.iter().map(Node::bytes).sum();
    let end = Instant::now() + Duration::from_secs(seconds);
    let loops = (0..clients).map(|index| {
        let (client, url) = (client.clone(), nodes[index % nodes.len()].url.clone());
        tokio::spawn(async move {
            let (mut latencies, mut failures) = (Vec::new(), 0_u64);
            while Instant::now() < end {
                match operate(&client, &url).await {
                    Some(took) => latencies.push(took),
                    None => failures += 1,
                }
            }
            (latencies, failures)
        })
    });
    let loops: Vec<_> = loops.collect();
    let start = Instant::now();
    let (mut latencies, mut failures) = (Vec::new(), 0);
    for task in loops {
        let (mine, failed) = task.await.unwrap();
        latencies.extend(mine);
        failures += failed;
    }
    let took = start.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let done = latencies.len();
    row(
        &format!("closed loop of {clients}, operations/s"),
        format!("{:.0}", done as f64 / took),
    );
    row(
        &format!("closed loop of {clients}, ms, p50"),
        format!("{:.1}", percentile(&latencies, 0.5)),
    );
    row(
        &format!("closed loop of {clients}, ms, p99"),
        format!("{:.1}", percentile(&latencies, 0.99)),
    );
    row("operations under load, failed", failures);
    let spent = nodes
        .iter()
        .zip(used)
        .map(|(node, before)| node.processor() - before);
    row(
        "processor time of validators, cores",
        format!("{:.2}", spent.sum::<f64>() / took),
    );
    row(
        "memory after the load, MiB, largest",
        format!("{:.0}", memory(nodes)),
    );
    let disk = nodes.iter().map(Node::bytes).sum::<u64>() - disk;
    let each = disk as f64 / done.max(1) as f64 / nodes.len() as f64;
    row(
        "disk per operation and validator, bytes",
        format!("{each:.0}"),
    );
    let heights = height(client, &nodes[0]).await.unwrap_or_default();
    row("height", heights);
}

/// Kills a validator, lets the chain grow under `clients`, starts it again and times how it follows.
async fn catch_up(client: &Client, nodes: &mut [Node], clients: usize, load: &str) {
    let last = nodes.len() - 1;
    let _ = nodes[last].process.kill();
    let _ = nodes[last].process.wait();
    let from = height(client, &nodes[0]).await.unwrap_or_default();
    let start = Instant::now();
    let end = start + AWAY;
    let loops = (0..clients).map(|index| {
        let (client, url) = (client.clone(), nodes[index % last].url.clone());
        tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < end {
                done += u64::from(operate(&client, &url).await.is_some());
            }
            done
        })
    });
    let mut done = 0;
    for task in loops.collect::<Vec<_>>() {
        done += task.await.unwrap();
    }
    let grew = start.elapsed().as_secs_f64();
    let target = height(client, &nodes[0]).await.unwrap_or_default();
    let start = Instant::now();
    nodes[last].process = Node::spawn(&nodes[last].directory);
    let mut following = None;
    loop {
        let reached = height(client, &nodes[last]).await.unwrap_or_default();
        if reached > from {
            following.get_or_insert_with(|| start.elapsed());
        }
        if reached >= target {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "it does not catch up"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = start.elapsed().as_secs_f64();
    let spent = nodes[last].processor();
    let about = |what: &str| format!("after {load}: {what}");
    row(&about("operations missed"), done);
    row(&about("blocks missed"), target - from);
    row(
        &about("s to the first of them, start included"),
        format!("{:.2}", following.unwrap_or_default().as_secs_f64()),
    );
    row(
        &about("s to the last of them, start included"),
        format!("{took:.2}"),
    );
    row(
        &about("s of processor time until then"),
        format!("{spent:.2}"),
    );
    row(
        &about("times faster than the chain grew"),
        format!("{:.1}", grew / took),
    );
}
