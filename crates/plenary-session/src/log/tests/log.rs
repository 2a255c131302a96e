use super::{LogError, entry, file, read, session};
use crate::log::{
    Log, in_directory,
    record::{Record, records},
};
use bytes::Bytes;
use parking_lot::Mutex;
use plenary_store::testing::Disk;
use std::sync::{Arc, mpsc};

fn unexpected(text: String) {
    panic!("{text}");
}

#[test]
fn all_that_wait_share_one_sync_and_are_acknowledged_in_the_order_of_appending() {
    let disk = Disk::new();
    let (log, _) = Log::grouped(file(&disk), unexpected).unwrap();
    let (acknowledge, acknowledged) = mpsc::channel();
    let append = |index: u64| {
        let acknowledge = acknowledge.clone();
        let id = session(index % 7);
        let entry = entry(&id, index as usize, 100);
        log.append(id, entry, move || acknowledge.send(index).unwrap());
    };
    let held = disk.hold_syncs();
    append(0);
    held.wait();
    let before = disk.syncs();
    (1..200).for_each(append);
    assert!(acknowledged.try_recv().is_err(), "nothing is durable yet");
    drop(held);
    let order: Vec<_> = acknowledged.iter().take(200).collect();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
    assert_eq!(disk.syncs() - before, 2, "the first, and all others");
    log.stop();
    assert_eq!(read(&disk).unwrap().len(), 7);
}

#[test]
fn the_logs_thread_tells_of_a_full_disk_once_and_completes_nothing_more() {
    let disk = Disk::new();
    let (tell, told) = mpsc::channel();
    let (log, _) = Log::grouped(file(&disk), move |text| tell.send(text).unwrap()).unwrap();
    let (acknowledge, acknowledged) = mpsc::channel();
    let append = |index: usize| {
        let acknowledge = acknowledge.clone();
        let entry = entry(&session(1), index, 100);
        log.append(session(1), entry, move || acknowledge.send(index).unwrap());
    };
    append(0);
    assert_eq!(acknowledged.recv().unwrap(), 0);
    disk.fill_after(0);
    append(1);
    assert!(told.recv().unwrap().contains("free some, then start"));
    disk.free();
    append(2);
    log.stop();
    assert!(told.recv().is_err(), "told once");
    assert!(acknowledged.try_recv().is_err());
    let found = read(&disk).unwrap();
    assert_eq!(found[&session(1)][0], entry(&session(1), 0, 100));
}

#[test]
fn what_was_forgotten_before_the_log_was_stopped_does_not_come_back() {
    for grouped in [true, false] {
        let disk = Disk::new();
        let (log, _) = match grouped {
            true => Log::grouped(file(&disk), unexpected),
            false => Log::inline(file(&disk), unexpected),
        }
        .unwrap();
        log.append(session(1), entry(&session(1), 0, 100), || ());
        log.append(session(2), entry(&session(2), 0, 100), || ());
        log.forget(session(1));
        log.stop();
        let found = read(&disk).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [session(2)]);
    }
}

#[test]
fn an_entry_written_inline_is_durable_when_append_returns() {
    let disk = Disk::new();
    let (log, _) = Log::inline(file(&disk), unexpected).unwrap();
    let done = Arc::new(Mutex::new(false));
    let complete = done.clone();
    let sent = entry(&session(1), 0, 100);
    log.append(session(1), sent.clone(), move || *complete.lock() = true);
    assert!(*done.lock());
    let crashed = disk.crash(disk.events(), 1);
    assert_eq!(read(&crashed).unwrap()[&session(1)], [sent]);
}

#[test]
fn a_log_in_a_directory_is_found_again_and_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let (log, recovered) = Log::grouped(in_directory(&path).unwrap(), unexpected).unwrap();
    assert_eq!(recovered, []);
    let sent = entry(&session(3), 0, 1000);
    log.append(session(3), sent.clone(), || ());
    let second = Log::grouped(in_directory(&path).unwrap(), unexpected);
    assert!(matches!(second, Err(LogError::InUse)));
    log.stop();
    let (_log, recovered) = Log::grouped(in_directory(&path).unwrap(), unexpected).unwrap();
    assert_eq!(recovered[0].entries, [sent]);
}

#[test]
fn another_file_is_refused_and_left_as_it_is() {
    let text = b"this is not a session log, but something dear to somebody".repeat(100);
    let disk = Disk::new().with_ledger(text.clone(), false);
    assert!(matches!(read(&disk), Err(LogError::Foreign)));
    assert_eq!(disk.ledger(), text);
}

#[test]
fn the_bytes_of_a_record_do_not_change() {
    let group = [
        Record::Entry(session(5), Bytes::from_static(b"entry")),
        Record::Forgotten(session(6)),
    ];
    let mut bytes = vec![0; group.iter().map(Record::length).sum()];
    let mut rest = &mut bytes[..];
    for record in &group {
        rest = record.write(rest);
    }
    assert!(rest.is_empty());
    let zeros = "00".repeat(31);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = format!("00000005{zeros}05c8035649656e747279ffffffff{zeros}06d95e1817");
    assert_eq!(text, golden);
    let read: Result<Vec<_>, _> = records(bytes.into()).collect();
    assert_eq!(read.unwrap(), group);
}
