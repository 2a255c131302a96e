//! Two session nodes of the supply chain in memory, whose messages are delivered by hand.

use bytes::Bytes;
use parking_lot::Mutex;
use plenary_service::{Executor, Options};
use plenary_session::{
    log::Log,
    node::{Bounds, Node, Outside, Parts},
};
use plenary_store::{Files, Store};
use plenary_types::{
    Genesis, PrivateKey, PublicKey, Timestamp, Transaction,
    genesis::{ClientSignatures, Member},
};
use plenary_validator::flush::Flusher;
use redb::backends::InMemoryBackend;
use std::sync::Arc;

/// When everything happens.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// How many validators the network has.
pub const VALIDATORS: u8 = 4;

/// The network, and what its session nodes have sent.
pub struct World {
    pub genesis: Arc<Genesis>,
    /// The node that clients ask, and its key.
    pub originator: Arc<Node>,
    /// The other one.
    pub replica: Arc<Node>,
    /// What the originator has sent to the replica and not been taken yet.
    pub sent: Arc<Mutex<Vec<Bytes>>>,
    pub client: PrivateKey,
}

/// The validators' keys, by index.
pub fn validators() -> Vec<PrivateKey> {
    keys(1, VALIDATORS)
}

fn keys(first: u8, count: u8) -> Vec<PrivateKey> {
    let seeds = first..first + count;
    let mut keys: Vec<_> = seeds
        .map(|seed| PrivateKey::from_seed([seed; 32]))
        .collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

fn members(role: &str, keys: &[PrivateKey]) -> Vec<Member> {
    let keys = keys.iter().enumerate();
    let members = keys.map(|(index, key)| Member {
        name: format!("{role}-{index}"),
        key: key.public_key(),
    });
    members.collect()
}

/// An executor as a node runs it.
pub fn executor() -> Arc<Executor> {
    let executor = Executor::new(supply_chain::service(), Options::default());
    Arc::new(executor.expect("the service is well declared"))
}

/// A new store in memory.
pub fn store(genesis: &Genesis) -> Arc<Store> {
    let files = Files {
        ledger: InMemoryBackend::new(),
        state: InMemoryBackend::new(),
    };
    let store = Store::open(files, genesis, || executor().genesis(genesis));
    Arc::new(store.expect("a store in memory opens"))
}

struct Wire(Arc<Mutex<Vec<Bytes>>>);

impl Outside for Wire {
    fn send(&self, _: &PublicKey, message: Bytes) {
        self.0.lock().push(message);
    }

    fn submit(&self, _: &Transaction, _: usize) {}
}

fn node(genesis: &Arc<Genesis>, key: PrivateKey, sent: &Arc<Mutex<Vec<Bytes>>>) -> Arc<Node> {
    let store = store(genesis);
    // Its thread is the one that writes, so writing is not counted where a step is.
    let (log, recovered) = Log::grouped(InMemoryBackend::new(), |reason| panic!("{reason}"))
        .expect("a log in memory opens");
    let node = Node::new(Parts {
        genesis: genesis.clone(),
        key,
        executor: executor(),
        flusher: Flusher::inline(store.clone()),
        store,
        log,
        recovered,
        evidence: Default::default(),
        bounds: Bounds::default(),
        clock: Box::new(|| NOW),
        outside: Box::new(Wire(sent.clone())),
    });
    Arc::new(node.expect("a node without a past starts"))
}

impl World {
    pub fn new() -> Self {
        let nodes = keys(101, 2);
        let service = supply_chain::service();
        let genesis = Genesis::new(
            "guard",
            NOW,
            ClientSignatures::Required,
            service.id().clone(),
            members("validator", &validators()),
            members("session-node", &nodes),
            supply_chain::genesis::default_config(),
        );
        let genesis = Arc::new(genesis.expect("the genesis is well formed"));
        let sent = Arc::default();
        Self {
            originator: node(&genesis, nodes[0], &sent),
            replica: node(&genesis, nodes[1], &Arc::default()),
            sent,
            client: PrivateKey::from_seed([201; 32]),
            genesis,
        }
    }
}
