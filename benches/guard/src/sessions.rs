//! One client's session, from its opening to its transaction: the papers' steps, signed, each
//! proposed to the other session node.

use crate::{
    count::under_count,
    world::{NOW, World},
};
use axum::http::{HeaderMap, HeaderValue, request::Parts};
use plenary_session::{
    commit::Word,
    session::Entry,
    step::{Asked, Ran, Stepped},
};
use plenary_types::{
    Author, ClientSignature, Commitment, Method, OperationId, Request, Signature, Transaction,
    signature::content_digest,
};
use plenary_validator::{direct::Originator as _, http::author};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the client sends its requests.
const HOST: &str = "127.0.0.1:4000";
const ORIGIN: &str = "http://127.0.0.1:4000";

/// What is counted of what is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Nothing,
    Step,
    Replica,
    Commit,
    Execute,
    Write,
}

impl Stage {
    /// Does `work`, and counts it where this is its stage.
    pub fn when<T>(self, stage: Stage, work: impl FnOnce() -> T) -> T {
        match self == stage {
            true => under_count(work),
            false => work(),
        }
    }
}

/// A session that was played to its end.
pub struct Played {
    pub transaction: Transaction,
}

/// A session while it is played.
struct Session<'a> {
    world: &'a World,
    counted: Stage,
    /// Its number, which makes its nonces its own.
    number: usize,
    entry: Option<Arc<Entry>>,
    asked: usize,
}

/// Plays sessions, and gives their transactions.
pub fn play_all(world: &World, counted: Stage, count: usize) -> Vec<Transaction> {
    // The first of all fills what is filled once.
    play(world, Stage::Nothing, 0);
    let sessions = (1..=count).map(|number| play(world, counted, number).transaction);
    sessions.collect()
}

/// Plays the session with a number, which was not played before.
pub fn play(world: &World, counted: Stage, number: usize) -> Played {
    let mut session = Session {
        world,
        counted,
        number,
        entry: None,
        asked: 0,
    };
    let operator = json!({ "operator_id": "OPR-001" });
    session.step(post("/session/start", &operator));
    let id = session.entry().id;
    let made = session.step(post("/session/test-package", &json!({})));
    let package = text(&made, "package_id");
    let scan = session.step(get(format!("/session/{id}/scan/{package}")));
    let found = json!({ "package_id": package, "signature": text(&scan, "supplier_signature") });
    session.step(post(format!("/session/{id}/validate"), &found));
    let quality = json!({ "passed": true, "issues": [] });
    session.step(post(format!("/session/{id}/qc"), &quality));
    let label = json!({
        "destination": "Rotterdam, gate 4",
        "priority": "standard",
        "courier_id": "COU-001",
    });
    session.step(post(format!("/session/{id}/label"), &label));
    session.commit(post(format!("/commit/{id}"), &operator))
}

impl Session<'_> {
    fn entry(&self) -> &Arc<Entry> {
        self.entry.as_ref().expect("the first step opens it")
    }

    /// Does a step, and has the other node do it as well.
    fn step(&mut self, request: Request) -> Value {
        let (parts, _) = self.signed(&request);
        let stepped = self
            .counted
            .when(Stage::Step, || self.ask(&parts, request, None));
        let response = serde_json::from_slice(&stepped.response().body);
        self.entry = Some(stepped.entry);
        self.deliver(self.counted);
        response.expect("the service answers with JSON")
    }

    /// Does the last step, and commits: what a committing route does.
    fn commit(mut self, request: Request) -> Played {
        let (parts, author) = self.signed(&request);
        let (genesis, chain) = (self.world.genesis.hash(), self.entry().live.lock().chain());
        let id = author.operation();
        let word = Commitment::sign_closing(&self.world.client, &genesis, &chain, id, &request);
        let signature = Some(word.signature);
        self.counted.when(Stage::Commit, || {
            self.ask(&parts, request, signature);
            let committed = self
                .world
                .originator
                .commit(self.entry(), Word::Closing(signature));
            committed.expect("the session is committed");
        });
        self.deliver(Stage::Nothing);
        Played {
            transaction: self.transaction(),
        }
    }

    /// What a session node does with a request for a step.
    fn ask(&self, parts: &Parts, request: Request, commitment: Option<Signature>) -> Stepped {
        let node = &self.world.originator;
        let author = author(parts, &request, node.genesis.clients, NOW);
        let asked = Asked {
            author: author.expect("the client's signature holds"),
            request,
            token: None,
            seen: None,
            commitment,
        };
        let ran = match &self.entry {
            None => node.open(asked),
            Some(entry) => node.step(entry, asked),
        };
        match ran.expect("the step is taken") {
            Ran::Stepped(stepped) => stepped,
            Ran::Refused(response) => panic!("the handler refuses: {response:?}"),
        }
    }

    /// The request's headers, as the client sends them.
    fn signed(&mut self, request: &Request) -> (Parts, Author) {
        self.asked += 1;
        let nonce = format!("{:016x}{:016x}", self.number, self.asked);
        let seconds = NOW.0 / 1000;
        let client = &self.world.client;
        let signed = ClientSignature::sign_in_session(client, request, ORIGIN, &nonce, seconds);
        let signed = signed.expect("the request can be signed");
        let (input, signature) = signed.to_headers();
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value);
            headers.insert(name, value.expect("the value is plain"));
        };
        set("host", HOST.to_owned());
        set("content-digest", content_digest(&request.body));
        set("signature-input", input);
        set("signature", signature);
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        parts.headers = headers;
        (parts, Author::Signed(signed))
    }

    /// Gives the other node what the originator has sent it.
    fn deliver(&self, counted: Stage) {
        let from = self.world.originator.key.public_key();
        for message in std::mem::take(&mut *self.world.sent.lock()) {
            counted.when(Stage::Replica, || {
                self.world.replica.receive(from, message);
            });
        }
    }

    /// The transaction that the session is committed with, once the log's thread has written it.
    fn transaction(&self) -> Transaction {
        let first = OperationId(self.entry().id.0);
        loop {
            if let Some(transaction) = self.world.originator.waiting(&first) {
                return transaction;
            }
            std::thread::yield_now();
        }
    }
}

fn request(method: Method, target: impl Into<String>) -> Request {
    Request {
        method,
        target: target.into(),
        content_type: String::new(),
        body: Default::default(),
    }
}

fn get(target: impl Into<String>) -> Request {
    request(Method::Get, target)
}

fn post(target: impl Into<String>, body: &Value) -> Request {
    Request {
        content_type: "application/json".into(),
        body: body.to_string().into(),
        ..request(Method::Post, target)
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value.get(name).and_then(Value::as_str);
    text.expect("the answer has that text")
}
