//! A network of nodes in simulation, with what a test asserts of it: agreement, validity, and
//! that what was committed is there once.

use super::bank;
use crate::{
    direct::{Originated, originate},
    evidence::EvidenceLog,
    flush::Flusher,
    mempool::Candidate,
    node::{Node, Parts},
};
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_consensus::{
    Application, Demand,
    simulation::{Link, Network, Node as Process, Settings, TURN},
};
use plenary_service::{Executor, Options};
use plenary_store::{Store, testing::Disk};
use plenary_types::{
    Author, Block, Genesis, Outcome, PrivateKey, PublicKey, Request, ServiceId, Timestamp,
    TransactionHash,
    genesis::{ClientSignatures, Member},
};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The genesis' time, in milliseconds.
const START: u64 = 1_700_000_000_000;

/// The seeds to run: the one in `SEED`, or that many from 0.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let (first, count) = one.map_or((0, count), |seed| (seed, 1));
    (first..first + count).inspect(|seed| println!("SEED={seed}"))
}

/// Wraps a correct node into what a validator really runs: itself, or something Byzantine.
pub type Disguise = Box<dyn Fn(Arc<Node>) -> Arc<dyn Application>>;

type Outbox = Arc<Mutex<VecDeque<Bytes>>>;

/// One validator's place.
struct Place {
    disk: Disk,
    node: Option<Arc<Node>>,
    outbox: Outbox,
}

/// The network and everything beside it.
pub struct World {
    /// The simulated network.
    pub network: Network,
    /// Its genesis.
    pub genesis: Arc<Genesis>,
    keys: Vec<PrivateKey>,
    places: Vec<Place>,
    clock: Arc<AtomicU64>,
    nonce: u64,
    /// What was submitted, by transaction: the account and the amount of a deposit.
    pub deposits: BTreeMap<TransactionHash, (String, u64)>,
}

fn genesis(validators: usize, session_nodes: &[PublicKey]) -> (Arc<Genesis>, Vec<PrivateKey>) {
    let mut keys: Vec<PrivateKey> = (0..validators)
        .map(|index| PrivateKey::from_seed([index as u8 + 1; 32]))
        .collect();
    keys.sort_by_key(PrivateKey::public_key);
    let members = keys.iter().enumerate().map(|(index, key)| Member {
        name: format!("validator-{index}"),
        key: key.public_key(),
    });
    let session_nodes = session_nodes.iter().enumerate();
    let session_nodes = session_nodes.map(|(index, key)| Member {
        name: format!("session-node-{index}"),
        key: *key,
    });
    let genesis = Genesis::new(
        "simulation",
        Timestamp(START),
        ClientSignatures::Optional,
        ServiceId {
            name: "bank".into(),
            version: "1.0.0".into(),
        },
        members.collect(),
        session_nodes.collect(),
        serde_json::Value::Null,
    );
    (Arc::new(genesis.unwrap()), keys)
}

/// An executor of the bank that runs everything twice.
pub fn executor() -> Arc<Executor> {
    Arc::new(Executor::new(bank::service(), Options { double_run: true }).unwrap())
}

/// Opens the store on a disk, or makes it.
pub fn open_store(disk: &Disk, genesis: &Genesis) -> Arc<Store> {
    let changes = executor().genesis(genesis);
    Arc::new(Store::open(disk.files(), genesis, || changes).unwrap())
}

/// Runs `script` on a network of `validators`, none of which is started yet.
pub fn run<T>(seed: u64, validators: usize, link: Link, script: impl AsyncFnOnce(World) -> T) -> T {
    run_with(seed, validators, &[], link, script)
}

/// As [`run`], in a network whose genesis names session nodes.
pub fn run_with<T>(
    seed: u64,
    validators: usize,
    session_nodes: &[PublicKey],
    link: Link,
    script: impl AsyncFnOnce(World) -> T,
) -> T {
    let (genesis, keys) = genesis(validators, session_nodes);
    let store = open_store(&Disk::new(), &genesis);
    let settings = Settings {
        seed,
        genesis: genesis.clone(),
        keys: keys.clone(),
        genesis_block: Block::clone(store.genesis_block()),
        link,
        turn: TURN,
    };
    plenary_consensus::simulation::run(settings, |network| async move {
        let place = || Place {
            disk: Disk::new(),
            node: None,
            outbox: Outbox::default(),
        };
        let places = keys.iter().map(|_| place()).collect();
        let clock = Arc::new(AtomicU64::new(START));
        let deposits = BTreeMap::new();
        script(World {
            network,
            genesis,
            keys,
            places,
            clock,
            nonce: 0,
            deposits,
        })
        .await
    })
}

