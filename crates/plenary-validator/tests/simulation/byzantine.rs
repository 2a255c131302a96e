//! Byzantine validators, f of n: agreement and validity hold, and who can be named is named.

use crate::{
    bank::deposit_request,
    world::{Disguise, World, link, run, seeds},
};
use bytes::Bytes;
use plenary_consensus::{Acknowledgement, Application, Proposal, simulation::Misbehaviour};
use plenary_types::{
    Author, Block, BlockHash, Certificate, Digest, Outcome, PublicKey, Read, Timestamp,
    block::{outcomes_root, transactions_root},
    evidence::Evidence,
};
use plenary_validator::mempool::Candidate;
use plenary_validator::{
    direct::{Originated, originate},
    node::Node,
};
use std::{sync::Arc, time::Duration};

const PATIENCE: Duration = Duration::from_secs(120);

/// What a validator does that runs the right engine on a wrong application.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// Claims another state root.
    StateRoot,
    /// Claims that every transaction ended in conflict.
    Outcomes,
    /// Sets its clock an hour ahead.
    Clock,
    /// Says that its block is older than its parent.
    ClockBack,
    /// Puts a transaction into the block twice.
    Repeat,
    /// Puts a transaction into the block that was committed long ago.
    Replay,
    /// Votes for whatever is proposed.
    VoteForAll,
    /// Votes for nothing and proposes nothing.
    Withhold,
    /// Sends garbage to the other applications whenever it is asked anything.
    Garbage,
}

struct Liar {
    node: Arc<Node>,
    lie: Lie,
}

fn resealed(mut block: Block) -> Block {
    block.header.count = block.transactions.len() as u32;
    block.header.transactions = transactions_root(&block.transactions);
    block.header.outcomes = outcomes_root(&block.transactions, &block.outcomes);
    block
}

impl Application for Liar {
    fn height(&self) -> u64 {
        self.node.height()
    }

    fn propose(&self, proposal: &Proposal, ancestors: &[Arc<Block>]) -> Option<Block> {
        let mut block = self.node.propose(proposal, ancestors)?;
        match self.lie {
            Lie::StateRoot => block.header.state = Digest([7; 32]),
            Lie::Outcomes => {
                for outcome in &mut block.outcomes {
                    *outcome = Outcome::Conflict {
                        step: 0,
                        keys: Vec::new(),
                    };
                }
            }
            Lie::Clock => block.header.time = block.header.time.plus_ms(3_600_000),
            Lie::ClockBack => {
                let time = block.header.time.0.saturating_sub(3_000);
                block.header.time = Timestamp(time);
            }
            // Run again it would conflict with itself, and change nothing: only that it repeats
            // is wrong with it.
            Lie::Replay => {
                let first = self.node.store.block(1).unwrap()?;
                let transaction = first.transactions.first()?.clone();
                let reads = &transaction.operations[0].reads;
                let keys = reads.iter().filter_map(|read| match read {
                    Read::Key { key, .. } => Some(key.clone()),
                    Read::Range { .. } => None,
                });
                let keys = keys.collect();
                block.transactions.push(transaction);
                block.outcomes.push(Outcome::Conflict { step: 0, keys });
            }
            Lie::Repeat => {
                block.transactions.push(block.transactions[0].clone());
                block.outcomes.push(Outcome::Committed);
            }
            Lie::Withhold => return None,
            Lie::VoteForAll | Lie::Garbage => {}
        }
        Some(resealed(block))
    }

    fn verify(&self, block: &Arc<Block>, ancestors: &[Arc<Block>], now: Timestamp) -> bool {
        match self.lie {
            Lie::Withhold => false,
            Lie::Garbage => self.node.verify(block, ancestors, now),
            _ => true,
        }
    }

    fn finalize(
        &self,
        block: Arc<Block>,
        certificate: Option<Certificate>,
        acknowledgement: Acknowledgement,
    ) {
        self.node.finalize(block, certificate, acknowledgement);
    }

    fn evidence(&self, evidence: Evidence) {
        self.node.evidence(evidence);
    }

    fn receive(&self, from: PublicKey, message: Bytes) {
        self.node.receive(from, message);
    }

    fn block(&self, height: u64) -> Option<(Arc<Block>, Option<Certificate>)> {
        self.node.block(height)
    }

    fn height_of(&self, hash: &BlockHash) -> Option<u64> {
        self.node.height_of(hash)
    }
}

