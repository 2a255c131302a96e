//! Both layers in one deterministic run: validators, session nodes and clients, with a virtual
//! clock, a seeded network, crashes, partitions, up to f Byzantine validators and one Byzantine
//! session node. A failing seed replays exactly: set `SEED`; `SEEDS` says how many to run.

#![allow(clippy::unwrap_used)]

mod checks;
mod clients;
mod faults;
mod liar;
mod net;
#[path = "../support/mod.rs"]
mod support;

use faults::Plan;
use plenary_validator::testing::world::seeds;

/// How many seeds run where `SEEDS` does not say otherwise.
const SEEDS: u64 = 40;

fn count() -> u64 {
    let count = std::env::var("SEEDS").ok();
    count.map_or(SEEDS, |count| count.parse().unwrap())
}

#[test]
fn whatever_fails_and_whoever_lies_sessions_are_committed_once_whole_and_provably() {
    for seed in seeds(count()) {
        faults::run(Plan::of(seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_chain() {
    let run = |seed| faults::run(Plan::of(seed));
    assert_eq!(run(4), run(4));
}
