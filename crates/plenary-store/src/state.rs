//! Versioned, authenticated state: what is final, at the last heights, and what it would become.
//!
//! The tables on disk are those of one height, the last that was flushed. Blocks applied since
//! then lie over them in memory; of the blocks before, what they replaced is kept, so that laying
//! it back gives the state of an older height. Both are layers of changes over one snapshot, and
//! so a view is a list of layers: made in a moment, and never changed by what is applied later.

use crate::{
    database::{
        NODES, OLD_NODES, OLD_VALUES, Snapshot, Tip, VALUES, old_value, prune, write_blocks,
    },
    error::StoreError,
    tree::{self, NodeChanges, Nodes, encode_node, other_leaf, way},
};
use jmt::storage::Node;
use parking_lot::RwLock;
use plenary_service::state::{Layered, StateError, StateView};
use plenary_types::{
    BlockHash, Changes, Digest, StateKey, StateProof, encode, limits::READABLE_HEIGHTS,
    state_proof::place,
};
use redb::WriteTransaction;
use std::{collections::VecDeque, sync::Arc};

/// What a block would make of the state: worked out over its parent, written nowhere. Dropping it
/// leaves no trace.
#[derive(Debug)]
pub struct Prepared {
    /// The block's height.
    pub height: u64,
    /// What the block changes.
    pub changes: Arc<Changes>,
    /// The state root after the block.
    pub root: Digest,
    base: Digest,
    nodes: NodeChanges,
}

impl Prepared {
    pub(crate) fn over(
        below: &impl Nodes,
        base: Digest,
        height: u64,
        changes: Changes,
    ) -> Result<Self, StateError> {
        let (root, nodes) = tree::update(below, base, height, &changes)?;
        Ok(Self {
            height,
            changes: Arc::new(changes),
            root,
            base,
            nodes,
        })
    }
}

/// Writes the values and nodes of blocks, oldest first, keeping what each replaces. Gives the
/// values that each replaced.
pub(crate) fn write(
    transaction: &WriteTransaction,
    blocks: &[Arc<Prepared>],
) -> Result<Vec<Changes>, StoreError> {
    let values = blocks.iter().map(|block| {
        let changes = block.changes.iter();
        let changes = changes.map(|(key, change)| (key.as_bytes(), change.as_ref()));
        (block.height, changes)
    });
    let old = write_blocks(transaction, (VALUES, OLD_VALUES), values, |value| {
        encode(value).into()
    })?;
    let nodes = blocks.iter().map(|block| {
        let changes = block.nodes.iter();
        let changes = changes.map(|(path, node)| (path.as_slice(), node.as_ref()));
        (block.height, changes)
    });
    write_blocks(transaction, (NODES, OLD_NODES), nodes, encode_node)?;
    let old = old.iter().map(|pairs| {
        let pairs = pairs.iter().map(|(key, value)| old_value(key, value));
        Ok(pairs.collect::<Result<Changes, StateError>>()?)
    });
    old.collect()
}

struct Inner {
    /// The last block applied.
    tip: Tip,
    /// What is on disk.
    flushed: Arc<Snapshot>,
    /// The blocks applied over it, oldest first.
    unflushed: VecDeque<Arc<Prepared>>,
    /// What the last flushed blocks replaced, oldest first; the last is the snapshot's own block.
    old: VecDeque<Arc<Changes>>,
}

/// The finalized state. All methods take `&self`; reading never waits for the disk's writes.
pub struct State {
    inner: RwLock<Inner>,
}

/// The tree at one height: blocks in memory, newest first, over what is on disk.
struct Tree {
    layers: Vec<Arc<Prepared>>,
    flushed: Arc<Snapshot>,
    height: u64,
}

impl Nodes for Tree {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, StateError> {
        match self.layers.iter().find_map(|layer| layer.nodes.get(path)) {
            Some(change) => Ok(change.clone()),
            None => self
                .flushed
                .node_at(self.height.min(self.flushed.tip.height), path),
        }
    }
}

impl Inner {
    /// The oldest height that can be read.
    fn oldest(&self) -> u64 {
        self.tip.height.saturating_sub(READABLE_HEIGHTS - 1)
    }

    fn check_readable(&self, height: u64) -> Result<(), StoreError> {
        let (oldest, newest) = (self.oldest(), self.tip.height);
        if (oldest..=newest).contains(&height) {
            return Ok(());
        }
        Err(StoreError::Height {
            height,
            oldest,
            newest,
        })
    }

    /// The blocks in memory up to `height`, newest first.
    fn above_flushed(&self, height: u64) -> impl Iterator<Item = &Arc<Prepared>> {
        let blocks = self.unflushed.iter().rev();
        blocks.skip_while(move |block| block.height > height)
    }

    fn view(&self, height: u64) -> Arc<dyn StateView> {
        let flushed = self.flushed.tip.height;
        let layers: Vec<_> = if height >= flushed {
            let blocks = self.above_flushed(height);
            blocks.map(|block| block.changes.clone()).collect()
        } else {
            // What the block right above the height replaced was there at the height, so it hides
            // what later blocks replaced.
            let later = usize::try_from(flushed - height).unwrap_or(usize::MAX);
            let first = self.old.len().saturating_sub(later);
            self.old.range(first..).cloned().collect()
        };
        if layers.is_empty() {
            self.flushed.clone()
        } else {
            Arc::new(Layered::new(layers, self.flushed.clone()))
        }
    }

    fn tree(&self, height: u64) -> Tree {
        Tree {
            layers: self.above_flushed(height).cloned().collect(),
            flushed: self.flushed.clone(),
            height,
        }
    }
}