async fn deposits(world: &mut World, correct: &[usize]) {
    for round in 0..4 {
        for validator in correct {
            world.deposit(*validator, round + 1);
            world.sleep(Duration::from_millis(8)).await;
        }
    }
}

/// The last f of n validators tell `lie`; every leader's turn comes several times.
fn liars(seed: u64, n: usize, lie: Lie) {
    run(seed, n, link(), async |mut world: World| {
        let f = (n - 1) / 3;
        let correct: Vec<usize> = (0..n - f).collect();
        world.start_all(0..n - f).await;
        let disguise: Disguise = Box::new(move |node| Arc::new(Liar { node, lie }));
        for liar in n - f..n {
            world.start_as(liar, &disguise).await;
        }
        for liar in n - f..n {
            world.disown(liar);
        }
        if matches!(lie, Lie::Garbage) {
            for liar in n - f..n {
                for size in [0, 1, 7, 100, 5000] {
                    world
                        .network
                        .broadcast(liar, &Bytes::from(vec![0xAB; size]));
                }
            }
        }
        deposits(&mut world, &correct).await;
        world.settle(PATIENCE).await;
        world.assert_agreement_and_validity();
    });
}

/// The last f of n validators misbehave at the level of the engine.
fn misbehaving(seed: u64, n: usize, misbehaviour: Misbehaviour) {
    run(seed, n, link(), async |mut world: World| {
        let f = (n - 1) / 3;
        let correct: Vec<usize> = (0..n - f).collect();
        world.start_all(0..n - f).await;
        for validator in n - f..n {
            world.network.start_byzantine(validator, misbehaviour).await;
        }
        deposits(&mut world, &correct).await;
        world.settle(PATIENCE).await;
        world.assert_agreement_and_validity();
        for node in world.nodes() {
            for evidence in node.evidence.all() {
                assert!(
                    evidence.verify(&world.genesis),
                    "evidence that proves nothing"
                );
                assert!(
                    evidence.validator as usize >= n - f,
                    "a correct validator is accused"
                );
            }
        }
        if misbehaviour == Misbehaviour::ConflictingVotes {
            let accused = world.nodes().any(|node| !node.evidence.all().is_empty());
            assert!(accused, "conflicting votes leave evidence");
        }
    });
}

const LIES: [Lie; 9] = [
    Lie::StateRoot,
    Lie::Outcomes,
    Lie::Clock,
    Lie::ClockBack,
    Lie::Repeat,
    Lie::Replay,
    Lie::VoteForAll,
    Lie::Withhold,
    Lie::Garbage,
];

#[test]
fn one_of_four_validators_that_lies_changes_nothing() {
    for seed in seeds(90) {
        liars(seed, 4, LIES[seed as usize % LIES.len()]);
    }
}

#[test]
fn two_of_seven_validators_that_lie_change_nothing() {
    for seed in seeds(45) {
        liars(seed, 7, LIES[seed as usize % LIES.len()]);
    }
}

#[test]
fn one_of_four_validators_that_misbehaves_changes_nothing_and_is_named() {
    for seed in seeds(80) {
        misbehaving(
            seed,
            4,
            Misbehaviour::ALL[seed as usize % Misbehaviour::ALL.len()],
        );
    }
}

#[test]
fn two_of_seven_validators_that_misbehave_change_nothing_and_are_named() {
    for seed in seeds(40) {
        misbehaving(
            seed,
            7,
            Misbehaviour::ALL[seed as usize % Misbehaviour::ALL.len()],
        );
    }
}

/// The last of four validators is two nodes with one key, each with transactions of its own, each
/// heard by half of the others.
#[test]
fn a_validator_that_runs_twice_changes_nothing() {
    for seed in seeds(20) {
        run(seed, 4, link(), async |mut world: World| {
            world.start_all(0..3).await;
            let twins = world.start_twins(3).await;
            for (index, twin) in twins.iter().enumerate() {
                let request = deposit_request("twins", index as u64 + 1);
                let author = Author::Anonymous {
                    nonce: Bytes::from(vec![index as u8; 32]),
                };
                let Originated::Transaction(transaction) =
                    originate(&**twin, request, author).unwrap()
                else {
                    panic!("a deposit is never refused");
                };
                twin.submit_validated(Candidate::new(transaction)).unwrap();
            }
            deposits(&mut world, &[0, 1, 2]).await;
            world.settle(PATIENCE).await;
            world.assert_agreement_and_validity();
        });
    }
}
