//! What the store costs a validator: blocks of 100 transactions with 3 key updates each over
//! 100,000 keys, synced to the ledger one by one, written to the state database in groups.
//!
//! `cargo bench -p plenary-store --bench store`; the numbers are in `docs/storage.md`.

#![allow(missing_docs, clippy::unwrap_used)]

use plenary_service::state::StateView;
use plenary_store::{Files, Store};
use plenary_types::{
    Author, Block, Changes, Genesis, Method, Operation, Outcome, PrivateKey, Request, Response,
    Round, ServiceId, Signature, StateKey, Timestamp, Transaction, Version, Versioned,
    block::{outcomes_root, transactions_root},
    genesis::{ClientSignatures, Member},
    transaction::Content,
};
use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

const KEYS: u64 = 100_000;
const TRANSACTIONS: usize = 100;
const UPDATES: usize = 3;
const BLOCKS: u64 = 512;

#[path = "watch.rs"]
mod watch;
use watch::{Random, Watch, size};

fn genesis() -> Genesis {
    let member = |index: u8| Member {
        name: index.to_string(),
        key: PrivateKey::from_seed([index; 32]).public_key(),
    };
    let service = ServiceId {
        name: "bench".into(),
        version: "1".into(),
    };
    Genesis::new(
        "bench",
        Timestamp(1),
        ClientSignatures::Optional,
        service,
        (1..=4).map(member).collect(),
        Vec::new(),
        serde_json::Value::Null,
    )
    .unwrap()
}

fn key(index: u64) -> StateKey {
    StateKey::new("packages", format!("PKG-{index:08}").as_bytes()).unwrap()
}

fn value(random: &mut Random, height: u64) -> Versioned {
    let text: String = (0..10).map(|_| format!("{:016x}", random.next())).collect();
    Versioned {
        version: Version { height, index: 0 },
        value: text.into_bytes().into(),
    }
}

fn open(directory: &Path) -> Store {
    let mut random = Random(7);
    Store::open(Files::in_directory(directory).unwrap(), &genesis(), || {
        let all = (0..KEYS).map(|index| (key(index), Some(value(&mut random, 0))));
        Ok::<_, Infallible>(all.collect())
    })
    .unwrap()
}

fn transaction(genesis: &Genesis, random: &mut Random) -> Transaction {
    let body = format!("{{\"n\":\"{:064x}\"}}", random.next());
    let operation = Operation {
        request: Request {
            method: Method::Post,
            target: "/session/7/validate".into(),
            content_type: "application/json".into(),
            body: body.clone().into_bytes().into(),
        },
        author: Author::Anonymous {
            nonce: body.clone().into_bytes().into(),
        },
        time: Timestamp(2),
        reads: Vec::new(),
        response: Response {
            status: 200,
            content_type: "application/json".into(),
            body: body.into_bytes().into(),
        },
    };
    let content = Content {
        service: genesis.service.clone(),
        operations: vec![operation],
        commitment: None,
        endorsements: Vec::new(),
        originator: genesis.validators[0].key,
        signature: Signature([0; 64]),
    };
    Transaction::new(&content).unwrap()
}

fn child(parent: &Block, state: plenary_types::Digest, transactions: Vec<Transaction>) -> Block {
    let outcomes = vec![Outcome::Committed; transactions.len()];
    let mut header = parent.header.clone();
    header.parent = parent.hash();
    header.height += 1;
    header.round = Round::default();
    header.count = transactions.len() as u32;
    header.transactions = transactions_root(&transactions);
    header.outcomes = outcomes_root(&transactions, &outcomes);
    header.state = state;
    Block {
        header,
        transactions,
        outcomes,
    }
}

fn run(group: u64) {
    let directory = tempfile::tempdir_in(".").unwrap();
    let genesis = genesis();
    let store = open(directory.path());
    let mut random = Random(9);
    let mut last = store.genesis_block().clone();
    let mut watches: [Watch; 4] = Default::default();
    let [prepare, apply, sync, flush] = &mut watches;
    for height in 1..=BLOCKS {
        let keys = (0..TRANSACTIONS * UPDATES).map(|_| key(random.next() % KEYS));
        let keys: Vec<_> = keys.collect();
        let changes: Changes = keys
            .into_iter()
            .map(|key| (key, Some(value(&mut random, height))))
            .collect();
        let transactions = (0..TRANSACTIONS).map(|_| transaction(&genesis, &mut random));
        let transactions = transactions.collect();
        let prepared = prepare.time(|| store.state().prepare(&[], height, changes).unwrap());
        let block = Arc::new(child(&last, prepared.root, transactions));
        last = block.clone();
        apply.time(|| store.apply(block, None, Arc::new(prepared)).unwrap());
        sync.time(|| store.sync().unwrap());
        if height % group == 0 {
            flush.time(|| store.flush().unwrap());
        }
    }
    let each = |watch: &Watch, time: fn(&Watch) -> Duration| {
        time(watch).as_secs_f64() * 1e6 / (BLOCKS as f64 * TRANSACTIONS as f64)
    };
    print!("{group:5}");
    for watch in &watches {
        print!(
            " {:7.1} {:7.1}",
            each(watch, |w| w.wall),
            each(watch, |w| w.cpu)
        );
    }
    let (mut newest, mut oldest, mut proof) = Default::default();
    reads(&store, BLOCKS, &mut newest, &mut proof);
    reads(&store, BLOCKS - 63, &mut oldest, &mut Watch::default());
    drop(store);
    let mut reopen = Watch::default();
    reopen.time(|| open(directory.path()));
    println!(
        " {:7.1} {:7.1} {:7.1} {:7.1} {:7.1}",
        newest.wall.as_secs_f64() * 1e3,
        oldest.wall.as_secs_f64() * 1e3,
        proof.wall.as_secs_f64() * 1e3,
        reopen.wall.as_secs_f64() * 1e3,
        size(directory.path()) as f64 / 1e6,
    );
}

/// A thousand reads, and a thousand proofs.
fn reads(store: &Store, height: u64, read: &mut Watch, prove: &mut Watch) {
    let view: Arc<dyn StateView> = store.state().view(height).unwrap();
    let keys: Vec<_> = (0..1000).map(|index| key(index * 97)).collect();
    read.time(|| {
        keys.iter()
            .for_each(|key| assert!(view.get(key).unwrap().is_some()));
    });
    prove.time(|| {
        keys.iter()
            .for_each(|key| assert!(store.state().prove(key, height).is_ok()));
    });
}

fn main() {
    println!(
        "blocks {:>15} {:>15} {:>15} {:>15}    1000 reads at  1000    open  on disk",
        "prepare", "apply", "sync", "flush"
    );
    println!(
        "a flush{:>15} {:>15} {:>15} {:>15}  newest  oldest  proofs      ms      MB",
        "us/tx, cpu", "us/tx, cpu", "us/tx, cpu", "us/tx, cpu"
    );
    [8, 32, 64].into_iter().for_each(run);
}
