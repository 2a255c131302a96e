#![allow(clippy::unwrap_used)]

mod crash;
mod log;
mod space;

use super::{LogError, Recovered, groups::Groups};
use bytes::Bytes;
use plenary_store::testing::{Disk, DiskFile, Random};
use plenary_types::SessionId;
use std::collections::{BTreeMap, HashSet};

type Sessions = BTreeMap<SessionId, Vec<Bytes>>;

/// The log's file on a disk.
fn file(disk: &Disk) -> DiskFile {
    disk.files().ledger
}

fn session(number: u64) -> SessionId {
    let mut id = [0; 32];
    id[24..].copy_from_slice(&number.to_be_bytes());
    SessionId(id)
}

/// An entry that no other session and no other place has.
fn entry(session: &SessionId, index: usize, length: usize) -> Bytes {
    let mut bytes = format!("{session} {index} ").into_bytes();
    bytes.resize(bytes.len().max(length), index as u8);
    bytes.into()
}

fn sessions(recovered: Vec<Recovered>) -> Sessions {
    let pairs = recovered.into_iter();
    pairs.map(|found| (found.session, found.entries)).collect()
}

fn read(disk: &Disk) -> Result<Sessions, LogError> {
    Groups::open(file(disk), 0).map(|(_, recovered)| sessions(recovered))
}

/// Some sessions at once, one of which lives long, in groups: what is to be found after each.
struct Script {
    random: Random,
    sessions: Sessions,
    next: u64,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            sessions: Sessions::new(),
            next: 0,
        }
    }

    /// The next group, and the sessions forgotten with it.
    fn group(&mut self) -> (Vec<(SessionId, Bytes)>, HashSet<SessionId>) {
        let mut entries = Vec::new();
        let mut forgotten = HashSet::new();
        for _ in 0..=self.random.below(6) {
            let open = self.sessions.len() as u64;
            let pick = self.random.below(6);
            let id = match self.sessions.keys().nth(pick as usize) {
                Some(id) if open >= 6 => *id,
                _ => {
                    self.next += 1;
                    session(self.next)
                }
            };
            let held = self.sessions.entry(id).or_default();
            let length = self.random.below(3000) as usize;
            let entry = entry(&id, held.len(), length);
            held.push(entry.clone());
            entries.push((id, entry));
            // The first lives for ever; the others end after some steps.
            if id != session(1) && self.random.below(5) == 0 {
                self.sessions.remove(&id);
                forgotten.insert(id);
            }
        }
        (entries, forgotten)
    }
}
