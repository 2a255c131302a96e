//! A session node of a test's own making, and a validator with the ledger that it commits to. They
//! do what real ones do, but for what the test has them lie about.

use crate::fake::{Asked, Fake, json, problem};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response as HttpResponse},
};
use plenary_client::Client;
use plenary_types::{
    Author, Commitment, Digest, Draft, Genesis, Method, Operation, Outcome, PrivateKey, Problem,
    Promise, PublicKey, Receipt, Request, Response, SessionId, StateKey, Transaction, decode,
    encode,
    genesis::{ClientSignatures, Member},
    session::chain_digest,
    testing::{self, NOW, Network},
};
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// The height at which every step ran.
const PROMISED: u64 = 1;

/// What a session node lies about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Nothing.
    None,
    /// It answers nothing but 503.
    Busy,
    /// It does not know the session.
    Forgets,
    /// The promise is signed with another key.
    Signature,
    /// The promise is by a node that the network does not have.
    Stranger,
    /// The promise is for another chain.
    Chain,
    /// The promise is for another step.
    Sequence,
    /// There is no promise.
    Silence,
    /// The promise is for another response than the one it sends.
    Response,
    /// It commits another response than it promised.
    Committed,
    /// It commits a step less.
    Dropped,
    /// It commits a step more.
    Added,
    /// It calls a conflict a success.
    Conflict,
    /// It names another session's transaction.
    Other,
}

/// What nodes of a network share: the ledger.
pub(crate) struct World {
    pub(crate) network: Network,
    node: PrivateKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: Vec<Operation>,
    ledger: Vec<(Transaction, Receipt)>,
    /// What handlers answer besides.
    salt: u32,
    /// How many commits are yet to meet a conflict.
    conflicts: usize,
}

impl World {
    pub(crate) fn new(clients: ClientSignatures) -> Arc<Self> {
        let mut network = Network::new(4);
        let node = PrivateKey::from_seed([200; 32]);
        let genesis = &network.genesis;
        let genesis = Genesis::new(
            "test-network",
            NOW,
            clients,
            genesis.service.clone(),
            genesis.validators.clone(),
            vec![Member {
                name: "session-0".into(),
                key: node.public_key(),
            }],
            serde_json::Value::Null,
        );
        network.genesis = genesis.unwrap();
        Arc::new(Self {
            network,
            node,
            state: Mutex::default(),
        })
    }

    pub(crate) fn node(&self) -> PublicKey {
        self.node.public_key()
    }

    /// The next commits are conflicts, and handlers answer otherwise after each.
    pub(crate) fn conflicts(&self, count: usize) {
        self.state.lock().unwrap().conflicts = count;
    }

    /// A validator, which also takes drafts.
    pub(crate) async fn validator(self: &Arc<Self>) -> Fake {
        let world = self.clone();
        Fake::start(move |_, asked| world.validate(asked)).await
    }

    /// A session node that lies so.
    pub(crate) async fn session_node(self: &Arc<Self>, lie: Lie) -> Fake {
        let world = self.clone();
        Fake::start(move |_, asked| world.serve(asked, lie)).await
    }

    /// A client that asks everyone once.
    pub(crate) fn client(&self, validator: &Fake, session_nodes: &[&Fake]) -> Client {
        let urls = session_nodes.iter().map(|node| &node.url);
        let client = Client::new([&validator.url]).unwrap();
        let client = client.with_session_nodes(urls).unwrap();
        let client = client.with_genesis(self.network.genesis.clone());
        client.with_patience(Duration::ZERO)
    }

    pub(crate) fn signing(&self, validator: &Fake, session_nodes: &[&Fake]) -> Client {
        let client = self.client(validator, session_nodes);
        client.with_key(testing::client(1))
    }

