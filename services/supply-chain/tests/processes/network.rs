//! A network of processes, each of which a test can kill.

use crate::support::{Http, client, eventually, json, ports, program, text};
use plenary::client::Client;
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// A network of processes that `start` runs, each on its own.
pub struct Network {
    /// The validators, then the session nodes.
    pub nodes: Vec<Node>,
    pub http: Http,
    directory: tempfile::TempDir,
}

pub struct Node {
    pub url: String,
    pub config: PathBuf,
    child: Child,
    is_session_node: bool,
}

fn start(config: &Path) -> Child {
    let log = config.with_file_name("test.log");
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut start = program(["start", "--config", text(config)]);
    start.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Network {
    /// Starts four validators and some session nodes.
    pub async fn start(session_nodes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("network");
        let ports = ports();
        let init = [
            "testnet",
            "init",
            "--unsigned-clients",
            "--session-nodes",
            &session_nodes.to_string(),
            "--out",
            text(&out),
        ];
        let made = json(init.into_iter().chain(ports.iter().map(String::as_str)));
        let nodes = |role: &str| made[role].as_array().unwrap().clone();
        let validators = nodes("validators").into_iter().map(|node| (node, false));
        let session_nodes = nodes("session_nodes").into_iter().map(|node| (node, true));
        let nodes = validators
            .chain(session_nodes)
            .map(|(node, is_session_node)| {
                let config = PathBuf::from(node["config"].as_str().unwrap());
                Node {
                    url: format!("http://{}", node["http"].as_str().unwrap()),
                    child: start(&config),
                    config,
                    is_session_node,
                }
            });
        let network = Self {
            nodes: nodes.collect(),
            http: Http::new(),
            directory,
        };
        network.ready().await;
        network
    }

    pub async fn ready(&self) {
        for node in &self.nodes {
            let url = format!("{}/readyz", node.url);
            eventually("a ready node", async || {
                let answer = self.http.try_send("GET", &url, None, None).await?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }

    /// Kills some nodes at once, as a power cut would.
    pub fn kill(&mut self, which: &[usize]) {
        for index in which {
            self.nodes[*index].child.kill().unwrap();
        }
        for index in which {
            self.nodes[*index].child.wait().unwrap();
        }
    }

    pub fn restart(&mut self, which: &[usize]) {
        for index in which {
            let node = &mut self.nodes[*index];
            node.child = start(&node.config);
        }
    }

    /// The URLs of the validators, or of the session nodes.
    pub fn urls(&self, session_nodes: bool) -> Vec<String> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|node| node.is_session_node == session_nodes);
        nodes.map(|node| node.url.clone()).collect()
    }

    /// A client that signs and checks, and asks session nodes in this order.
    pub fn client(&self) -> Client {
        let out = self.directory.path().join("network");
        client(
            &self.urls(false),
            &self.urls(true),
            &out.join("genesis.toml"),
            &out.join("client.key"),
        )
    }

    pub async fn height(&self, node: &Node) -> u64 {
        let status = self
            .http
            .get(&format!("{}/plenary/v1/status", node.url))
            .await;
        status["height"].as_u64().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}
