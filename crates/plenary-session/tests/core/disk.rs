//! A node over HTTP whose disk is slow, or full: what it may say, and what is there afterwards.

use crate::{
    support::Client,
    world::{World, stepped},
};
use plenary_session::{
    api::{Api, router},
    follow::{self, Validators},
    node::Node,
};
use plenary_store::Entry;
use plenary_types::{SessionId, limits::MAX_BODY_BYTES};
use plenary_validator::testing::bank::deposit_request;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::{future::IntoFuture, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

/// A node's HTTP server, and one session of a client that does not sign.
struct Served {
    url: String,
    http: reqwest::Client,
    server: JoinHandle<std::io::Result<()>>,
    session: String,
    token: String,
}

/// No validator is there to be followed.
struct Nothing;

impl follow::Chain for Nothing {
    fn height(&self) -> u64 {
        0
    }

    fn take(&self, _: Entry) -> Result<(), String> {
        Err("nobody is followed".into())
    }
}

async fn serve(node: &Arc<Node>) -> (String, JoinHandle<std::io::Result<()>>) {
    let validators = node.genesis.validators.iter();
    let nodes = validators.map(|validator| (validator.key, "http://127.0.0.1:1".into()));
    let nodes = Validators {
        nodes: nodes.collect(),
    };
    let tip = &node.store.genesis_block().header;
    let follower = follow::start(node.genesis.clone(), tip, &nodes, Arc::new(Nothing));
    let api = Api::new(node.clone(), Arc::new(follower.unwrap()), Vec::new);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = axum::serve(listener, router(api)).into_future();
    (url, tokio::spawn(server))
}

impl Served {
    /// Serves a node whose log writes in a thread of its own, and opens a session there.
    async fn start(world: &mut World) -> Self {
        world.grouped = true;
        world.restart(0);
        let (url, server) = serve(world.node(0)).await;
        let http = reqwest::Client::new();
        let opened = http.post(format!("{url}/plenary/v1/sessions"));
        let opened = opened.send().await.unwrap();
        let header = |name: &str| opened.headers()[name].to_str().unwrap().to_owned();
        Self {
            session: header("plenary-session"),
            token: header("plenary-session-token"),
            url,
            http,
            server,
        }
    }

    /// The node is gone, and started again on what its disk holds.
    async fn restart(&mut self, world: &mut World) {
        self.server.abort();
        world.restart(0);
        (self.url, self.server) = serve(world.node(0)).await;
    }

    fn owned(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header("plenary-session", &self.session)
            .header("plenary-session-token", &self.token)
    }

    /// The step of this name: a deposit of one.
    async fn step(&self, name: &str) -> Response {
        let deposit = self
            .http
            .post(format!("{}/accounts/ann/deposits", self.url));
        let deposit = self.owned(deposit).header("idempotency-key", name);
        deposit.json(&1).send().await.unwrap()
    }

    async fn commit(&self) -> Response {
        let session = &self.session;
        let commit = format!("{}/plenary/v1/sessions/{session}/commit", self.url);
        let commit = self.owned(self.http.post(commit));
        let commit = commit.header("prefer", "respond-async");
        commit.send().await.unwrap()
    }

    /// How many steps the node has of the session.
    fn steps(&self, world: &World) -> usize {
        let session: SessionId = self.session.parse().unwrap();
        let entry = world.find(0, session).unwrap();
        entry.live.lock().steps.len()
    }
}

/// The refusal of what is not on the disk.
async fn not_durable(answer: Response) {
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap();
    let told = (&problem["code"], &problem["stage"], &problem["retryable"]);
    let expected = (&"not-durable".into(), &"layer2".into(), &true.into());
    assert_eq!((status.as_u16(), told), (503, expected), "{problem}");
}

/// A step that waited for the disk for two seconds was refused with `participation`: it was durable
/// here, and 0 of the 0 other nodes that must agree had. A commit was on its way although a crash
/// would have forgotten it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_disk_has_not_taken_is_refused_as_that_and_is_there_once_it_has() {
    let mut world = World::new(1);
    let mut served = Served::start(&mut world).await;
    let disk = world.places[0].log.clone();
    let held = disk.hold_syncs();
    not_durable(served.step("one").await).await;
    not_durable(served.commit().await).await;
    drop(held);

    let step = served.step("one").await;
    assert_eq!(step.headers()["plenary-finality"], "simulated");
    assert_eq!(step.headers()["plenary-sequence"], "1");
    assert_eq!(step.text().await.unwrap(), "1");
    let committing: Value = served.commit().await.json().await.unwrap();
    served.restart(&mut world).await;
    assert_eq!(served.steps(&world), 2);
    let again: Value = served.commit().await.json().await.unwrap();
    assert!(again["transaction"].is_string(), "{again}");
    assert_eq!(again["transaction"], committing["transaction"]);
}

/// What waited for a disk that did not answer was kept in memory, however much it was.
#[test]
fn a_node_takes_only_so_many_steps_ahead_of_its_disk() {
    let mut world = World::new(1);
    world.grouped = true;
    world.restart(0);
    let disk = world.places[0].log.clone();
    let held = disk.hold_syncs();
    let mut large = deposit_request("ann", 1);
    let spaces = vec![b' '; MAX_BODY_BYTES - large.body.len()];
    large.body = [&large.body[..], &spaces].concat().into();
    let open = |name: usize| {
        let mut client = Client::new(1, &name.to_string());
        world.try_step(0, &mut client, large.clone())
    };
    let (taken, refused) = (0..1_000)
        .find_map(|name| Some((name, open(name).err()?)))
        .unwrap();
    assert!(taken > 100, "{taken}");
    assert_eq!(refused.problem().code, "not-durable");
    drop(held);
    // The disk answers; it has taken all that was in time once it takes more.
    world.node(0).stop();
    world.restart(0);
    stepped(world.try_step(0, &mut Client::new(1, "later"), large.clone()));
    assert_eq!(world.node(0).sessions.len(), taken + 1);
}

/// As on a slow disk, and each request waited for two seconds although the log had failed for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_refuses_says_why_and_goes_on_where_it_was_once_there_is_room() {
    let mut world = World::new(1);
    let mut served = Served::start(&mut world).await;
    assert_eq!(served.step("one").await.status(), 200);
    let disk = world.places[0].log.clone();
    disk.fill_after(0);
    not_durable(served.step("two").await).await;
    not_durable(served.step("three").await).await;
    let failure = world.node(0).failure().borrow().clone();
    assert!(failure.unwrap().contains("no space is left"));
    let ready = served.http.get(format!("{}/readyz", served.url));
    let ready = ready.send().await.unwrap().text().await.unwrap();
    assert!(ready.contains("free some"), "{ready}");

    disk.free();
    served.restart(&mut world).await;
    assert_eq!(served.steps(&world), 2, "what was answered");
    assert_eq!(served.step("one").await.text().await.unwrap(), "1");
    let step = served.step("two").await;
    assert_eq!(step.headers()["plenary-sequence"], "2");
    assert_eq!(step.text().await.unwrap(), "2");
}
