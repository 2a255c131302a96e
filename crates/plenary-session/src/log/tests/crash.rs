use super::{Groups, LogError, Script, Sessions, entry, file, read, session, sessions};
use crate::log::Log;
use plenary_store::testing::Disk;
use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A run of groups: what is to be found after each, and how many events of the disk had been when
/// it was acknowledged.
struct Run {
    disk: Disk,
    acknowledged: Vec<(usize, Sessions)>,
}

fn run(seed: u64, count: usize) -> Run {
    let disk = Disk::new();
    let mut script = Script::new(seed);
    let mut acknowledged = vec![(0, Sessions::new())];
    let mut groups = Groups::open(file(&disk), 0).unwrap().0;
    for _ in 0..count {
        let (entries, forgotten) = script.group();
        groups.write(&entries, &forgotten).unwrap();
        acknowledged.push((disk.events(), script.sessions.clone()));
    }
    groups.close().unwrap();
    Run { disk, acknowledged }
}

fn check_crash(run: &Run, event: usize, seed: u64) {
    let disk = run.disk.crash(event, seed);
    let before = run.acknowledged.iter().take_while(|(at, _)| *at <= event);
    let acknowledged = before.count() - 1;
    let (mut groups, recovered) = Groups::open(file(&disk), 0).unwrap();
    let mut found = sessions(recovered);
    let unfinished = acknowledged + 1;
    let wanted = run.acknowledged.get(acknowledged..).unwrap().iter();
    let wanted: Vec<_> = wanted.take(2).map(|(_, sessions)| sessions).collect();
    assert!(
        wanted.contains(&&found),
        "all of group {acknowledged}, and all or nothing of group {unfinished}"
    );
    // And it goes on from there.
    let id = session(1_000_000);
    found.insert(id, vec![entry(&id, 0, 100)]);
    let appended = [(id, entry(&id, 0, 100))];
    groups.write(&appended, &HashSet::new()).unwrap();
    groups.close().unwrap();
    assert_eq!(read(&disk).unwrap(), found);
}

#[test]
fn a_crash_at_any_moment_keeps_whole_groups_with_everything_acknowledged() {
    for seed in 1..=4 {
        let run = run(seed, 25);
        for event in 0..=run.disk.events() {
            for crash in 0..2 {
                let crash_seed = seed * 1_000_000 + event as u64 * 10 + crash;
                let check = AssertUnwindSafe(|| check_crash(&run, event, crash_seed));
                assert!(
                    catch_unwind(check).is_ok(),
                    "run {seed}, event {event}, crash seed {crash_seed}"
                );
            }
        }
    }
}

/// The log of `run` as a clean end left it, with one byte changed.
fn flipped(bytes: &[u8], at: usize) -> Disk {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x20;
    Disk::new().with_ledger(bytes, false)
}

#[test]
fn a_flipped_byte_of_an_entry_is_reported_with_its_place() {
    let run = run(5, 10);
    let bytes = run.disk.ledger();
    let (_, wanted) = run.acknowledged.last().unwrap();
    for entry in wanted.values().flatten() {
        // Pages that are no longer used may have it, too.
        let copies = bytes.windows(entry.len()).enumerate();
        let copies = copies.filter(|(_, window)| window == entry);
        let reported = copies.filter(|(at, _)| match read(&flipped(&bytes, *at)) {
            Err(error @ LogError::Damaged { .. }) => {
                let text = error.to_string();
                text.contains("sessions.redb is damaged in group") && text.contains("backup")
            }
            result => {
                assert_eq!(&result.unwrap(), wanted);
                false
            }
        });
        assert_eq!(reported.count(), 1);
    }
}

#[test]
fn a_flipped_byte_anywhere_is_reported_or_does_no_harm() {
    let run = run(6, 8);
    let bytes = run.disk.ledger();
    let (_, wanted) = run.acknowledged.last().unwrap();
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0);
    let mut reported = 0;
    for at in used.step_by(5) {
        match catch_unwind(|| read(&flipped(&bytes, at))) {
            Ok(Ok(found)) => assert_eq!(&found, wanted, "byte {at}"),
            Ok(Err(_)) => reported += 1,
            Err(_) => panic!("byte {at}"),
        }
    }
    assert!(reported > 0);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_says_what_to_do() {
    for room in 0..20 {
        let disk = Disk::new();
        let told = Arc::new(AtomicUsize::new(0));
        let telling = told.clone();
        let failed = move |text: String| {
            assert!(text.contains("no space is left to write sessions.redb: free some"));
            telling.fetch_add(1, Ordering::Relaxed);
        };
        let (log, _) = Log::inline(file(&disk), failed).unwrap();
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let append = |index| {
            let acknowledged = acknowledged.clone();
            log.append(session(1), entry(&session(1), index, 500), move || {
                // In order: what failed is never followed by what did not.
                assert_eq!(acknowledged.fetch_add(1, Ordering::Relaxed), index);
            });
        };
        append(0);
        disk.fill_after(room);
        (1..10).for_each(append);
        let kept = acknowledged.load(Ordering::Relaxed);
        assert!(kept < 10, "with room for {room}");
        assert_eq!(told.load(Ordering::Relaxed), 1);
        disk.free();
        append(kept);
        assert_eq!(acknowledged.load(Ordering::Relaxed), kept);
        log.stop();
        let found = read(&disk).unwrap();
        let found = &found[&session(1)];
        assert!(found.len() >= kept);
        for (index, found) in found.iter().enumerate() {
            assert_eq!(found, &entry(&session(1), index, 500));
        }
    }
}
