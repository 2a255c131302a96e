use super::{Groups, Script, entry, file, read, session, sessions};
use bytes::Bytes;
use plenary_store::testing::Disk;
use std::collections::HashSet;

#[test]
fn the_log_does_not_grow_with_what_was_forgotten() {
    let disk = Disk::new();
    let mut groups = Groups::open(file(&disk), 64 << 10).unwrap().0;
    let long = session(0);
    let mut sizes = Vec::new();
    let mut kept = Vec::new();
    let mut ended = HashSet::new();
    for round in 1..=400_u64 {
        // Two sessions that end with the next group, and now and then one that lives long.
        let mut entries: Vec<_> = (0..2).map(|at| session(round * 2 + at)).collect();
        let started = entries.iter().copied().collect();
        if round % 20 == 1 {
            kept.push(entry(&long, kept.len(), 100));
            entries.push(long);
        }
        let entries: Vec<_> = entries
            .into_iter()
            .map(|id| match id == long {
                true => (id, kept.last().unwrap().clone()),
                false => (id, entry(&id, 0, 4000)),
            })
            .collect();
        groups.write(&entries, &ended).unwrap();
        ended = started;
        sizes.push(disk.sizes()[0]);
    }
    assert!(
        sizes[399] <= sizes[100],
        "{} after {}",
        sizes[399],
        sizes[100]
    );
    assert!(sizes[399] < 1 << 21);
    groups.write(&[], &ended).unwrap();
    groups.close().unwrap();
    assert_eq!(read(&disk).unwrap(), [(long, kept)].into());
}

#[test]
fn a_forgotten_session_stays_forgotten_while_a_long_one_shares_its_groups() {
    for seed in 1..=3 {
        println!("seed {seed}");
        let disk = Disk::new();
        let mut script = Script::new(seed);
        for _ in 0..12 {
            let slack = [0, 20_000, u64::MAX][script.random.below(3) as usize];
            let (mut groups, recovered) = Groups::open(file(&disk), slack).unwrap();
            assert_eq!(sessions(recovered), script.sessions);
            for _ in 0..8 {
                let (entries, forgotten) = script.group();
                groups.write(&entries, &forgotten).unwrap();
            }
            groups.close().unwrap();
        }
        assert!(script.sessions[&session(1)].len() > 5);
    }
}

#[test]
fn an_empty_entry_and_a_long_one_come_back() {
    let disk = Disk::new();
    let mut groups = Groups::open(file(&disk), 0).unwrap().0;
    let long = Bytes::from(vec![7; super::super::MAX_ENTRY_BYTES]);
    let entries = vec![(session(1), Bytes::new()), (session(1), long.clone())];
    groups.write(&entries, &HashSet::new()).unwrap();
    groups.close().unwrap();
    let found = read(&disk).unwrap();
    assert_eq!(found[&session(1)], [Bytes::new(), long]);
}