    fn validate(&self, asked: &Asked) -> HttpResponse {
        if asked.target == "/plenary/v1/drafts" {
            let draft: Draft = decode(asked.body.clone()).unwrap();
            let genesis = self.network.genesis.hash();
            let commitment = draft.commitment.unwrap();
            assert!(covers(&commitment, &genesis, &draft.operations));
            // On an earlier state its steps might be answered otherwise.
            assert_eq!(asked.header("plenary-height"), PROMISED.to_string());
            return self.commit(draft.operations, draft.commitment, Outcome::Committed);
        }
        let state = self.state.lock().unwrap();
        let named = |hash: &str| asked.target.ends_with(hash);
        let found = state
            .ledger
            .iter()
            .find(|(transaction, _)| named(&transaction.hash().to_string()));
        let Some((transaction, receipt)) = found else {
            return problem(&Problem::not_found("transaction", &asked.target));
        };
        match asked.target.starts_with("/plenary/v1/receipts/") {
            true => json(200, receipt),
            false => encode(transaction).into_response(),
        }
    }

    /// Decides a session, and answers so.
    fn commit(
        &self,
        operations: Vec<Operation>,
        commitment: Option<Commitment>,
        outcome: Outcome,
    ) -> HttpResponse {
        let genesis = &self.network.genesis;
        let transaction = Transaction::sign(
            &self.node,
            &genesis.hash(),
            genesis.service.clone(),
            operations,
            commitment,
            Vec::new(),
        )
        .unwrap();
        let parent = self.network.genesis_block().header;
        let block = self
            .network
            .block(&parent, vec![transaction.clone()], vec![outcome.clone()]);
        let receipt = self.network.receipt(&block, 0, 0);
        let hash = transaction.hash();
        self.state
            .lock()
            .unwrap()
            .ledger
            .push((transaction, receipt));
        let mut response = match outcome {
            Outcome::Committed => json(200, json!({ "status": "committed" })),
            _ => {
                let problem_body = Problem::conflict("conflict", "others were first")
                    .about(hash)
                    .with("winner", "09".repeat(32))
                    .retryable();
                problem(&problem_body)
            }
        };
        let headers = response.headers_mut();
        headers.insert("plenary-finality", "final".parse().unwrap());
        headers.insert("plenary-tx", hash.to_string().parse().unwrap());
        response
    }

    fn serve(&self, asked: &Asked, lie: Lie) -> HttpResponse {
        let opens = asked.header("plenary-session").is_empty();
        match lie {
            Lie::Busy => return crate::fake::busy(),
            Lie::Forgets if !opens => {
                return problem(&Problem::not_found("session", "here"));
            }
            _ => {}
        }
        let request = Request {
            method: asked.method.parse::<Method>().unwrap(),
            target: asked.target.clone(),
            content_type: asked.header("content-type").into(),
            body: asked.body.clone(),
        };
        match (request.method, request.target.as_str()) {
            (_, "/read") => json(200, "no step"),
            (_, "/refused") => problem(&Problem::bad_request("wrong-step", "not now")),
            (_, "/close") => {
                let operation = self.run(asked, request);
                self.end(asked, lie, Some(operation))
            }
            (_, target) if target.ends_with("/commit") => self.end(asked, lie, None),
            (_, target) if target.ends_with("/rebase") => self.rebase(),
            (Method::Delete, _) => json(200, json!({ "status": "aborted" })),
            _ => self.step(asked, request, lie),
        }
    }

    fn run(&self, asked: &Asked, request: Request) -> Operation {
        let author = match asked.header("idempotency-key") {
            "" => {
                let origin = format!("http://{}", asked.header("host"));
                let signature = asked.signature(&origin);
                assert!(signature.in_session());
                Author::Signed(signature)
            }
            nonce => Author::Anonymous {
                nonce: nonce.to_owned().into(),
            },
        };
        let salt = self.state.lock().unwrap().salt;
        Operation {
            response: Response {
                status: 202,
                content_type: "application/json".into(),
                body: json!({ "target": request.target, "salt": salt })
                    .to_string()
                    .into(),
            },
            request,
            author,
            time: NOW,
            reads: Vec::new(),
        }
    }