/// Ordinary links within a region.
pub fn link() -> Link {
    Link {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        loss: 0.0,
    }
}

impl World {
    /// Starts, or restarts, a validator on what its disk holds.
    pub async fn start(&mut self, validator: usize) {
        self.start_as(
            validator,
            &(Box::new(|node: Arc<Node>| -> Arc<dyn Application> { node }) as Disguise),
        )
        .await;
    }

    /// Starts a validator that runs what `disguise` makes of a correct node.
    pub async fn start_as(&mut self, validator: usize, disguise: &Disguise) {
        let disk = self.places[validator].disk.clone();
        let (node, demand) = self.build(validator, &disk);
        self.places[validator].node = Some(node.clone());
        let application = disguise(node);
        self.network
            .start(
                validator,
                Process {
                    application,
                    demand,
                },
            )
            .await;
    }

    /// Starts two correct nodes with one validator's key, on disks of their own: an equivocator
    /// as good as any. What each is to commit, it originates itself.
    pub async fn start_twins(&mut self, validator: usize) -> [Arc<Node>; 2] {
        let (first, first_demand) = self.build(validator, &Disk::new());
        let (second, second_demand) = self.build(validator, &Disk::new());
        let processes = [
            (first.clone(), first_demand),
            (second.clone(), second_demand),
        ];
        let processes = processes.map(|(node, demand)| Process {
            application: node,
            demand,
        });
        self.network.start_twins(validator, processes).await;
        [first, second]
    }

    fn build(&mut self, validator: usize, disk: &Disk) -> (Arc<Node>, Demand) {
        let store = open_store(disk, &self.genesis);
        let demand = Demand::new();
        let clock = self.clock.clone();
        let node = Node::new(Parts {
            genesis: self.genesis.clone(),
            key: self.keys[validator],
            executor: executor(),
            flusher: Flusher::inline(store.clone()),
            store,
            evidence: EvidenceLog::default(),
            demand: demand.clone(),
            block_limit: Duration::from_secs(3),
            clock: Box::new(move || Timestamp(clock.load(Ordering::Relaxed))),
        });
        let node = Arc::new(node.unwrap());
        let outbox = Outbox::default();
        self.places[validator].outbox = outbox.clone();
        node.connect(Box::new(move |message| outbox.lock().push_back(message)));
        (node, demand)
    }

    /// Starts the validators of a range.
    pub async fn start_all(&mut self, validators: std::ops::Range<usize>) {
        for validator in validators {
            self.start(validator).await;
        }
    }

    /// Kills a validator's process.
    pub async fn crash(&mut self, validator: usize) {
        self.network.crash(validator).await;
        self.places[validator].node = None;
    }

    /// The node of a running validator.
    pub fn node(&self, validator: usize) -> &Arc<Node> {
        self.places[validator].node.as_ref().unwrap()
    }

    /// The node of a validator, where it runs and is correct.
    pub fn running(&self, validator: usize) -> Option<&Arc<Node>> {
        self.places[validator].node.as_ref()
    }

