//! Records what an operation read of the base view, each read once, in order of first read.

use plenary_types::{Read, StateKey, Version, Versioned, state::range_digest};
use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Recorder {
    reads: Vec<Read>,
    keys: BTreeSet<StateKey>,
    ranges: BTreeSet<(StateKey, StateKey)>,
}

impl Recorder {
    /// Records that `key` was read at `version`; whether that is news.
    pub(crate) fn key(&mut self, key: &StateKey, version: Option<Version>) -> bool {
        let new = self.keys.insert(key.clone());
        if new {
            self.reads.push(Read::Key {
                key: key.clone(),
                version,
            });
        }
        new
    }

    /// Records that everything between `from` and `to` was seen; whether that is news.
    pub(crate) fn range(
        &mut self,
        from: &StateKey,
        to: &StateKey,
        seen: &[(StateKey, Versioned)],
    ) -> bool {
        let new = self.ranges.insert((from.clone(), to.clone()));
        if new {
            self.reads.push(Read::Range {
                from: from.clone(),
                to: to.clone(),
                digest: range_digest(seen.iter().map(|(key, found)| (key, found.version))),
            });
        }
        new
    }

    pub(crate) fn into_reads(self) -> Vec<Read> {
        self.reads
    }
}