impl State {
    /// The state on disk.
    pub(crate) fn open(flushed: Arc<Snapshot>) -> Result<Self, StoreError> {
        let height = flushed.tip.height;
        let first = (height + 1).saturating_sub(READABLE_HEIGHTS - 1).max(1);
        let old = (first..=height).map(|height| Ok(Arc::new(flushed.old_values(height)?)));
        let old = old.collect::<Result<_, StateError>>()?;
        Ok(Self {
            inner: RwLock::new(Inner {
                tip: flushed.tip,
                flushed,
                unflushed: VecDeque::new(),
                old,
            }),
        })
    }

    /// The last block applied.
    pub fn tip(&self) -> Tip {
        self.inner.read().tip
    }

    /// The height of the last block that is in the state database.
    pub fn flushed_height(&self) -> u64 {
        self.inner.read().flushed.tip.height
    }

    /// The state after the block of `height`, one of the last [`READABLE_HEIGHTS`]. Cheap to make;
    /// does not change while later blocks are applied. While it is held, the disk space of what
    /// they replace is not used again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Height`] where that height is not kept, or not there yet.
    pub fn view(&self, height: u64) -> Result<Arc<dyn StateView>, StoreError> {
        let inner = self.inner.read();
        inner.check_readable(height)?;
        Ok(inner.view(height))
    }

    /// The state after the last block applied, and which block that is.
    pub fn latest(&self) -> (Tip, Arc<dyn StateView>) {
        let inner = self.inner.read();
        (inner.tip, inner.view(inner.tip.height))
    }

    /// Works out what `changes` make of the state at `height`, over `parents`, oldest first: the
    /// blocks between the last one applied and this one. Parents that were applied meanwhile may
    /// be among them.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotNext`] where the parents do not lead from the last applied block to
    /// `height`: another block was made final meanwhile.
    pub fn prepare(
        &self,
        parents: &[Arc<Prepared>],
        height: u64,
        changes: Changes,
    ) -> Result<Prepared, StoreError> {
        let (mut tree, tip) = {
            let inner = self.inner.read();
            (inner.tree(inner.tip.height), inner.tip)
        };
        let mut last = (tip.height, tip.root);
        for parent in parents {
            let applied = parent.height < tip.height
                || (parent.height == tip.height && parent.root == tip.root);
            if applied {
                continue;
            }
            check_next(last, parent.height, parent.base)?;
            last = (parent.height, parent.root);
            tree.layers.insert(0, parent.clone());
        }
        check_next(last, height, last.1)?;
        Ok(Prepared::over(&tree, last.1, height, changes)?)
    }

    /// Proves what `key` has in the state after the block of `height`, one of the last
    /// [`READABLE_HEIGHTS`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Height`] where that height is not kept, or not there yet.
    pub fn prove(&self, key: &StateKey, height: u64) -> Result<StateProof, StoreError> {
        let (tree, view) = {
            let inner = self.inner.read();
            inner.check_readable(height)?;
            (inner.tree(height), inner.view(height))
        };
        let (leaf, siblings) = way(&tree, key)?;
        let own = leaf
            .as_ref()
            .is_some_and(|leaf| leaf.key_hash().0 == place(key).0);
        let (value, other) = if own {
            (view.get(key)?, None)
        } else {
            (None, leaf.as_ref().map(other_leaf).transpose()?)
        };
        Ok(StateProof::new(value, other, siblings))
    }

    /// Makes a prepared block the last one applied; visible at once. `hash` is the block's.
    pub(crate) fn apply(&self, prepared: Arc<Prepared>, hash: BlockHash) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        check_next(
            (inner.tip.height, inner.tip.root),
            prepared.height,
            prepared.base,
        )?;
        inner.tip = Tip {
            height: prepared.height,
            hash,
            root: prepared.root,
        };
        inner.unflushed.push_back(prepared);
        Ok(())
    }

    /// The applied blocks up to `height` that are not on disk, oldest first.
    pub(crate) fn unflushed(&self, height: u64) -> Vec<Arc<Prepared>> {
        let inner = self.inner.read();
        let blocks = inner.unflushed.iter();
        blocks
            .take_while(|block| block.height <= height)
            .cloned()
            .collect()
    }

    /// Removes from a transaction what no readable height needs once `height` is flushed.
    pub(crate) fn prune(transaction: &WriteTransaction, height: u64) -> Result<(), StoreError> {
        let first = (height + 1).saturating_sub(READABLE_HEIGHTS - 1);
        prune(transaction, OLD_VALUES, first)?;
        prune(transaction, OLD_NODES, first)
    }

    /// Takes note that the oldest unflushed blocks are on disk, with what they replaced.
    pub(crate) fn flushed(&self, snapshot: Arc<Snapshot>, old: Vec<Changes>) {
        let mut inner = self.inner.write();
        let height = snapshot.tip.height;
        while inner
            .unflushed
            .front()
            .is_some_and(|block| block.height <= height)
        {
            inner.unflushed.pop_front();
        }
        inner.flushed = snapshot;
        inner.old.extend(old.into_iter().map(Arc::new));
        let excess = inner
            .old
            .len()
            .saturating_sub(READABLE_HEIGHTS as usize - 1);
        inner.old.drain(..excess);
    }
}

/// Checks that a block of `height` over the state `base` follows on the block and root of `last`.
fn check_next(last: (u64, Digest), height: u64, base: Digest) -> Result<(), StoreError> {
    let (tip, root) = last;
    let what = if tip.checked_add(1) != Some(height) {
        "the height is not the next"
    } else if base != root {
        "it was prepared over another state"
    } else {
        return Ok(());
    };
    Err(StoreError::NotNext { height, tip, what })
}
