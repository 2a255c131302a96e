//! Session nodes beside simulated validators: a wire with delay, loss and cuts, disks that lose what
//! was not synced, and blocks that are followed from validators nobody trusts.

use crate::liar::Liar;
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_session::{
    follow::{
        submit::Refused,
        verify::{Link, Verifier},
    },
    log::Log,
    node::{Bounds, Node, Outside, Parts},
};
use plenary_store::{
    Entry as Certified, Tip,
    testing::{Disk, Random},
};
use plenary_types::{
    Block, Digest, PrivateKey, Problem, PublicKey, Timestamp, Transaction, decode, encode,
};
use plenary_validator::{
    flush::Flusher,
    testing::world::{World, executor, open_store},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a turn of the simulation is, in milliseconds.
const TURN_MS: u64 = 5;
/// Most blocks that a session node asks for at a time.
const BLOCKS: u64 = 8;

/// How often a node asks in vain, while what it has is not final, before it turns to others.
const PATIENCE: u64 = 50;

/// What a session node has let go of.
enum Sent {
    Message(PublicKey, Bytes),
    Transaction(Transaction, usize),
}

/// What arrives somewhere.
enum Arrival {
    Message {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    Transaction {
        /// The session node that sent it; nothing where it was a client or a liar.
        from: Option<usize>,
        validator: usize,
        transaction: Transaction,
    },
    /// To the `life`th life of a session node's process.
    Blocks {
        node: usize,
        life: u64,
        entries: Vec<(Bytes, Certified)>,
    },
}

struct Port(Arc<Mutex<Vec<Sent>>>);

impl Outside for Port {
    fn send(&self, to: &PublicKey, message: Bytes) {
        self.0.lock().push(Sent::Message(*to, message));
    }

    fn submit(&self, transaction: &Transaction, attempt: usize) {
        let sent = Sent::Transaction(transaction.clone(), attempt);
        self.0.lock().push(sent);
    }
}

/// A session node's place.
struct Place {
    key: PrivateKey,
    state: Disk,
    log: Disk,
    /// How far its clock is ahead, in milliseconds.
    skew: u64,
    node: Option<Arc<Node>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    life: u64,
    verifier: Option<Verifier>,
    /// The last height that its verifier was given.
    followed: u64,
    /// How often it has asked in vain while its verifier held blocks.
    held: u64,
    asking: bool,
}

/// Both layers.
pub struct Net {
    pub world: World,
    pub random: Random,
    /// The validator that serves tampered blocks, and does worse in the engine.
    pub byzantine: Option<usize>,
    pub liar: Option<Liar>,
    pub bounds: Bounds,
    /// Session nodes that nobody can reach.
    pub cut: BTreeSet<usize>,
    /// Whether nothing fails any more.
    pub peace: bool,
    places: Vec<Place>,
    clock: Arc<AtomicU64>,
    arrivals: BTreeMap<(u64, u64), Arrival>,
    sequence: u64,
    turns: u64,
}

/// The keys of `count` session nodes, in the order of the genesis.
pub fn session_keys(count: usize) -> Vec<PrivateKey> {
    let keys = (0..count as u8).map(|index| PrivateKey::from_seed([101 + index; 32]));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(PrivateKey::public_key);
    keys
}

impl Net {
    /// Session nodes with `keys` beside the validators of `world`, none of which runs yet.
    pub fn new(world: World, seed: u64, keys: Vec<PrivateKey>, bounds: Bounds) -> Self {
        let mut random = Random::new(seed);
        let places = keys.into_iter().map(|key| Place {
            key,
            state: Disk::new(),
            log: Disk::new(),
            skew: random.below(1_000),
            node: None,
            sent: Arc::default(),
            life: 0,
            verifier: None,
            followed: 0,
            held: 0,
            asking: false,
        });
        Self {
            places: places.collect(),
            clock: Arc::new(AtomicU64::new(world.network.now().0)),
            world,
            random,
            byzantine: None,
            liar: None,
            bounds,
            cut: BTreeSet::new(),
            peace: false,
            arrivals: BTreeMap::new(),
            sequence: 0,
            turns: 0,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.world.network.now()
    }

    /// How many session nodes there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// A session node that runs and can be reached.
    pub fn reach(&self, node: usize) -> Option<&Arc<Node>> {
        let reached = !self.cut.contains(&node);
        self.places[node].node.as_ref().filter(|_| reached)
    }

    pub fn is_running(&self, node: usize) -> bool {
        self.places[node].node.is_some()
    }

    /// Whether a session node does as it should.
    pub fn is_honest(&self, node: usize) -> bool {
        self.liar.as_ref().is_none_or(|liar| liar.node != node)
    }

    /// The honest session nodes that run.
    pub fn honest(&self) -> impl Iterator<Item = (usize, &Arc<Node>)> {
        let places = self.places.iter().enumerate();
        let running = places.filter_map(|(index, place)| Some((index, place.node.as_ref()?)));
        running.filter(|(index, _)| self.is_honest(*index))
    }

    /// Starts a session node on what its disks hold.
    pub fn start(&mut self, index: usize) {
        let place = &mut self.places[index];
        let genesis = self.world.genesis.clone();
        let store = open_store(&place.state, &genesis);
        let files = place.log.files();
        let (log, recovered) = Log::inline(files.ledger, |reason| panic!("{reason}")).unwrap();
        let (clock, skew) = (self.clock.clone(), place.skew);
        let node = Node::new(Parts {
            genesis,
            key: place.key,
            executor: executor(),
            flusher: Flusher::inline(store.clone()),
            store,
            log,
            recovered,
            evidence: Default::default(),
            bounds: self.bounds.clone(),
            clock: Box::new(move || Timestamp(clock.load(Ordering::Relaxed) + skew)),
            outside: Box::new(Port(place.sent.clone())),
        });
        place.node = Some(Arc::new(node.unwrap()));
        self.follow_anew(index);
    }

    /// A node turns to other validators, and forgets what was not final.
    fn follow_anew(&mut self, index: usize) {
        let genesis = self.world.genesis.clone();
        let place = &mut self.places[index];
        if let Some(node) = &place.node {
            let Tip { height, hash, .. } = node.store.tip();
            place.followed = height;
            place.verifier = Some(Verifier::new(genesis, Link { height, hash }));
        }
        place.asking = false;
        place.held = 0;
    }

    /// Kills a session node's process, and its machine: what was not synced may be lost.
    pub fn crash(&mut self, index: usize) {
        let seed = self.random.below(1 << 32);
        let place = &mut self.places[index];
        let crashed = [&place.state, &place.log].map(|disk| disk.crash(disk.events(), seed));
        place.node = None;
        [place.state, place.log] = crashed;
        place.sent.lock().clear();
        place.life += 1;
    }

    /// Sends a transaction to a validator, as a client or a liar does.
    pub fn send_to_layer_1(&mut self, transaction: Transaction) {
        let validator = self.random.below(4) as usize;
        self.arrive(Arrival::Transaction {
            from: None,
            validator,
            transaction,
        });
    }

    fn arrive(&mut self, arrival: Arrival) {
        let due = self.now().0 + 1 + self.random.below(20);
        self.sequence += 1;
        self.arrivals.insert((due, self.sequence), arrival);
    }

    /// Lets virtual time pass.
    pub async fn sleep(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(TURN_MS) {
            self.turn().await;
        }
    }

    async fn turn(&mut self) {
        self.world.sleep(Duration::from_millis(TURN_MS)).await;
        self.clock.store(self.now().0, Ordering::Relaxed);
        self.turns += 1;
        for index in 0..self.places.len() {
            if self.turns.is_multiple_of(4) {
                self.ask_for_blocks(index);
            }
            if self.turns.is_multiple_of(20)
                && let Some(node) = &self.places[index].node
            {
                node.tick();
            }
            self.collect(index);
        }
        if self.turns.is_multiple_of(200) {
            self.world.nodes().for_each(|node| node.rebroadcast());
        }
        let now = self.now().0;
        while let Some(first) = self.arrivals.first_entry()
            && first.key().0 <= now
        {
            let arrival = first.remove();
            self.take(arrival);
        }
    }

    /// Takes what a node has sent to the wire, on which the liar's may change.
    fn collect(&mut self, from: usize) {
        let sent: Vec<Sent> = self.places[from].sent.lock().drain(..).collect();
        for sent in sent {
            let lost = self.cut.contains(&from) || self.random.below(50) == 0;
            if lost {
                continue;
            }
            match sent {
                Sent::Message(to, bytes) => {
                    let to = self.places.iter().position(|it| it.key.public_key() == to);
                    let to = to.unwrap();
                    let bytes = match &mut self.liar {
                        Some(liar) if liar.node == from => liar.message(to, bytes),
                        _ => Some(bytes),
                    };
                    if let Some(bytes) = bytes {
                        self.arrive(Arrival::Message { from, to, bytes });
                    }
                }
                Sent::Transaction(transaction, attempt) => {
                    let withheld = |liar: &Liar| liar.node == from && liar.withholds();
                    if !self.liar.as_ref().is_some_and(withheld) {
                        let validator = (from + attempt) % 4;
                        self.arrive(Arrival::Transaction {
                            from: Some(from),
                            validator,
                            transaction,
                        });
                    }
                }
            }
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { from, to, bytes } => {
                let sender = self.places[from].key.public_key();
                if let Some(node) = self.reach(to).cloned() {
                    let lie = self.liar.as_ref().and_then(|it| it.provable(&node, &bytes));
                    node.receive(sender, bytes);
                    if let (Some(lie), Some(liar)) = (lie, &mut self.liar) {
                        liar.is_proven(&node, lie);
                    }
                }
            }
            Arrival::Transaction {
                from,
                validator,
                transaction,
            } => self.submit(from, validator, transaction),
            Arrival::Blocks {
                node,
                life,
                entries,
            } => self.follow(node, life, entries),
        }
    }

    /// A validator gets a transaction, and says so where it refuses it; a Byzantine one refuses all.
    fn submit(&mut self, from: Option<usize>, validator: usize, transaction: Transaction) {
        let hash = transaction.hash();
        let problem = match self.world.running(validator) {
            _ if self.byzantine == Some(validator) => Problem::new(422, "service-version", "no"),
            Some(node) => match node.submit(transaction) {
                Err(refusal) => refusal.problem(),
                Ok(_) => return,
            },
            None => return,
        };
        if let Some(node) = from
            .and_then(|from| self.reach(from))
            .filter(|_| !problem.retryable)
        {
            node.refused(&Refused {
                transaction: hash,
                validator: self.world.genesis.validators[validator].key,
                problem,
            });
        }
    }

    /// A node asks any validator for the blocks after those that it has.
    fn ask_for_blocks(&mut self, node: usize) {
        let tip = self.reach(node).map(|node| node.store.tip().height);
        let Some(tip) = tip.filter(|_| !self.places[node].asking) else {
            return;
        };
        self.places[node].held += u64::from(tip < self.places[node].followed);
        if self.places[node].held > PATIENCE {
            self.follow_anew(node);
        }
        let source = self.random.below(4) as usize;
        let honest = match self.byzantine {
            Some(byzantine) if byzantine == source => (source + 1) % 4,
            _ => source,
        };
        let Some(validator) = self.world.running(honest) else {
            return;
        };
        let from = self.places[node].followed + 1;
        let heights = from..=validator.store.tip().height.min(from + BLOCKS - 1);
        let entries = heights.filter_map(|height| validator.store.entry(height).unwrap());
        let mut entries: Vec<(Bytes, Certified)> = entries
            .map(|entry| (encode(&*entry.block), entry))
            .collect();
        if Some(source) == self.byzantine
            && let Some((bytes, entry)) = entries.last_mut()
        {
            tamper(&mut self.random, bytes, entry);
        }
        if !entries.is_empty() {
            self.places[node].asking = true;
            let life = self.places[node].life;
            self.arrive(Arrival::Blocks {
                node,
                life,
                entries,
            });
        }
    }

    /// A node takes blocks: what does not verify ends the conversation.
    fn follow(&mut self, index: usize, life: u64, entries: Vec<(Bytes, Certified)>) {
        let place = &mut self.places[index];
        let (Some(node), true) = (&place.node, place.life == life) else {
            return;
        };
        place.asking = false;
        let Some(verifier) = &mut place.verifier else {
            return;
        };
        for (bytes, entry) in entries {
            let block = decode::<Block>(bytes).ok();
            let pushed = block.and_then(|block| {
                let finals = verifier.push(block, entry.certificate).ok()?;
                Some(finals.collect::<Vec<_>>())
            });
            let Some(finals) = pushed else {
                self.follow_anew(index);
                return;
            };
            for entry in finals {
                let taken = node.final_block(&entry.block, entry.certificate);
                taken.unwrap();
                place.held = 0;
            }
            place.followed += 1;
        }
    }
}

/// What a Byzantine validator makes of a block before it gives it away.
fn tamper(random: &mut Random, bytes: &mut Bytes, entry: &mut Certified) {
    let mut block = Block::clone(&entry.block);
    match random.below(4) {
        0 => block.header.state = Digest([7; 32]),
        1 => {
            if let Some(certificate) = &mut entry.certificate {
                certificate.signatures.truncate(2);
            }
        }
        2 => {
            block.header.time = block.header.time.plus_ms(1);
            entry.certificate = None;
        }
        _ => drop(block.transactions.pop()),
    }
    *bytes = encode(&block);
}
