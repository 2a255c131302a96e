//! A small application: an ordered log of texts, each in it once.

use bytes::Bytes;
use parking_lot::Mutex;
use plenary_consensus::{Acknowledgement, Application, Demand, Proposal};
use plenary_types::{
    Block, BlockHash, Certificate, Digest, Genesis, Header, Method, Operation, Outcome, PrivateKey,
    PublicKey, Request, Response, ServiceId, Signature, Timestamp, Transaction, TransactionHash,
    block::{outcomes_root, transactions_root},
    evidence::Evidence,
    genesis::{ClientSignatures, Member},
    operation::Author,
    transaction::Content,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A network of `n` validators, with their keys in the genesis' order.
pub(crate) fn network(n: u8) -> (Arc<Genesis>, Vec<PrivateKey>) {
    let mut keys: Vec<_> = (1..=n).map(|i| PrivateKey::from_seed([i; 32])).collect();
    keys.sort_by_key(PrivateKey::public_key);
    let validators = keys.iter().enumerate().map(|(index, key)| Member {
        name: format!("v{index}"),
        key: key.public_key(),
    });
    let genesis = Genesis::new(
        "test",
        Timestamp(1_700_000_000_000),
        ClientSignatures::Optional,
        service(),
        validators.collect(),
        Vec::new(),
        serde_json::Value::Null,
    );
    (Arc::new(genesis.unwrap()), keys)
}

fn service() -> ServiceId {
    ServiceId {
        name: "log".into(),
        version: "1".into(),
    }
}

/// The block at height 0.
pub(crate) fn genesis_block(genesis: &Genesis) -> Block {
    Block::genesis(genesis, Digest([0; 32]))
}

/// A transaction that adds a text, which is signed by nobody: the log trusts its validators.
pub(crate) fn entry(text: &[u8]) -> Transaction {
    let operation = Operation {
        request: Request {
            method: Method::Post,
            target: "/".into(),
            content_type: String::new(),
            body: Bytes::copy_from_slice(text),
        },
        author: Author::Anonymous {
            nonce: Bytes::from_static(b"log"),
        },
        time: Timestamp(0),
        reads: Vec::new(),
        response: Response {
            status: 200,
            content_type: String::new(),
            body: Bytes::new(),
        },
    };
    let content = Content {
        service: service(),
        operations: vec![operation],
        commitment: None,
        endorsements: Vec::new(),
        originator: PublicKey([0; 32]),
        signature: Signature([0; 64]),
    };
    Transaction::new(&content).unwrap()
}

/// A final block, and its certificate where it has one.
pub(crate) type Final = (Arc<Block>, Option<Certificate>);

/// What survives when the application's process is killed.
pub(crate) type Disk = Arc<Mutex<Vec<Final>>>;

#[derive(Default)]
struct State {
    chain: Vec<Final>,
    heights: BTreeMap<TransactionHash, u64>,
    pending: Vec<Transaction>,
    unacknowledged: Vec<Acknowledgement>,
    evidence: Vec<Evidence>,
    delivered: u64,
}

/// One validator's log.
pub(crate) struct Log {
    genesis: Arc<Genesis>,
    /// Raised while something is pending.
    pub(crate) demand: Demand,
    disk: Disk,
    /// How many blocks are made durable, and acknowledged, at a time.
    group: usize,
    /// Says that every block is wrong.
    pub(crate) refuse: bool,
    /// Forgets to acknowledge.
    pub(crate) careless: bool,
    /// How many blocks it was asked for.
    asked: AtomicU64,
    state: Mutex<State>,
}

/// The state after `block`, whose header need not be right.
fn state_after(parent: &Header, transactions: &[Transaction]) -> Digest {
    let root = transactions_root(transactions);
    Digest::of("log state", &[&parent.state.0, &root.0])
}

impl Log {
    /// Opens the log that a disk has.
    pub(crate) fn with_disk(genesis: &Arc<Genesis>, disk: &Disk, group: usize) -> Arc<Self> {
        let log = Self {
            genesis: genesis.clone(),
            demand: Demand::new(),
            disk: disk.clone(),
            group,
            refuse: false,
            careless: false,
            asked: AtomicU64::new(0),
            state: Mutex::default(),
        };
        let finals = disk.lock().clone();
        finals
            .into_iter()
            .for_each(|last| log.state.lock().apply(last));
        Arc::new(log)
    }

    /// A new, empty log.
    pub(crate) fn new(genesis: &Arc<Genesis>) -> Arc<Self> {
        Self::with_disk(genesis, &Disk::default(), 1)
    }

    /// Adds a text, some day; gives the message that the other validators should get.
    pub(crate) fn submit(&self, text: &[u8]) -> Bytes {
        let transaction = entry(text);
        let message = plenary_types::encode(&transaction);
        self.add(transaction);
        message
    }

    fn add(&self, transaction: Transaction) {
        let mut state = self.state.lock();
        if !state.heights.contains_key(&transaction.hash()) && !state.pending.contains(&transaction)
        {
            state.pending.push(transaction);
            self.demand.raise();
        }
    }

    /// What is to be sent again.
    pub(crate) fn pending(&self) -> Vec<Bytes> {
        let state = self.state.lock();
        state.pending.iter().map(plenary_types::encode).collect()
    }

    /// The final blocks.
    pub(crate) fn chain(&self) -> Vec<Final> {
        self.state.lock().chain.clone()
    }

    /// The hashes of the final blocks.
    pub(crate) fn hashes(&self) -> Vec<BlockHash> {
        let state = self.state.lock();
        state.chain.iter().map(|(block, _)| block.hash()).collect()
    }

    /// The texts in it, in order.
    pub(crate) fn texts(&self) -> Vec<Bytes> {
        let state = self.state.lock();
        let transactions = state
            .chain
            .iter()
            .flat_map(|(block, _)| &block.transactions);
        transactions
            .map(|transaction| transaction.operations[0].request.body.clone())
            .collect()
    }

    /// How many texts are in it.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().heights.len()
    }

    /// How many blocks are in it.
    pub(crate) fn blocks(&self) -> usize {
        self.state.lock().chain.len()
    }

    /// How many texts are pending.
    pub(crate) fn open(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// Whether it has the text.
    pub(crate) fn has(&self, text: &[u8]) -> bool {
        self.state.lock().heights.contains_key(&entry(text).hash())
    }

    /// Proofs of misbehaviour that came.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        self.state.lock().evidence.clone()
    }

    /// How many blocks came, again or for the first time.
    pub(crate) fn delivered(&self) -> u64 {
        self.state.lock().delivered
    }

    /// How many blocks the engine asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn tip(&self, state: &State) -> Header {
        let last = state.chain.last();
        last.map_or_else(
            || genesis_block(&self.genesis).header,
            |(block, _)| block.header.clone(),
        )
    }
}

