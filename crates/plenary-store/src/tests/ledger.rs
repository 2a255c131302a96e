use super::{Chain, certificate, genesis, open, open_on, some_changes};
use crate::{
    Audit, AuditError, Damage, File, Files, Store, StoreError,
    testing::{Disk, Random},
};
use plenary_types::{Block, Header};
use std::sync::Arc;

/// A ledger of six blocks in groups of 1, 2 and 3; where each record starts and each group ends.
struct Sample {
    disk: Disk,
    chain: Chain,
    /// Start of each record, from height 1, and the end of the file.
    starts: Vec<u64>,
}

fn sample() -> Sample {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut random = Random::new(1);
    for height in 1..=6 {
        chain.grow(&store, some_changes(&mut random, height, 10, 2));
        if [1, 3, 6].contains(&height) {
            store.sync().unwrap();
        }
    }
    let places = (1..=6).map(|height| store.ledger().place(height).unwrap().offset);
    let mut starts: Vec<_> = places.collect();
    starts.push(store.ledger().length());
    Sample {
        disk,
        chain,
        starts,
    }
}

impl Sample {
    fn audit(&self, ledger: &[u8]) -> (u64, Option<AuditError>) {
        let first = self.chain.blocks[0].header.clone();
        let disk = self.disk.with_ledger(ledger.to_vec(), false);
        audit(&disk, first)
    }

    /// The height whose record the byte at `offset` is in; 0 is the file's header.
    fn height_at(&self, offset: u64) -> u64 {
        self.starts.iter().filter(|start| **start <= offset).count() as u64
    }
}

/// How many blocks are good, and what is wrong with the next.
fn audit(disk: &Disk, first: Header) -> (u64, Option<AuditError>) {
    let genesis = genesis("test");
    let mut audit = match Audit::new(Box::new(disk.files().ledger), &genesis, first) {
        Ok(audit) => audit,
        Err(error) => return (0, Some(error)),
    };
    let mut good = 0;
    for step in &mut audit {
        match step {
            Ok(_) => good += 1,
            Err(error) => return (good, Some(error)),
        }
    }
    assert_eq!(audit.certified(), good / 2 * 2);
    (good, None)
}