    /// The running correct nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.places.iter().filter_map(|place| place.node.as_ref())
    }

    /// Stops counting a validator among the correct ones.
    pub fn disown(&mut self, validator: usize) -> Arc<Node> {
        self.places[validator].node.take().unwrap()
    }

    fn tick(&mut self) {
        self.clock.store(self.network.now().0, Ordering::Relaxed);
        for (validator, place) in self.places.iter().enumerate() {
            while let Some(message) = place.outbox.lock().pop_front() {
                self.network.broadcast(validator, &message);
            }
        }
    }

    /// Lets virtual time pass, in small steps so that nodes' clocks and outboxes follow.
    pub async fn sleep(&mut self, duration: Duration) {
        let step = Duration::from_millis(5);
        let mut left = duration;
        while !left.is_zero() {
            self.tick();
            let now = left.min(step);
            self.network.sleep(now).await;
            left -= now;
        }
        self.tick();
    }

    /// A transaction that a validator originates for a fresh anonymous request.
    pub fn originate(&mut self, validator: usize, request: Request) -> Option<Candidate> {
        self.nonce += 1;
        let nonce = Bytes::copy_from_slice(&self.nonce.to_be_bytes());
        self.originate_as(validator, request, Author::Anonymous { nonce })
    }

    /// A transaction that a validator originates; nothing where the handler refuses.
    pub fn originate_as(
        &mut self,
        validator: usize,
        request: Request,
        author: Author,
    ) -> Option<Candidate> {
        self.tick();
        match originate(&**self.node(validator), request, author).unwrap() {
            Originated::Transaction(transaction) => Some(Candidate::new(transaction)),
            Originated::Refused(_) => None,
        }
    }

    /// Submits a transaction to a validator.
    ///
    /// # Panics
    ///
    /// Where it is refused.
    pub fn submit(&mut self, validator: usize, candidate: Candidate) -> TransactionHash {
        let hash = self.node(validator).submit_validated(candidate).unwrap();
        self.tick();
        hash
    }

    /// Deposits at a validator, on an account of its own so that nothing conflicts.
    pub fn deposit(&mut self, validator: usize, amount: u64) -> TransactionHash {
        let account = format!("account-{}", self.nonce);
        let request = bank::deposit_request(&account, amount);
        let candidate = self.originate(validator, request).unwrap();
        let hash = self.submit(validator, candidate);
        self.deposits.insert(hash, (account, amount));
        hash
    }

    /// Waits until every running correct node has made every deposit final.
    ///
    /// # Panics
    ///
    /// Where that takes longer than `most` of virtual time: liveness is lost.
    pub async fn settle(&mut self, most: Duration) {
        let deadline = self.network.now().0 + most.as_millis() as u64;
        let mut round = 0;
        while !self.settled() {
            assert!(
                self.network.now().0 < deadline,
                "not settled within {most:?}: heights {:?}, pending {:?}",
                self.nodes()
                    .map(|node| node.store.tip().height)
                    .collect::<Vec<_>>(),
                self.nodes().map(|node| node.pending()).collect::<Vec<_>>(),
            );
            self.sleep(Duration::from_millis(20)).await;
            round += 1;
            // What the validator's timer does every second.
            if round % 50 == 0 {
                self.nodes().for_each(|node| node.rebroadcast());
            }
        }
    }

    fn settled(&self) -> bool {
        self.nodes().all(|node| {
            let there = |hash| node.store.transaction(hash).unwrap().is_some();
            self.deposits.keys().all(there)
        })
    }

    /// Asserts agreement and validity. Agreement: no two correct nodes have different blocks at a height. Validity: every deposit
    /// that was submitted is committed once, and nothing else changed an account of theirs.
    pub fn assert_agreement_and_validity(&self) {
        let mut chain: BTreeMap<u64, plenary_types::BlockHash> = BTreeMap::new();
        for node in self.nodes() {
            let mut seen = HashSet::new();
            for height in 1..=node.store.tip().height {
                let block = node.store.block(height).unwrap().unwrap();
                let agreed = *chain.entry(height).or_insert(block.hash());
                assert_eq!(agreed, block.hash(), "two blocks at height {height}");
                for (transaction, outcome) in block.transactions.iter().zip(&block.outcomes) {
                    assert!(seen.insert(transaction.hash()), "a transaction came twice");
                    if self.deposits.contains_key(&transaction.hash()) {
                        assert_eq!(*outcome, Outcome::Committed);
                    }
                }
            }
            for (hash, (account, amount)) in &self.deposits {
                if seen.contains(hash) {
                    assert_eq!(self.balance(node, account), *amount, "account {account}");
                }
            }
        }
    }

    /// A balance as a node answers it from finalized state.
    pub fn balance(&self, node: &Node, account: &str) -> u64 {
        let request = bank::request(
            plenary_types::Method::Get,
            &format!("/accounts/{account}"),
            &(),
        );
        let (_, view) = node.store.state().latest();
        let execution = node.executor.read(view, &request, self.network.now());
        serde_json::from_slice(&execution.unwrap().answer.unwrap().body).unwrap()
    }
}