impl State {
    fn apply(&mut self, last: Final) {
        let height = last.0.header.height;
        for transaction in &last.0.transactions {
            let before = self.heights.insert(transaction.hash(), height);
            assert_eq!(before, None, "a transaction is in the log twice");
        }
        let heights = &self.heights;
        self.pending
            .retain(|transaction| !heights.contains_key(&transaction.hash()));
        self.chain.push(last);
    }
}

impl Application for Log {
    fn height(&self) -> u64 {
        self.state.lock().chain.len() as u64
    }

    fn propose(&self, proposal: &Proposal, ancestors: &[Arc<Block>]) -> Option<Block> {
        let state = self.state.lock();
        let tip = self.tip(&state);
        let parent = ancestors.last().map_or(&tip, |block| &block.header);
        if parent.hash() != proposal.parent {
            return None;
        }
        let taken = ancestors.iter().flat_map(|block| &block.transactions);
        let taken: BTreeSet<_> = taken.map(Transaction::hash).collect();
        let free = state
            .pending
            .iter()
            .filter(|transaction| !taken.contains(&transaction.hash()));
        let transactions: Vec<_> = free.take(500).cloned().collect();
        if transactions.is_empty() && !proposal.required {
            return None;
        }
        let outcomes = vec![Outcome::Committed; transactions.len()];
        let header = Header {
            genesis: self.genesis.hash(),
            height: proposal.height,
            round: proposal.round,
            parent: proposal.parent,
            proposer: proposal.proposer,
            time: proposal.now.max(parent.time),
            count: transactions.len() as u32,
            transactions: transactions_root(&transactions),
            outcomes: outcomes_root(&transactions, &outcomes),
            state: state_after(parent, &transactions),
        };
        Some(Block {
            header,
            transactions,
            outcomes,
        })
    }

    fn verify(&self, block: &Arc<Block>, ancestors: &[Arc<Block>], _: Timestamp) -> bool {
        let state = self.state.lock();
        let tip = self.tip(&state);
        let applied = |block: &Block| block.header.height <= tip.height;
        if applied(block) {
            return state.chain[block.header.height as usize - 1].0 == *block;
        }
        let open = ancestors.iter().filter(|block| !applied(block));
        let parent = ancestors.last().filter(|block| !applied(block));
        let parent = parent.map_or(&tip, |block| &block.header);
        let mut known: BTreeSet<_> = open
            .flat_map(|block| &block.transactions)
            .map(Transaction::hash)
            .collect();
        let fresh = block.transactions.iter().all(|transaction| {
            let hash = transaction.hash();
            !state.heights.contains_key(&hash) && known.insert(hash)
        });
        !self.refuse
            && fresh
            && parent.hash() == block.header.parent
            && parent.time <= block.header.time
            && block
                .outcomes
                .iter()
                .all(|outcome| *outcome == Outcome::Committed)
            && block.header.state == state_after(parent, &block.transactions)
    }

    fn finalize(
        &self,
        block: Arc<Block>,
        certificate: Option<Certificate>,
        acknowledgement: Acknowledgement,
    ) {
        let mut state = self.state.lock();
        state.delivered += 1;
        let tip = self.tip(&state);
        if block.header.height <= tip.height {
            assert_eq!(state.chain[block.header.height as usize - 1].0, block);
            acknowledgement.complete();
            return;
        }
        assert_eq!(block.header.height, tip.height + 1, "a height was left out");
        assert_eq!(block.header.parent, tip.hash(), "the chain forks");
        state.apply((block, certificate));
        if self.careless {
            return;
        }
        state.unacknowledged.push(acknowledgement);
        if state.pending.is_empty() {
            self.demand.lower();
        }
        if state.unacknowledged.len() >= self.group {
            *self.disk.lock() = state.chain.clone();
            let done = std::mem::take(&mut state.unacknowledged);
            done.into_iter().for_each(Acknowledgement::complete);
        }
    }

    fn evidence(&self, evidence: Evidence) {
        self.state.lock().evidence.push(evidence);
    }

    fn receive(&self, _: PublicKey, message: Bytes) {
        if let Ok(transaction) = plenary_types::decode(message) {
            self.add(transaction);
        }
    }

    fn block(&self, height: u64) -> Option<Final> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(height.checked_sub(1)?).ok()?;
        self.state.lock().chain.get(index).cloned()
    }

    fn height_of(&self, hash: &BlockHash) -> Option<u64> {
        let state = self.state.lock();
        let found = state.chain.iter().find(|(block, _)| block.hash() == *hash);
        found.map(|(block, _)| block.header.height)
    }
}
