#![allow(clippy::unwrap_used)]

mod crash;
mod ledger;
mod state;
mod store;

use crate::{
    Prepared, Store, StoreError,
    testing::{Disk, Random},
};
use plenary_types::{
    Author, Block, Certificate, Changes, Genesis, Header, Method, Operation, Outcome, PrivateKey,
    Reason, Request, Response, Round, ServiceId, StateKey, Timestamp, Transaction, Version,
    Versioned,
    block::{outcomes_root, transactions_root},
    certificate::{Phase, ValidatorSignature, statement},
    genesis::{ClientSignatures, Member},
};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

pub(crate) fn validator(index: u8) -> PrivateKey {
    PrivateKey::from_seed([index + 1; 32])
}

pub(crate) fn genesis(network: &str) -> Genesis {
    let validators = (0..4)
        .map(|index| Member {
            name: format!("validator {index}"),
            key: validator(index).public_key(),
        })
        .collect();
    Genesis::new(
        network,
        Timestamp(1_700_000_000_000),
        ClientSignatures::Optional,
        service(),
        validators,
        Vec::new(),
        serde_json::Value::Null,
    )
    .unwrap()
}

fn service() -> ServiceId {
    ServiceId {
        name: "test".into(),
        version: "1".into(),
    }
}

pub(crate) fn key(index: u64) -> StateKey {
    StateKey::new("table", format!("key {index:04}").as_bytes()).unwrap()
}

pub(crate) fn value(height: u64, index: u32, text: &str) -> Versioned {
    Versioned {
        version: Version { height, index },
        value: format!("\"{text}\"").into_bytes().into(),
    }
}

/// The state the tests' network starts from.
pub(crate) fn genesis_changes() -> Changes {
    (0..8)
        .map(|index| (key(index), Some(value(0, 0, "genesis"))))
        .collect()
}

pub(crate) fn open_on(disk: &Disk) -> Result<Store, StoreError> {
    Store::open(disk.files(), &genesis("test"), || {
        Ok::<_, Infallible>(genesis_changes())
    })
}

pub(crate) fn open(disk: &Disk) -> Store {
    open_on(disk).unwrap()
}

/// Changes to a few of `keys` keys: two of three insert, one deletes.
pub(crate) fn some_changes(random: &mut Random, height: u64, keys: u64, count: u64) -> Changes {
    let changes = (0..count).map(|index| {
        let key = key(random.below(keys));
        let text = format!("{} {}", height, random.below(1000));
        let change = (random.below(3) > 0).then(|| value(height, index as u32, &text));
        (key, change)
    });
    changes.collect()
}

fn operation(nonce: &str) -> Operation {
    Operation {
        request: Request {
            method: Method::Post,
            target: "/do".into(),
            content_type: String::new(),
            body: nonce.as_bytes().to_vec().into(),
        },
        author: Author::Anonymous {
            nonce: nonce.as_bytes().to_vec().into(),
        },
        time: Timestamp(1_700_000_000_001),
        reads: Vec::new(),
        response: Response {
            status: 200,
            content_type: String::new(),
            body: Default::default(),
        },
    }
}

pub(crate) fn transaction(originator: u8, nonce: &str) -> Transaction {
    Transaction::sign(
        &validator(originator),
        &genesis("test").hash(),
        service(),
        vec![operation(nonce)],
        None,
        Vec::new(),
    )
    .unwrap()
}

pub(crate) fn rejected() -> Outcome {
    Outcome::Rejected {
        step: 0,
        reason: Reason::NotAnOperation,
        signer: validator(0).public_key(),
    }
}

/// A block on `parent` with the given transactions; the last of several is rejected.
pub(crate) fn block(
    parent: &Header,
    state: plenary_types::Digest,
    transactions: Vec<Transaction>,
) -> Block {
    let mut outcomes = vec![Outcome::Committed; transactions.len()];
    if let [_, .., last] = outcomes.as_mut_slice() {
        *last = rejected();
    }
    let height = parent.height + 1;
    let header = Header {
        genesis: parent.genesis,
        height,
        round: Round {
            epoch: 0,
            view: height,
            parent_view: height - 1,
        },
        parent: parent.hash(),
        proposer: validator(0).public_key(),
        time: parent.time.plus_ms(1),
        count: transactions.len() as u32,
        transactions: transactions_root(&transactions),
        outcomes: outcomes_root(&transactions, &outcomes),
        state,
    };
    Block {
        header,
        transactions,
        outcomes,
    }
}

pub(crate) fn certificate(header: &Header) -> Certificate {
    let genesis = genesis("test");
    let message = statement(
        &header.genesis,
        Phase::Finalize,
        &header.round,
        Some(&header.hash()),
    );
    let mut signatures: Vec<_> = (0..4)
        .map(|index| {
            let key = validator(index);
            let (validator, _) = genesis.validator(&key.public_key()).unwrap();
            let signature = key.sign(&message);
            ValidatorSignature {
                validator,
                signature,
            }
        })
        .collect();
    signatures.sort_by_key(|signature| signature.validator);
    signatures.truncate(3);
    Certificate { signatures }
}

/// A chain as a test makes it, and what its state must be at every height.
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Arc<Block>>,
    /// By height.
    pub(crate) states: Vec<BTreeMap<StateKey, Versioned>>,
}

impl Chain {
    pub(crate) fn new(store: &Store) -> Self {
        let state = genesis_changes();
        let state = state.into_iter().map(|(key, value)| (key, value.unwrap()));
        Self {
            blocks: vec![store.genesis_block().clone()],
            states: vec![state.collect()],
        }
    }

    pub(crate) fn tip(&self) -> &Header {
        &self.blocks.last().unwrap().header
    }

    /// Makes the next block and applies it. Even heights have a certificate.
    pub(crate) fn grow(&mut self, store: &Store, changes: Changes) -> Arc<Block> {
        let height = self.tip().height + 1;
        let prepared = store.state().prepare(&[], height, changes).unwrap();
        self.grow_with(store, Arc::new(prepared))
    }

    pub(crate) fn grow_with(&mut self, store: &Store, prepared: Arc<Prepared>) -> Arc<Block> {
        let height = prepared.height;
        let nonces = [format!("{height} a"), format!("{height} b")];
        let transactions = nonces.iter().map(|nonce| transaction(0, nonce)).collect();
        self.grow_of(store, prepared, transactions)
    }

    pub(crate) fn grow_of(
        &mut self,
        store: &Store,
        prepared: Arc<Prepared>,
        transactions: Vec<Transaction>,
    ) -> Arc<Block> {
        let height = prepared.height;
        let block = Arc::new(block(self.tip(), prepared.root, transactions));
        let certificate = height.is_multiple_of(2).then(|| certificate(&block.header));
        let mut state = self.states.last().unwrap().clone();
        for (key, change) in prepared.changes.iter() {
            match change {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        store.apply(block.clone(), certificate, prepared).unwrap();
        self.blocks.push(block.clone());
        self.states.push(state);
        block
    }
}
