//! Layer 1 in memory: who builds and certifies blocks, and a validator that gets them.

use crate::world::{NOW, executor, store, validators};
use plenary_consensus::Proposal;
use plenary_store::Store;
use plenary_types::{
    Block, Certificate, Genesis, Round, Timestamp, Transaction,
    certificate::{Phase, ValidatorSignature, statement},
};
use plenary_validator::{chain::Chain, mempool::Candidate};
use std::sync::Arc;

/// The leader of every round, with all validators' keys.
pub struct Layer1 {
    genesis: Arc<Genesis>,
    validator: Validator,
}

impl Layer1 {
    pub fn new(genesis: &Arc<Genesis>) -> Self {
        Self {
            genesis: genesis.clone(),
            validator: Validator::new(genesis),
        }
    }

    /// Makes a certified block of transactions.
    pub fn ratify(&mut self, transactions: Vec<Transaction>) -> (Arc<Block>, Certificate) {
        let tip = self.validator.store.tip();
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
            now: NOW,
            required: false,
        };
        let candidates = transactions.into_iter().map(Candidate::new).map(Arc::new);
        let candidates: Vec<_> = candidates.collect();
        let built = self.validator.chain.build(&proposal, &[], &candidates);
        let block = built
            .expect("the block is built")
            .expect("it has transactions");
        assert_eq!(block.transactions.len(), candidates.len());
        let (block, certificate) = (Arc::new(block.clone()), self.certificate(&block));
        self.validator.write(&block, certificate.clone());
        (block, certificate)
    }

    fn certificate(&self, block: &Block) -> Certificate {
        let (header, hash) = (&block.header, block.hash());
        let message = statement(&header.genesis, Phase::Finalize, &header.round, Some(&hash));
        let quorum = validators().into_iter().take(self.genesis.quorum());
        let signatures = quorum.enumerate().map(|(index, key)| ValidatorSignature {
            validator: index as u32,
            signature: key.sign(&message),
        });
        Certificate {
            signatures: signatures.collect(),
        }
    }
}

/// A validator's chain on a store of its own.
pub struct Validator {
    chain: Chain,
    store: Arc<Store>,
}

impl Validator {
    pub fn new(genesis: &Arc<Genesis>) -> Self {
        let store = store(genesis);
        let chain = Chain::open(genesis.clone(), executor(), store.clone());
        Self {
            chain: chain.expect("an empty chain opens"),
            store,
        }
    }

    /// Executes a block that another one has built.
    pub fn check(&mut self, block: &Arc<Block>, now: Timestamp) {
        self.chain
            .check(block, &[], now)
            .expect("the block is good");
    }

    /// Makes a block final, and writes ledger and state.
    pub fn write(&mut self, block: &Arc<Block>, certificate: Certificate) {
        let finalized = self.chain.finalize(block, Some(certificate));
        assert!(finalized.expect("the block is good"), "it is new");
        self.store.flush().expect("memory can be written");
    }
}
