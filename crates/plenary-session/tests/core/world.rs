//! Session nodes in memory, whose messages the test delivers, and a layer 1 that is one executor
//! with all validators' keys.

use bytes::Bytes;
use parking_lot::Mutex;
use plenary_consensus::Proposal;
use plenary_session::{
    error::Refusal,
    log::Log,
    message::Message,
    node::{Bounds, Node, Outside, Parts},
    participation::Participation,
    session::{Entry, Step},
    step::{Asked, Ran},
};
use plenary_store::{Store, testing::Disk};
use plenary_types::{
    Author, Block, Certificate, Digest, Genesis, Outcome, PrivateKey, PublicKey, Request, Response,
    Round, ServiceId, SessionId, Timestamp, Transaction, TransactionHash,
    genesis::{ClientSignatures, Member},
    testing::Network,
};
use plenary_validator::{
    chain::Chain,
    flush::Flusher,
    mempool::Candidate,
    testing::world::{executor, open_store},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::support::Client;

const START: u64 = 1_700_000_000_000;

/// A network of session nodes `0..count`, by the order of their keys.
pub fn network(count: usize) -> (Network, Vec<PrivateKey>) {
    let keys = |first: u8, count: usize| {
        let mut keys: Vec<PrivateKey> = (0..count as u8)
            .map(|index| PrivateKey::from_seed([first + index; 32]))
            .collect();
        keys.sort_by_key(PrivateKey::public_key);
        keys
    };
    let members = |name: &str, keys: &[PrivateKey]| {
        let members = keys.iter().enumerate();
        let members = members.map(|(index, key)| Member {
            name: format!("{name}-{index}"),
            key: key.public_key(),
        });
        members.collect::<Vec<_>>()
    };
    let (validators, nodes) = (keys(1, 4), keys(101, count));
    let genesis = Genesis::new(
        "core",
        Timestamp(START),
        ClientSignatures::Optional,
        ServiceId {
            name: "bank".into(),
            version: "1.0.0".into(),
        },
        members("validator", &validators),
        members("session-node", &nodes),
        serde_json::Value::Null,
    );
    let network = Network {
        genesis: genesis.unwrap(),
        validators,
    };
    (network, nodes)
}

/// A layer 1 that ratifies when the test says so.
pub struct Layer1 {
    network: Network,
    pub genesis: Arc<Genesis>,
    pub store: Arc<Store>,
    chain: Chain,
    pub waiting: Vec<Transaction>,
    pub blocks: Vec<(Arc<Block>, Certificate)>,
}

impl Layer1 {
    fn new(network: Network) -> Self {
        let genesis = Arc::new(network.genesis.clone());
        let store = open_store(&Disk::new(), &genesis);
        Self {
            chain: Chain::open(genesis.clone(), executor(), store.clone()).unwrap(),
            network,
            genesis,
            store,
            waiting: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// Queues a transaction, as a validator does.
    pub fn submit(&mut self, transaction: Transaction) {
        transaction.validate(&self.genesis).unwrap();
        let known = |other: &Transaction| other.hash() == transaction.hash();
        if !self.waiting.iter().any(known) {
            self.waiting.push(transaction);
        }
    }

    /// Makes a certified block of what waits; of nothing it makes none. Says what came of each.
    pub fn ratify(&mut self, now: Timestamp) -> Vec<(TransactionHash, Outcome)> {
        let tip = self.store.tip();
        let view = tip.height + 1;
        let proposal = Proposal {
            height: view,
            round: Round {
                epoch: 0,
                view,
                parent_view: tip.height,
            },
            parent: tip.hash,
            proposer: self.genesis.validators[0].key,
            now,
            required: false,
        };
        let waiting = std::mem::take(&mut self.waiting);
        let candidates = waiting.into_iter().map(Candidate::new).map(Arc::new);
        let candidates: Vec<_> = candidates.collect();
        let built = self.chain.build(&proposal, &[], &candidates).unwrap();
        let Some(block) = built.map(Arc::new) else {
            return Vec::new();
        };
        let certificate = self.network.certificate(&block.header);
        let finalized = self.chain.finalize(&block, Some(certificate.clone()));
        finalized.unwrap();
        let hashes = block.transactions.iter().map(Transaction::hash);
        let decided = hashes.zip(block.outcomes.iter().cloned()).collect();
        self.blocks.push((block, certificate));
        decided
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub from: usize,
    pub to: usize,
    pub bytes: Bytes,
}

impl Envelope {
    pub fn message(&self) -> Message {
        plenary_types::decode(self.bytes.clone()).unwrap()
    }
}

/// What the nodes have sent.
#[derive(Default)]
pub struct Wire {
    pub messages: VecDeque<Envelope>,
    pub submitted: Vec<(Transaction, usize)>,
}

struct Port {
    node: usize,
    keys: Vec<PublicKey>,
    wire: Arc<Mutex<Wire>>,
}

impl Outside for Port {
    fn send(&self, to: &PublicKey, bytes: Bytes) {
        let to = self.keys.iter().position(|key| key == to).unwrap();
        let envelope = Envelope {
            from: self.node,
            to,
            bytes,
        };
        self.wire.lock().messages.push_back(envelope);
    }

    fn submit(&self, transaction: &Transaction, attempt: usize) {
        let mut wire = self.wire.lock();
        wire.submitted.push((transaction.clone(), attempt));
    }
}

/// A session node's place.
pub struct Place {
    pub key: PrivateKey,
    pub state: Disk,
    pub log: Disk,
    node: Option<Arc<Node>>,
}

/// Session nodes, their wire and their layer 1.
pub struct World {
    pub layer1: Layer1,
    pub wire: Arc<Mutex<Wire>>,
    pub places: Vec<Place>,
    pub bounds: Bounds,
    /// Whether logs write in groups, from a thread of their own.
    pub grouped: bool,
    clock: Arc<AtomicU64>,
}

impl World {
    /// `count` nodes that run.
    pub fn new(count: usize) -> Self {
        Self::with(count, Bounds::default())
    }

    /// `count` nodes that want `participation`.
    pub fn participating(count: usize, participation: Participation) -> Self {
        let bounds = Bounds {
            participation,
            ..Bounds::default()
        };
        Self::with(count, bounds)
    }

    /// `count` nodes that run within bounds.
    pub fn with(count: usize, bounds: Bounds) -> Self {
        let (network, keys) = network(count);
        let place = |key| Place {
            key,
            state: Disk::new(),
            log: Disk::new(),
            node: None,
        };
        let mut world = Self {
            layer1: Layer1::new(network),
            wire: Arc::default(),
            places: keys.into_iter().map(place).collect(),
            bounds,
            grouped: false,
            clock: Arc::new(AtomicU64::new(START)),
        };
        (0..count).for_each(|node| world.start(node));
        world
    }

    /// Starts a node on what its disks hold.
    pub fn start(&mut self, node: usize) {
        let place = &self.places[node];
        let genesis = self.layer1.genesis.clone();
        let store = open_store(&place.state, &genesis);
        let files = place.log.files();
        let open = if self.grouped {
            Log::grouped
        } else {
            Log::inline
        };
        let failing = Arc::<OnceLock<Weak<Node>>>::default();
        let told = failing.clone();
        let failed = move |reason| match told.get().and_then(Weak::upgrade) {
            Some(node) => node.fail(reason),
            None => panic!("{reason}"),
        };
        let (log, recovered) = open(files.ledger, failed).unwrap();
        let clock = self.clock.clone();
        let port = Port {
            node,
            keys: self.keys(),
            wire: self.wire.clone(),
        };
        let started = Node::new(Parts {
            genesis,
            key: place.key,
            executor: executor(),
            flusher: Flusher::inline(store.clone()),
            store,
            log,
            recovered,
            evidence: Default::default(),
            bounds: self.bounds.clone(),
            clock: Box::new(move || Timestamp(clock.load(Ordering::Relaxed))),
            outside: Box::new(port),
        });
        let started = Arc::new(started.unwrap());
        let _ = failing.set(Arc::downgrade(&started));
        self.places[node].node = Some(started);
    }

    fn keys(&self) -> Vec<PublicKey> {
        let places = self.places.iter();
        places.map(|place| place.key.public_key()).collect()
    }

    /// Kills a node at once: what it had synced is on its disks, and any part of the rest.
    pub fn crash(&mut self, node: usize) {
        let place = &mut self.places[node];
        let (state, log) = (&place.state, &place.log);
        let (state, log) = (state.crash(state.events(), 1), log.crash(log.events(), 1));
        place.node = None;
        (place.state, place.log) = (state, log);
    }

    /// Kills a node and starts it again.
    pub fn restart(&mut self, node: usize) {
        self.crash(node);
        self.start(node);
        self.feed(node);
    }

    pub fn node(&self, node: usize) -> &Arc<Node> {
        self.places[node].node.as_ref().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    /// Lets time pass, and the running nodes' timers go off.
    pub fn advance(&mut self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
        for place in &self.places {
            if let Some(node) = &place.node {
                node.tick();
            }
        }
    }

    /// Takes what is on its way off the wire.
    pub fn intercept(&mut self) -> Vec<Envelope> {
        self.wire.lock().messages.drain(..).collect()
    }

    /// Gives one message to its receiver, where that runs.
    pub fn deliver(&mut self, envelope: &Envelope) {
        let from = self.places[envelope.from].key.public_key();
        if let Some(node) = &self.places[envelope.to].node {
            node.receive(from, envelope.bytes.clone());
        }
    }

    /// Delivers all messages, and those that they bring about.
    ///
    /// # Panics
    ///
    /// Where that does not end.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some(envelope) = ({ self.wire.lock().messages.pop_front() }) else {
                return;
            };
            self.deliver(&envelope);
        }
        panic!("the nodes do not stop talking");
    }

    /// Gives what was submitted to layer 1.
    pub fn submit(&mut self) {
        let submitted = std::mem::take(&mut self.wire.lock().submitted);
        for (transaction, _) in submitted {
            self.layer1.submit(transaction);
        }
    }

    /// Layer 1 makes a block of what was submitted, and every running node hears of it.
    pub fn ratify(&mut self) -> Vec<(TransactionHash, Outcome)> {
        self.submit();
        let decided = self.layer1.ratify(self.now());
        (0..self.places.len()).for_each(|node| self.feed(node));
        decided
    }

    /// Gives a node the blocks that it lacks.
    pub fn feed(&self, node: usize) {
        let Some(node) = &self.places[node].node else {
            return;
        };
        let from = node.store.tip().height as usize;
        for (block, certificate) in &self.layer1.blocks[from..] {
            let taken = node.final_block(block, Some(certificate.clone()));
            taken.unwrap();
        }
    }

    /// A node's session of a client.
    pub fn entry(&self, node: usize, client: &Client) -> Arc<Entry> {
        self.find(node, client.session()).unwrap()
    }

    pub fn find(&self, node: usize, session: SessionId) -> Option<Arc<Entry>> {
        self.node(node).sessions.get(&session)
    }

    /// Where a client's session is in its life at a node.
    pub fn status(&self, node: usize, client: &Client) -> &'static str {
        self.entry(node, client).live.lock().status.name()
    }

    /// The chain of a client's session at a node.
    pub fn chain(&self, node: usize, client: &Client) -> Digest {
        self.entry(node, client).live.lock().chain()
    }

    /// A client asks a node for the next step of its session, the first of which opens it.
    pub fn try_step(
        &self,
        node: usize,
        client: &mut Client,
        request: Request,
    ) -> Result<Ran, Refusal> {
        let asked = client.ask(self.now(), request);
        self.ask(node, client, asked)
    }

    /// A client sends a signed request to a node.
    pub fn ask(&self, node: usize, client: &Client, asked: Asked) -> Result<Ran, Refusal> {
        if client.seen.is_empty() {
            return self.node(node).open(asked);
        }
        let session = client.session();
        let entry = self.find(node, session);
        let entry = entry.ok_or(Refusal::UnknownSession(session))?;
        self.node(node).step(&entry, asked)
    }

    /// A client does a step, which must be taken, and keeps the answer.
    pub fn step(&self, node: usize, client: &mut Client, request: Request) -> Step {
        let step = stepped(self.try_step(node, client, request));
        client.saw(&step);
        step
    }

    /// A client commits what it has seen.
    pub fn try_commit(&self, node: usize, client: &Client) -> Result<(), Refusal> {
        let entry = self.entry(node, client);
        self.node(node)
            .commit(&entry, client.word(&self.layer1.genesis))
    }

    pub fn commit(&self, node: usize, client: &Client) {
        self.try_commit(node, client).unwrap();
    }
}

/// The step that a request came to.
pub fn stepped(ran: Result<Ran, Refusal>) -> Step {
    match ran.unwrap() {
        Ran::Stepped(stepped) => stepped.step,
        Ran::Refused(response) => panic!("refused: {response:?}"),
    }
}

/// The code that a refusal has over HTTP.
pub fn code<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> String {
    refused.unwrap_err().problem().code.clone()
}

/// A response's body as a number.
pub fn number(response: &Response) -> u64 {
    serde_json::from_slice(&response.body).unwrap()
}

/// The request of a client that does not sign.
pub fn anonymous(nonce: &str, token: Option<String>, request: Request) -> Asked {
    Asked {
        request,
        author: Author::Anonymous {
            nonce: Bytes::copy_from_slice(nonce.as_bytes()),
        },
        token,
        seen: None,
        commitment: None,
    }
}