fn damage(error: AuditError) -> Damage {
    match error {
        AuditError::Damage(damage) | AuditError::Store(StoreError::Damaged(damage)) => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn an_audit_finds_nothing_wrong_with_a_good_ledger_and_writes_nothing() {
    let sample = sample();
    let ledger = sample.disk.ledger();
    assert!(matches!(sample.audit(&ledger), (6, None)));
    let events = sample.disk.events();
    let first = sample.chain.blocks[0].header.clone();
    audit(&sample.disk, first);
    assert_eq!(sample.disk.events(), events);
}

#[test]
fn any_flipped_byte_of_a_ledger_is_detected_and_located() {
    let sample = sample();
    let ledger = sample.disk.ledger();
    for offset in 0..ledger.len() {
        let mut bad = ledger.clone();
        bad[offset] ^= 1 << (offset % 8);
        let height = sample.height_at(offset as u64);
        let (good, error) = sample.audit(&bad);
        let damage = damage(error.unwrap());
        assert_eq!(damage.height, height, "byte {offset}");
        assert_eq!(good, height.saturating_sub(1), "byte {offset}");
        let range = damage.offset..damage.offset + damage.length;
        assert!(range.contains(&(offset as u64)), "byte {offset}: {damage}");
        // Only what the last group has could be the tail of a crash.
        assert_eq!(damage.tail, height > 3, "byte {offset}: {damage}");
    }
}

#[test]
fn opening_repairs_only_the_tail_a_crash_can_leave() {
    let sample = sample();
    let ledger = sample.disk.ledger();
    for offset in (0..ledger.len()).step_by(23) {
        let mut bad = ledger.clone();
        bad[offset] ^= 0x10;
        let disk = sample.disk.with_ledger(bad.clone(), false);
        let height = sample.height_at(offset as u64);
        match open_on(&disk) {
            Ok(store) => {
                assert!(height > 3, "byte {offset}");
                assert_eq!(store.ledger().tip().0, height - 1);
                assert_eq!(
                    disk.ledger(),
                    ledger[..sample.starts[height as usize - 1] as usize]
                );
            }
            Err(StoreError::Damaged(damage)) => {
                assert!(height <= 3, "byte {offset}: {damage}");
                assert_eq!(damage.height, height);
                assert_eq!(
                    disk.ledger(),
                    bad,
                    "a ledger that is not repaired is not touched"
                );
            }
            Err(error) => panic!("byte {offset}: {error}"),
        }
    }
}

#[test]
fn a_ledger_cut_off_anywhere_is_a_torn_tail() {
    let sample = sample();
    let ledger = sample.disk.ledger();
    for length in 0..ledger.len() {
        let cut = &ledger[..length];
        let whole = sample.height_at(length as u64).saturating_sub(1);
        let boundary = sample.starts.contains(&(length as u64));
        let (good, error) = sample.audit(cut);
        assert_eq!(good, whole, "length {length}");
        match error {
            None => assert!(boundary, "length {length}"),
            Some(error) => {
                let damage = damage(error);
                assert!(damage.tail && !boundary, "length {length}: {damage}");
            }
        }
        if boundary || length % 40 == 0 {
            let store = open(&sample.disk.with_ledger(cut.to_vec(), false));
            assert_eq!(store.ledger().tip().0, whole, "length {length}");
        }
    }
}

#[test]
fn garbage_after_the_last_record_is_cut_off() {
    let sample = sample();
    let ledger = sample.disk.ledger();
    for garbage in [
        vec![0; 1],
        vec![0; 5000],
        vec![0xff; 5000],
        ledger[48..300].to_vec(),
    ] {
        let bad = [ledger.clone(), garbage].concat();
        let disk = sample.disk.with_ledger(bad, false);
        let opened = open_on(&disk);
        assert_eq!(opened.unwrap().ledger().tip().0, 6);
        assert_eq!(disk.ledger(), ledger);
    }
}

#[test]
fn a_ledger_of_another_network_or_format_is_told_apart_from_a_damaged_one() {
    let sample = sample();
    let other = genesis("other");
    let opened = Store::open(
        sample.disk.with_ledger(sample.disk.ledger(), false).files(),
        &other,
        || Ok::<_, String>(super::genesis_changes()),
    );
    let Err(StoreError::OtherGenesis {
        file,
        expected,
        found,
    }) = opened.map(|_| ())
    else {
        panic!("opened a ledger of another network");
    };
    assert_eq!(
        (file, expected, found),
        (File::Ledger, other.hash(), genesis("test").hash())
    );

    let opened = Store::open(
        sample.disk.crash(sample.disk.events(), 0).files(),
        &other,
        || Ok::<_, String>(super::genesis_changes()),
    );
    assert!(matches!(
        opened.map(|_| ()),
        Err(StoreError::OtherGenesis {
            file: File::State,
            ..
        })
    ));

    let reseal = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut ledger = sample.disk.ledger();
        change(&mut ledger);
        let sum = crc32c::crc32c(&ledger[..44]).to_be_bytes();
        ledger[44..48].copy_from_slice(&sum);
        open_on(&sample.disk.with_ledger(ledger, false)).map(|_| ())
    };
    let format = reseal(&|ledger| ledger[11] = 9);
    assert!(matches!(format, Err(StoreError::Format { found: 9, .. })));
    let foreign = reseal(&|ledger| ledger[0] = b'P');
    assert!(matches!(foreign, Err(StoreError::Foreign(File::Ledger))));
}

#[test]
fn a_ledger_is_executed_again_without_writing_anything() {
    let sample = sample();
    let events = sample.disk.events();
    let genesis = genesis("test");
    let store = Store::open(Files::nowhere(), &genesis, || {
        Ok::<_, String>(super::genesis_changes())
    })
    .unwrap();
    let first = store.genesis_block().header.clone();
    let file = Box::new(sample.disk.files().ledger);
    let mut random = Random::new(1);
    for audited in Audit::new(file, &genesis, first).unwrap() {
        let audited = audited.unwrap();
        let height = audited.block.header.height;
        let changes = some_changes(&mut random, height, 10, 2);
        let prepared = store.state().prepare(&[], height, changes).unwrap();
        assert_eq!(prepared.root, audited.block.header.state);
        store
            .apply(audited.block, audited.certificate, Arc::new(prepared))
            .unwrap();
        store.flush().unwrap();
    }
    assert_eq!(store.tip().root, sample.chain.tip().state);
    assert_eq!(sample.disk.events(), events);
}

/// Writes a ledger of the given blocks as a node would, whatever they are.
fn forge(blocks: &[(Block, Option<plenary_types::Certificate>)]) -> Disk {
    let disk = Disk::new();
    let store = open(&disk);
    let entries: Vec<_> = blocks
        .iter()
        .map(|(block, certificate)| crate::Entry {
            block: Arc::new(block.clone()),
            certificate: certificate.clone(),
        })
        .collect();
    let entries = entries.iter().map(|entry| (entry, entry.block.hash()));
    store.ledger().append(entries).unwrap();
    disk
}

#[test]
fn an_audit_rejects_a_forged_chain_whose_checksums_are_good() {
    let Sample { chain, .. } = sample();
    let first = chain.blocks[0].header.clone();
    let good: Vec<_> = chain.blocks[1..=4]
        .iter()
        .map(|block| ((**block).clone(), None))
        .collect();
    let audit_of = |blocks: &[_]| audit(&forge(blocks), first.clone());
    let (count, error) = {
        let genesis = genesis("test");
        let disk = forge(&good);
        let mut audit = Audit::new(Box::new(disk.files().ledger), &genesis, first.clone()).unwrap();
        let count = audit.by_ref().map_while(Result::ok).count();
        (count, audit.certified())
    };
    assert_eq!(
        (count, error),
        (4, 0),
        "without certificates nothing is certified"
    );

    let mut swapped = good.clone();
    swapped.remove(1);
    let (at, error) = audit_of(&swapped);
    assert!(at == 1 && error.is_some(), "a block is missing");

    let mut relinked = good.clone();
    relinked[1].0.header.parent = first.hash();
    let (at, error) = audit_of(&relinked);
    assert!(matches!(
        (at, error),
        (1, Some(AuditError::Link { height: 2, .. }))
    ));

    let mut foreign = good.clone();
    foreign[2].0.header.genesis = genesis("other").hash();
    let (at, error) = audit_of(&foreign);
    assert!(matches!(
        (at, error),
        (2, Some(AuditError::Genesis { height: 3, .. }))
    ));

    let mut body = good.clone();
    body[2].0.outcomes[0] = super::rejected();
    let (at, error) = audit_of(&body);
    assert!(matches!((at, error), (2, Some(AuditError::Damage(damage))) if damage.height == 3));

    let mut signed = good.clone();
    signed[3].1 = Some(certificate(&signed[2].0.header));
    let (at, error) = audit_of(&signed);
    assert!(matches!(
        (at, error),
        (3, Some(AuditError::Certificate { height: 4, .. }))
    ));
}

#[test]
fn a_file_that_does_not_follow_on_the_state_is_refused() {
    let sample = sample();
    let state = sample.disk.crash(sample.disk.events(), 1);
    {
        let store = open(&state);
        let mut chain = Chain::new(&store);
        for entry in store.replay() {
            let entry = entry.unwrap();
            let height = entry.block.header.height;
            let mut random = Random::new(1);
            let mut changes = Default::default();
            for at in 1..=height {
                changes = some_changes(&mut random, at, 10, 2);
            }
            let prepared = store.state().prepare(&[], height, changes).unwrap();
            store
                .apply(entry.block.clone(), entry.certificate, Arc::new(prepared))
                .unwrap();
            chain.blocks.push(entry.block);
        }
        store.flush().unwrap();
    }
    let ledger = state.ledger();
    open(&state.with_ledger(ledger.clone(), true));
    // Cut off before what the state was made from.
    let cut = ledger[..sample.starts[4] as usize].to_vec();
    let cut = state.with_ledger(cut, true);
    assert!(matches!(
        open_on(&cut).map(|_| ()),
        Err(StoreError::LedgerBehind { .. })
    ));
    assert_eq!(
        cut.ledger().len() as u64,
        sample.starts[4],
        "it is left as it is"
    );
    // Another chain of the same length.
    let mut other = ledger;
    let last = sample.starts[5] as usize;
    other[last + 40] ^= 1;
    let other = state.with_ledger(other, true);
    assert!(matches!(
        open_on(&other).map(|_| ()),
        Err(StoreError::Damaged(_))
    ));
}
