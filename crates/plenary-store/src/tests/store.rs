use super::{Chain, genesis, genesis_changes, open, open_on, some_changes};
use crate::{
    File, Files, Location, Store, StoreError, database,
    testing::{Disk, Random},
};
use plenary_types::{Block, TransactionHash};
use std::{convert::Infallible, sync::Arc};

/// Checks that everything of the chain is found, and nothing else.
fn check_found(store: &Store, chain: &Chain) {
    for block in &chain.blocks {
        let height = block.header.height;
        assert_eq!(store.block(height).unwrap().unwrap(), *block);
        assert_eq!(store.height_of(&block.hash()).unwrap(), Some(height));
        let certified = height > 0 && height % 2 == 0;
        let certificate = store.certificate(height).unwrap();
        assert_eq!(certificate.is_some(), certified, "height {height}");
        if let Some(certificate) = certificate {
            certificate.verify(&block.header, &genesis("test")).unwrap();
        }
        let next = (height.max(1)..=chain.tip().height).find(|height| height % 2 == 0);
        assert_eq!(store.certified_from(height).unwrap(), next);
        for (transaction, index) in block.transactions.iter().zip(0..) {
            let at = Some(Location { height, index });
            assert_eq!(store.transaction(&transaction.hash()).unwrap(), at);
            for id in transaction.operation_ids() {
                // The last of the block was rejected, so its operation is free to come again.
                let committed = index == 0;
                assert_eq!(store.operation(&id).unwrap(), at.filter(|_| committed));
                let session = id.into();
                assert_eq!(
                    store.uncommitted(&session).unwrap(),
                    at.filter(|_| !committed)
                );
            }
        }
    }
    let after = chain.tip().height + 1;
    assert!(store.block(after).unwrap().is_none());
    assert!(store.certificate(after).unwrap().is_none());
    let unknown = TransactionHash([9; 32]);
    assert_eq!(store.transaction(&unknown).unwrap(), None);
}

#[test]
fn what_was_applied_is_found_at_once_and_after_every_flush_and_restart() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut random = Random::new(2);
    for height in 1..=9 {
        chain.grow(&store, some_changes(&mut random, height, 10, 3));
        check_found(&store, &chain);
        if height % 3 == 0 {
            store.flush().unwrap();
            check_found(&store, &chain);
        } else if height % 3 == 1 {
            assert_eq!(store.sync().unwrap(), height);
            check_found(&store, &chain);
        }
    }
    assert_eq!(store.unflushed(), 0);
    drop(store);
    let store = open(&disk);
    assert_eq!(store.tip().height, 9);
    assert_eq!(store.replay().count(), 0);
    check_found(&store, &chain);
}

#[test]
fn applying_a_block_again_changes_nothing_and_another_of_its_height_is_refused() {
    let store = open(&Disk::new());
    let mut chain = Chain::new(&store);
    let mut random = Random::new(2);
    let changes = some_changes(&mut random, 1, 10, 3);
    let prepared = Arc::new(store.state().prepare(&[], 1, changes).unwrap());
    let block = chain.grow_with(&store, prepared.clone());
    let tip = store.tip();
    store.apply(block, None, prepared.clone()).unwrap();
    store.flush().unwrap();
    assert_eq!(store.tip(), tip);
    let other = super::block(&chain.blocks[0].header, prepared.root, Vec::new());
    let refused = store.apply(Arc::new(other), None, prepared.clone());
    assert!(matches!(refused, Err(StoreError::NotNext { .. })));

    // Neither a block on another parent, nor one whose header has another state.
    let next = Arc::new(store.state().prepare(&[], 2, Default::default()).unwrap());
    let stray = super::block(&chain.blocks[0].header, next.root, Vec::new());
    let mut stray = Block { ..stray };
    stray.header.height = 2;
    let refused = store.apply(Arc::new(stray), None, next.clone());
    assert!(matches!(refused, Err(StoreError::NotNext { .. })));
    let wrong = super::block(chain.tip(), plenary_types::Digest([1; 32]), Vec::new());
    let refused = store.apply(Arc::new(wrong), None, next);
    assert!(matches!(refused, Err(StoreError::NotNext { .. })));
    assert_eq!(store.tip(), tip);
}

#[test]
fn a_group_of_blocks_is_durable_with_one_sync_of_the_ledger() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    for _ in 1..=10 {
        chain.grow(&store, Default::default());
    }
    let syncs = disk.syncs();
    assert_eq!(store.sync().unwrap(), 10);
    assert_eq!(disk.syncs(), syncs + 1);
    store.sync().unwrap();
    assert_eq!(disk.syncs(), syncs + 1, "nothing new needs no sync");
    store.flush().unwrap();
    let flush = disk.syncs() - syncs - 1;
    assert_eq!(flush, 1, "one transaction of the state database, one sync");
    store.flush().unwrap();
    assert_eq!(disk.syncs(), syncs + 1 + flush);
}

