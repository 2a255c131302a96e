//! Who made what a session had read stale, and so is first where the session is in conflict.
//!
//! The state names the last writer of a key only. So the states after each block are looked at, from the block that
//! decided the session back to the one after which its reads were no longer current; the last 64 are kept.

use crate::{finality::Landed, lookup::transaction_at};
use plenary_store::Store;
use plenary_types::{Outcome, Read, StateKey, TransactionHash, Version, state::range_digest};

/// How many entries of a range are looked at, at each height, for what changed in it.
const MOST_ENTRIES: usize = 1_024;

/// The transaction that made what a decided one had read of `key` stale; of several in one block the
/// last. Nothing where the state does not tell: it is not kept any more, or has the key no longer, which
/// any of several transactions of one block may have deleted.
pub(crate) fn winner(store: &Store, landed: &Landed, key: &StateKey) -> Option<TransactionHash> {
    let (transaction, _) = transaction_at(store, landed.location()).ok()?;
    let reads = transaction.operations.iter().flat_map(|one| &one.reads);
    let of_key = |read: &&Read| match read {
        Read::Key { key: own, .. } | Read::Range { from: own, .. } => own == key,
    };
    let mut reads: Vec<&Read> = reads.filter(of_key).collect();
    let stale = |read: &Read, height| Some(look(store, read, height)?.0);
    // Back from the block that decided it to the one that made it stale.
    let mut height = landed.height;
    let mut before = None;
    while let Some(below) = height.checked_sub(1) {
        let mut still = reads.clone();
        still.retain(|read| stale(read, below) == Some(true));
        if still.is_empty() {
            before = reads.first().and_then(|read| stale(read, below));
            break;
        }
        (reads, height) = (still, below);
    }
    let decided = Version {
        height: landed.height,
        index: landed.index,
    };
    let (_, version) = look(store, reads.first()?, height)?;
    if let Some(version) = version.filter(|version| *version < decided) {
        let block = store.block(version.height).ok()??;
        return Some(block.transactions.get(version.index as usize)?.hash());
    }
    before?;
    let block = store.block(height).ok()??;
    let committed = (0..).zip(block.transactions.iter().zip(&block.outcomes));
    let mut committed = committed.filter(|(index, (_, outcome))| {
        let (index, outcome) = (*index, *outcome);
        *outcome == Outcome::Committed && Version { height, index } < decided
    });
    let (_, (only, _)) = committed.next()?;
    committed.next().is_none().then(|| only.hash())
}

/// Whether a read is stale after the block of a height, and which transaction changed it last, where
/// that shows. Nothing where the state is not kept.
fn look(store: &Store, read: &Read, height: u64) -> Option<(bool, Option<Version>)> {
    let view = store.state().view(height).ok()?;
    match read {
        Read::Key { key, version } => {
            let now = view.get(key).ok()?.map(|found| found.version);
            Some((now != *version, now))
        }
        Read::Range { from, to, digest } => {
            let found = view.range(from, to, MOST_ENTRIES).ok()?;
            let entries = found.iter().map(|(key, found)| (key, found.version));
            let stale = range_digest(entries.clone()) != *digest;
            let versions = entries.map(|(_, version)| version);
            let changed = versions.filter(|version| version.height == height);
            Some((stale, changed.max()))
        }
    }
}