    fn step(&self, asked: &Asked, request: Request, lie: Lie) -> HttpResponse {
        let ran = self.run(asked, request);
        let (operation, sequence, chain) = {
            let operations = &mut self.state.lock().unwrap().operations;
            let known = operations.iter().position(|one| one.id() == ran.id());
            let sequence = known.unwrap_or(operations.len());
            if known.is_none() {
                if sequence > 0 {
                    let seen = asked.header("plenary-chain");
                    assert_eq!(seen, chain_digest(&*operations).to_string());
                }
                operations.push(ran);
            }
            let chain = chain_digest(&operations[..=sequence]);
            (operations[sequence].clone(), sequence as u32, chain)
        };
        let session = {
            let first = &self.state.lock().unwrap().operations[0];
            SessionId::from(first.id())
        };
        if sequence > 0 && !asked.header("idempotency-key").is_empty() {
            assert_eq!(asked.header("plenary-session-token"), "secret");
        }
        let mut response = (
            StatusCode::from_u16(operation.response.status).unwrap(),
            [("content-type", operation.response.content_type)],
            match lie {
                Lie::Response => "{}".into(),
                _ => operation.response.body,
            },
        )
            .into_response();
        let headers = response.headers_mut();
        let mut set = |name, value: String| headers.insert(name, value.parse().unwrap());
        set("plenary-finality", "simulated".into());
        set("plenary-session", session.to_string());
        set("plenary-sequence", sequence.to_string());
        set("plenary-session-token", "secret".into());
        if lie != Lie::Silence {
            let promise = self.promise(session, sequence, chain, lie);
            set("plenary-promise", promise.to_string());
        }
        response
    }

    fn promise(&self, session: SessionId, sequence: u32, chain: Digest, lie: Lie) -> Promise {
        let stranger = PrivateKey::from_seed([201; 32]);
        let (key, sequence, chain) = match lie {
            Lie::Signature | Lie::Stranger => (&stranger, sequence, chain),
            Lie::Chain => (&self.node, sequence, Digest([7; 32])),
            Lie::Sequence => (&self.node, sequence + 1, chain),
            _ => (&self.node, sequence, chain),
        };
        let genesis = self.network.genesis.hash();
        let mut promise = Promise::sign(key, &genesis, session, sequence, NOW, PROMISED, chain);
        if lie == Lie::Signature {
            promise.node = self.node.public_key();
        }
        promise
    }

    /// Ends the session, with a last operation where there is one.
    fn end(&self, asked: &Asked, lie: Lie, last: Option<Operation>) -> HttpResponse {
        let mut operations = self.state.lock().unwrap().operations.clone();
        let (genesis, closing) = (self.network.genesis.hash(), last.is_some());
        operations.extend(last);
        let key = operations[0].client();
        let commitment = key.map(|key| Commitment {
            key,
            closing,
            signature: asked.header("plenary-commitment").parse().unwrap(),
        });
        if let Some(commitment) = commitment {
            assert!(covers(&commitment, &genesis, &operations));
        }
        let conflict = {
            let mut state = self.state.lock().unwrap();
            let conflict = state.conflicts > 0;
            state.conflicts -= usize::from(conflict);
            conflict || lie == Lie::Conflict
        };
        match lie {
            Lie::Committed => operations[1].response.body = "{}".into(),
            Lie::Dropped => drop(operations.pop()),
            Lie::Added => operations.push(self.run(asked, testing::request("/more", "{}"))),
            Lie::Other => drop(operations.remove(0)),
            _ => {}
        }
        let outcome = match conflict {
            false => Outcome::Committed,
            true => Outcome::Conflict {
                step: 0,
                keys: vec![StateKey::new("packages", b"PKG-1").unwrap()],
            },
        };
        let mut response = self.commit(operations, commitment, outcome);
        if lie == Lie::Conflict {
            *response.status_mut() = StatusCode::OK;
        }
        response
    }

    /// Runs all operations again, with other answers.
    fn rebase(&self) -> HttpResponse {
        let mut state = self.state.lock().unwrap();
        state.salt += 1;
        let salt = state.salt;
        for operation in &mut state.operations {
            let body = json!({ "target": operation.request.target, "salt": salt });
            operation.response.body = body.to_string().into();
        }
        json(200, json!({ "steps": [] }))
    }
}

/// Whether the client has signed this chain of operations, as validators have it.
fn covers(
    commitment: &plenary_types::Commitment,
    genesis: &plenary_types::GenesisHash,
    operations: &[Operation],
) -> bool {
    let message = commitment.message(genesis, operations);
    message.is_some_and(|message| commitment.key.verify(&message, &commitment.signature))
}