#[test]
fn neither_applying_nor_reading_waits_for_the_disk() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut random = Random::new(4);
    chain.grow(&store, some_changes(&mut random, 1, 10, 3));
    std::thread::scope(|scope| {
        let held = disk.hold_syncs();
        let flush = scope.spawn(|| store.flush());
        held.wait();
        chain.grow(&store, some_changes(&mut random, 2, 10, 3));
        check_found(&store, &chain);
        assert!(store.state().view(1).is_ok());
        drop(held);
        flush.join().unwrap().unwrap();
    });
    store.flush().unwrap();
    drop(store);
    check_found(&open(&disk), &chain);
}

#[test]
fn of_a_sessions_transactions_that_are_not_committed_the_last_is_found_whatever_is_flushed() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut reject = |store: &Store, height, originator| {
        let prepared = store.state().prepare(&[], height, Default::default());
        let transactions = vec![
            super::transaction(0, &format!("{height}")),
            super::transaction(originator, "session"),
        ];
        chain.grow_of(store, Arc::new(prepared.unwrap()), transactions);
    };
    let session = super::transaction(0, "session").session().unwrap();
    let at = |height| Some(Location { height, index: 1 });
    reject(&store, 1, 0);
    std::thread::scope(|scope| {
        let held = disk.hold_syncs();
        let flush = scope.spawn(|| store.flush());
        held.wait();
        reject(&store, 2, 1);
        drop(held);
        flush.join().unwrap().unwrap();
    });
    assert_eq!(store.unflushed(), 1);
    assert_eq!(store.uncommitted(&session).unwrap(), at(2));
    store.flush().unwrap();
    assert_eq!(store.uncommitted(&session).unwrap(), at(2));
    drop(store);
    assert_eq!(open(&disk).uncommitted(&session).unwrap(), at(2));
}

#[test]
fn tables_of_another_format_are_refused_and_made_again_from_the_ledger() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    chain.grow(&store, Default::default());
    store.flush().unwrap();
    drop(store);
    let database = database::open(disk.files().state).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(database::META).unwrap();
    let older = 1_u32.to_be_bytes();
    table
        .insert(b"format".as_slice(), older.as_slice())
        .unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let refused = open_on(&disk).map(|_| ()).unwrap_err();
    let file = File::State;
    assert!(matches!(refused, StoreError::Format { file: of, found: 1, .. } if of == file));
    assert!(
        refused.to_string().contains("remove that file"),
        "{refused}"
    );
    let removed = open(&disk.with_ledger(disk.ledger(), false));
    assert_eq!(
        removed.replay().next().unwrap().unwrap().block,
        chain.blocks[1]
    );
}

#[test]
fn a_store_that_is_in_use_cannot_be_opened_again() {
    let disk = Disk::new();
    let store = open(&disk);
    assert!(matches!(
        open_on(&disk).map(|_| ()),
        Err(StoreError::InUse(_))
    ));
    drop(store);
    open(&disk);
}

#[test]
fn a_data_directory_is_made_found_again_and_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a").join("b");
    let open = || {
        Store::open(Files::in_directory(&path)?, &genesis("test"), || {
            Ok::<_, Infallible>(genesis_changes())
        })
    };
    let store = open().unwrap();
    let mut chain = Chain::new(&store);
    let mut random = Random::new(6);
    for height in 1..=3 {
        chain.grow(&store, some_changes(&mut random, height, 10, 3));
    }
    store.flush().unwrap();
    let error = open().map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::InUse(File::Ledger)), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    let genesis = genesis("test");
    let first = chain.blocks[0].header.clone();
    let audit = crate::Audit::open(&path, &genesis, first).unwrap();
    assert_eq!(
        audit.map(Result::unwrap).count(),
        3,
        "a running node's ledger"
    );
    drop(store);
    check_found(&open().unwrap(), &chain);
    std::fs::write(path.join(File::State.name()), vec![7; 10_000]).unwrap();
    let error = open().map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign(File::State)), "{error}");
}

#[test]
fn a_genesis_that_cannot_be_made_makes_no_data_directory() {
    let disk = Disk::new();
    let failed = Store::open(disk.files(), &genesis("test"), || Err("no operator"));
    let error = failed.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no operator"));
    let store = open(&disk);
    assert_eq!(store.tip().height, 0);
}
