//! Running the program, waiting for what it does, and speaking HTTP with it.

use plenary::{
    client::Client,
    types::{Genesis, PrivateKey},
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take that a test waits for. Only a broken program takes as long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The program with arguments, and nothing of the caller's environment that it reads.
pub fn program<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supply-chain"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLENARY_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Runs the program to its end.
pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    program(arguments).output().unwrap()
}

/// Runs the program, which must do its job, and reads the JSON it prints.
pub fn json<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Value {
    let output = run(["--json"].into_iter().chain(arguments));
    assert!(output.status.success(), "{}", errors(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the program wrote to standard error.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sends a signal such as `INT` to a process.
pub fn signal(name: &str, pid: u64) {
    let command = format!("kill -{name} {pid}");
    let sent = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(sent.success(), "{command}");
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether no process writes this log any more: the program locks it while it runs.
pub fn is_released(log: &Path) -> bool {
    File::open(log).unwrap().try_lock().is_ok()
}

/// A client that signs with the key in a file, and checks with a genesis file.
pub fn client(
    validators: &[String],
    session_nodes: &[String],
    genesis: &Path,
    key: &Path,
) -> Client {
    let genesis = std::fs::read_to_string(genesis).unwrap();
    let key = std::fs::read_to_string(key).unwrap();
    let seed: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    Client::new(validators)
        .unwrap()
        .with_session_nodes(session_nodes)
        .unwrap()
        .with_genesis(Genesis::from_toml(&genesis).unwrap())
        .with_key(PrivateKey::from_seed(seed.try_into().unwrap()))
        .with_patience(DEADLINE)
}

/// First ports of a network that no other test uses, below those that the system gives away, as
/// arguments.
pub fn ports() -> [String; 8] {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let run = (std::process::id() % 40) as u16;
    let block = 10_000 + run * 512 + TAKEN.fetch_add(16, Ordering::Relaxed);
    let port = |first: u16| (block + first).to_string();
    [
        "--http-port".into(),
        port(0),
        "--p2p-port".into(),
        port(5),
        "--session-http-port".into(),
        port(10),
        "--session-p2p-port".into(),
        port(13),
    ]
}

/// A running `dev`.
pub struct Dev {
    /// Its process.
    pub child: Child,
    /// The line it printed when it was ready.
    pub ready: Value,
}

impl Dev {
    /// Starts a network in `directory`, on ports of its own where it is new.
    pub fn start(directory: &Path) -> Self {
        let ports = ports();
        Self::start_with(directory, &ports.each_ref().map(String::as_str))
    }

    /// Starts it with more arguments.
    pub fn start_with(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = program(["dev", "--data-dir", text(directory)])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("{}", errors(&child.wait_with_output().unwrap()));
        }
        let ready = serde_json::from_str(&line).unwrap();
        Self { child, ready }
    }

    /// A client that signs and checks.
    pub fn client(&self) -> Client {
        let path = |name: &str| Path::new(self.ready[name].as_str().unwrap());
        client(
            &self.urls(),
            &self.session_urls(),
            path("genesis"),
            path("client_key"),
        )
    }

    /// The process' id.
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// A member of every validator.
    pub fn each(&self, member: &str) -> Vec<Value> {
        self.each_of("validators", member)
    }

    /// A member of every node of a role.
    pub fn each_of(&self, role: &str, member: &str) -> Vec<Value> {
        let nodes = self.ready[role].as_array().unwrap();
        nodes.iter().map(|one| one[member].clone()).collect()
    }

    /// The validators' URLs.
    pub fn urls(&self) -> Vec<String> {
        texts(self.each("url"))
    }

    /// The session nodes' URLs.
    pub fn session_urls(&self) -> Vec<String> {
        texts(self.each_of("session_nodes", "url"))
    }

    /// Waits until no node's process is left.
    pub async fn all_gone(&self) {
        let logs = self.each_of("session_nodes", "log");
        for log in self.each("log").into_iter().chain(logs) {
            let log = log.as_str().unwrap().to_owned();
            eventually("the end of a node", async || {
                is_released(Path::new(&log)).then_some(())
            })
            .await;
        }
    }

    /// Stops it by a signal, which it must obey without complaint.
    pub fn stop(mut self, by: &str) {
        signal(by, self.pid());
        assert!(self.child.wait().unwrap().success());
    }
}

fn texts(values: Vec<Value>) -> Vec<String> {
    let texts = values.iter().map(|value| value.as_str().unwrap());
    texts.map(str::to_owned).collect()
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Of a test that failed; its validators stop with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plain HTTP, as curl would.
pub struct Http(reqwest::Client);

/// An answer.
pub struct Answer {
    pub status: u16,
    pub tx: Option<String>,
    pub body: Value,
}

impl Http {
    pub fn new() -> Self {
        Self(reqwest::Client::new())
    }

    /// Sends a request; no answer where the connection fails.
    pub async fn try_send(
        &self,
        method: &str,
        url: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Option<Answer> {
        let method = method.parse().unwrap();
        let mut request = self.0.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let reply = request.send().await.ok()?;
        let tx = reply.headers().get("plenary-tx");
        let tx = tx.map(|tx| tx.to_str().unwrap().to_owned());
        let status = reply.status().as_u16();
        let body = reply.bytes().await.ok()?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Some(Answer { status, tx, body })
    }

    /// Sends a request that must be answered with `status`.
    pub async fn send(&self, method: &str, url: &str, body: Option<Value>, status: u16) -> Value {
        let answer = self
            .try_send(method, url, body.as_ref(), None)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{method} {url}: {}", answer.body);
        answer.body
    }

    /// Gets what must be there.
    pub async fn get(&self, url: &str) -> Value {
        self.send("GET", url, None, 200).await
    }

    /// Posts a body.
    pub async fn post(&self, url: &str, body: Value, status: u16) -> Value {
        self.send("POST", url, Some(body), status).await
    }

    /// Takes a package through all seven steps at one validator, and returns its id and the
    /// commit's answer.
    pub async fn workflow(&self, url: &str) -> (String, Value) {
        let at = |path: String| format!("{url}{path}");
        let created = at("/session/test-package".into());
        let created = self.send("POST", &created, None, 202).await;
        let package = created["package_id"].as_str().unwrap().to_owned();
        let operator = json!({ "operator_id": "OPR-001" });
        let started = at("/session/start".into());
        let started = self.post(&started, operator.clone(), 201).await;
        let id = started["id"].as_str().unwrap();
        let scan = at(format!("/session/{id}/scan/{package}"));
        let scan = self.get(&scan).await;
        let body = json!({ "package_id": package, "signature": scan["supplier_signature"] });
        self.post(&at(format!("/session/{id}/validate")), body, 202)
            .await;
        let body = json!({ "passed": true, "issues": [] });
        self.post(&at(format!("/session/{id}/qc")), body, 202).await;
        let body = json!({ "destination": "Oslo", "priority": "high", "courier_id": "COU-002" });
        self.post(&at(format!("/session/{id}/label")), body, 202)
            .await;
        let committed = self.post(&at(format!("/commit/{id}")), operator, 202).await;
        (package, committed)
    }
}
