//! What is counted: the paths that every step, commit and block takes.

use crate::{
    count::{calls, under_count},
    layer1::{Layer1, Validator},
    sessions::{Stage, play, play_all},
    world::{NOW, World},
};
use plenary_session::log::Log;
use plenary_types::{Block, Receipt, SessionId, Transaction, decode, encode};
use redb::backends::InMemoryBackend;
use std::sync::Arc;

/// How many sessions a benchmark plays.
const SESSIONS: usize = 8;
/// How many of them a block has.
const IN_A_BLOCK: usize = 4;

/// A benchmark. What one call of it is, its documentation says; counts are the mean of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Benchmark {
    /// A step at its originator: the client's signature, the handler, the chain, the promise, the
    /// log's entry, and the proposal to another session node
    Step,
    /// The same step at the other session node: its message, two signatures, the handler, the log's
    /// entry, the endorsement
    Replica,
    /// A log's entry, from a step's bytes to the database's pages, in a group of its own
    Log,
    /// A session's commit after its last step: the client's commitment, and a transaction of seven
    /// operations made, signed and encoded
    Commit,
    /// A transaction of seven operations decoded and validated, as a validator gets it
    Validate,
    /// A block of four such transactions executed again, up to its state's root
    Execute,
    /// Such a block made final, and ledger and state written
    Write,
    /// A receipt verified
    Receipt,
    /// A block of eight such transactions encoded
    BlockEncode,
    /// The same block decoded, and its body checked against its header
    BlockDecode,
}

impl Benchmark {
    /// Runs it, and says how many calls were counted.
    pub fn run(self) -> u64 {
        match self {
            Self::Step => drop(play_all(&World::new(), Stage::Step, SESSIONS)),
            Self::Replica => drop(play_all(&World::new(), Stage::Replica, SESSIONS)),
            Self::Commit => drop(play_all(&World::new(), Stage::Commit, SESSIONS)),
            Self::Log => log(),
            Self::Validate => validate(),
            Self::Execute => blocks(Stage::Execute),
            Self::Write => blocks(Stage::Write),
            Self::Receipt => receipt(),
            Self::BlockEncode => encode_blocks(),
            Self::BlockDecode => decode_blocks(),
        }
        calls()
    }
}

/// Every entry is of the length that a step's has.
fn log() {
    let world = World::new();
    let played = play(&world, Stage::Nothing, 0);
    let (log, _) = Log::inline(InMemoryBackend::new(), |reason| panic!("{reason}"))
        .expect("a log in memory opens");
    let entries = played.transaction.operations.iter().cycle();
    for (number, operation) in entries.take(64).enumerate() {
        let session = SessionId([number as u8; 32]);
        let entry = encode(operation);
        under_count(|| log.append(session, entry, || {}));
    }
}

fn validate() {
    let world = World::new();
    for transaction in play_all(&world, Stage::Nothing, SESSIONS) {
        let bytes = encode(&transaction);
        under_count(|| {
            let transaction: Transaction = decode(bytes).expect("it was encoded");
            transaction.validate(&world.genesis).expect("it is valid");
            transaction
        });
    }
}

/// One validator builds blocks; another executes and writes them.
fn blocks(counted: Stage) {
    let world = World::new();
    let mut layer1 = Layer1::new(&world.genesis);
    let mut validator = Validator::new(&world.genesis);
    for first in (0..SESSIONS * 2).step_by(IN_A_BLOCK) {
        let transactions = (first..first + IN_A_BLOCK).map(|number| played(&world, number));
        let (block, certificate) = layer1.ratify(transactions.collect());
        counted.when(Stage::Execute, || validator.check(&block, NOW));
        counted.when(Stage::Write, || validator.write(&block, certificate));
    }
}

fn played(world: &World, number: usize) -> Transaction {
    play(world, Stage::Nothing, number).transaction
}

fn block(world: &World) -> (Arc<Block>, Receipt) {
    let transactions = play_all(world, Stage::Nothing, SESSIONS);
    let (block, certificate) = Layer1::new(&world.genesis).ratify(transactions);
    let receipt = Receipt::new(&block, 1, Vec::new(), certificate);
    (block, receipt.expect("the block has that transaction"))
}

fn receipt() {
    let world = World::new();
    let (_, receipt) = block(&world);
    for _ in 0..SESSIONS {
        let verified = under_count(|| receipt.verify(&world.genesis));
        verified.expect("the receipt holds");
    }
}

fn encode_blocks() {
    let (block, _) = block(&World::new());
    for _ in 0..SESSIONS {
        under_count(|| encode(&*block));
    }
}

fn decode_blocks() {
    let (block, _) = block(&World::new());
    let bytes = encode(&*block);
    for _ in 0..SESSIONS {
        let decoded = under_count(|| decode::<Block>(bytes.clone()));
        assert_eq!(decoded.expect("it was encoded"), *block);
    }
}
