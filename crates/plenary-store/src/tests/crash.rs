use super::{Chain, key, open, open_on, some_changes};
use crate::{
    File, Store, StoreError,
    testing::{Disk, Random},
};
use plenary_types::{Changes, StateKey, Versioned};
use std::{collections::BTreeMap, sync::Arc};

/// A run of 14 blocks: what each changed, and how many events of the disk had been when each sync
/// and flush was acknowledged, with the height it covered.
struct Run {
    disk: Disk,
    changes: Vec<Changes>,
    chain: Chain,
    durable: Vec<(usize, u64)>,
}

fn run(seed: u64) -> Run {
    let mut random = Random::new(seed);
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut changes = vec![Changes::new()];
    let mut durable = vec![(disk.events(), 0)];
    for height in 1..=14 {
        let change = some_changes(&mut random, height, 12, 4);
        changes.push(change.clone());
        chain.grow(&store, change);
        match random.below(4) {
            0 => durable.push((0, store.sync().unwrap())),
            1 => {
                store.flush().unwrap();
                durable.push((0, height));
            }
            _ => continue,
        }
        durable.last_mut().unwrap().0 = disk.events();
    }
    Run {
        disk,
        changes,
        chain,
        durable,
    }
}

/// Opens what a crash left, and executes what its ledger has beyond its state.
fn recover(disk: &Disk, run: &Run) -> Store {
    let store = open(disk);
    for entry in store.replay() {
        let entry = entry.unwrap();
        let height = entry.block.header.height;
        let changes = run.changes[height as usize].clone();
        let prepared = store.state().prepare(&[], height, changes).unwrap();
        assert_eq!(prepared.root, entry.block.header.state);
        store
            .apply(entry.block, entry.certificate, Arc::new(prepared))
            .unwrap();
    }
    assert_eq!(store.ledger().tip().0, store.tip().height);
    store
}

fn state_of(store: &Store) -> BTreeMap<StateKey, Versioned> {
    let view = store.state().latest().1;
    let end = StateKey::new("tablf", b"").unwrap();
    view.range(&key(0), &end, usize::MAX)
        .unwrap()
        .into_iter()
        .collect()
}

fn check_crash(run: &Run, event: usize, seed: u64) {
    let disk = run.disk.crash(event, seed);
    let store = recover(&disk, run);
    let acknowledged = run.durable.iter().filter(|(at, _)| *at <= event);
    let acknowledged = acknowledged.map(|(_, height)| *height).max().unwrap_or(0);
    let tip = store.tip();
    assert!(tip.height >= acknowledged, "acknowledged blocks are there");
    for block in &run.chain.blocks[..=tip.height as usize] {
        let found = store.block(block.header.height).unwrap();
        assert_eq!(found.as_ref(), Some(block));
    }
    let last = &run.chain.blocks[tip.height as usize].header;
    assert_eq!((tip.hash, tip.root), (last.hash(), last.state));
    assert_eq!(state_of(&store), run.chain.states[tip.height as usize]);
    // And it goes on from there, as if nothing had been.
    for block in &run.chain.blocks[tip.height as usize + 1..] {
        let height = block.header.height;
        let changes = run.changes[height as usize].clone();
        let prepared = store.state().prepare(&[], height, changes).unwrap();
        store
            .apply(block.clone(), None, Arc::new(prepared))
            .unwrap();
    }
    store.flush().unwrap();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.tip().height, 14);
    assert_eq!(state_of(&store), run.chain.states[14]);
}

#[test]
fn a_crash_at_any_moment_leaves_a_prefix_with_everything_acknowledged() {
    for seed in 1..=2 {
        let run = run(seed);
        for event in 0..=run.disk.events() {
            for crash in 0..3 {
                let crash_seed = seed * 1_000_000 + event as u64 * 10 + crash;
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    check_crash(&run, event, crash_seed);
                }));
                assert!(
                    checked.is_ok(),
                    "run {seed}, event {event}, crash seed {crash_seed}"
                );
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_acknowledged() {
    for room in 0..60 {
        let disk = Disk::new();
        let store = open(&disk);
        let mut chain = Chain::new(&store);
        let mut changes = vec![Changes::new()];
        let mut random = Random::new(8);
        for height in 1..=4 {
            changes.push(some_changes(&mut random, height, 12, 4));
            chain.grow(&store, changes[height as usize].clone());
        }
        store.flush().unwrap();
        for height in 5..=8 {
            changes.push(some_changes(&mut random, height, 12, 4));
            chain.grow(&store, changes[height as usize].clone());
        }
        disk.fill_after(room);
        let synced = store.sync();
        let acknowledged = if synced.is_ok() { 8 } else { 4 };
        if let Err(error) = synced {
            assert!(matches!(error, StoreError::Full(File::Ledger)), "{error}");
            assert_eq!(store.tip().height, 8, "what is in memory stays");
            assert_eq!(store.unflushed(), 4);
            let view = store.state().view(8).unwrap();
            assert_eq!(
                view.get(&key(1)).unwrap().as_ref(),
                chain.states[8].get(&key(1))
            );
        } else if let Err(error) = store.flush() {
            assert!(matches!(error, StoreError::Full(File::State)), "{error}");
            assert_eq!(store.tip().height, 8);
        }
        if acknowledged == 4 {
            // Room again: the ledger goes on without a restart.
            disk.free();
            assert_eq!(store.sync().unwrap(), 8);
        }
        disk.free();
        drop(store);
        let run = Run {
            disk: disk.clone(),
            changes,
            chain,
            durable: Vec::new(),
        };
        let store = recover(&disk, &run);
        assert_eq!(store.tip().height, 8);
        assert_eq!(
            state_of(&store),
            run.chain.states[8],
            "with room for {room}"
        );
    }
}

#[test]
fn the_state_database_is_rebuilt_from_the_ledger() {
    let run = run(5);
    let ledger = run.disk.with_ledger(run.disk.ledger(), false);
    let store = recover(&ledger, &run);
    let height = store.tip().height;
    assert_eq!(height, run.durable.last().unwrap().1);
    assert_eq!(state_of(&store), run.chain.states[height as usize]);
    store.flush().unwrap();
    drop(store);
    assert_eq!(open_on(&ledger).unwrap().tip().height, height);
}
