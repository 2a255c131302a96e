//! Comparing the tree of all keys with a neighbour's, to find what gossip missed: while a replica was away, or because a
//! neighbour withheld it.
//!
//! A replica sends the hashes below the root. Who finds others there answers with the hashes below those that differ,
//! and so on down; where few keys are left, their states go along.

use std::collections::BTreeSet;

use rand_chacha::rand_core::Rng;

use super::{Replica, gossip::state_digest};
use crate::{MemberId, Millis, Scheme, tree::Node, wire::Message};

/// With as many keys below a path, their states are sent instead of further hashes.
const FEW: usize = 4;

/// The most nodes that are compared at a time.
const MAX_NODES: usize = 256;

/// Whether this is a way down the tree: halves of the bytes of a hash.
fn is_path(path: &[u8]) -> bool {
    path.len() <= 64 && path.iter().all(|&half| half < 16)
}

impl<S: Scheme> Replica<S> {
    /// Compares with one neighbour, when it is time to.
    pub(super) fn compare(&mut self, now: Millis) {
        if now < self.next_comparison || self.peers.is_empty() {
            return;
        }
        self.next_comparison = now + self.settings.comparison;
        let which = self.random.next_u64() as usize % self.peers.len();
        if let Some(&to) = self.peers.keys().nth(which) {
            self.compare_with(to);
        }
    }

    /// Begins to compare with a neighbour.
    pub(super) fn compare_with(&mut self, to: MemberId) {
        self.refresh_tree();
        let root = self.tree.node(&[]);
        self.send(to, &Message::Compare(vec![root]));
    }

    /// A neighbour sent hashes.
    pub(super) fn receive_compare(&mut self, now: Millis, from: MemberId, nodes: &[Node]) {
        self.refresh_tree();
        let (mut deeper, mut missing, mut offered) = (Vec::new(), Vec::new(), BTreeSet::new());
        for node in nodes
            .iter()
            .filter(|node| is_path(&node.path))
            .take(MAX_NODES)
        {
            for path in self.tree.differing(node) {
                if self.tree.keys(&path).nth(FEW).is_some() {
                    deeper.push(self.tree.node(&path));
                    continue;
                }
                offered.extend(self.offer(from, &path));
                if node
                    .children
                    .iter()
                    .any(|(child, _)| path.last() == Some(child))
                {
                    missing.push(path);
                }
            }
        }
        deeper.truncate(MAX_NODES);
        if !deeper.is_empty() {
            self.send(from, &Message::Compare(deeper));
        }
        if !missing.is_empty() {
            self.send(from, &Message::Under(missing));
        }
        self.tell(now, from, &offered);
    }

    /// A neighbour wants what is below some paths.
    pub(super) fn receive_under(&mut self, now: Millis, from: MemberId, paths: &[Vec<u8>]) {
        self.refresh_tree();
        let (mut deeper, mut offered) = (Vec::new(), BTreeSet::new());
        for path in paths.iter().filter(|path| is_path(path)).take(MAX_NODES) {
            if self.tree.keys(path).nth(FEW).is_some() {
                deeper.push(self.tree.node(path));
            } else {
                offered.extend(self.offer(from, path));
            }
        }
        if !deeper.is_empty() {
            self.send(from, &Message::Compare(deeper));
        }
        self.tell(now, from, &offered);
    }

    /// The keys below a path, of which a neighbour is now to be told everything.
    fn offer(&mut self, to: MemberId, path: &[u8]) -> Vec<Vec<u8>> {
        let keys: Vec<_> = self.tree.keys(path).map(<[u8]>::to_vec).collect();
        if let Some(peer) = self.peers.get_mut(&to) {
            keys.iter().for_each(|key| peer.forget(key));
        }
        keys
    }

    /// Brings the tree up to date.
    pub(super) fn refresh_tree(&mut self) {
        for key in std::mem::take(&mut self.stale) {
            match self.instances.get(&key) {
                Some(instance) if instance.is_empty() => self.drop_key(&key),
                Some(instance) => self.tree.set(&key, state_digest(instance)),
                None => {}
            }
        }
    }

    /// Keeps nothing of a key of which nothing is known, so that keys that never had a value take no room.
    pub(super) fn drop_key(&mut self, key: &[u8]) {
        self.instances.remove(key);
        self.tree.remove(key);
        self.stages.remove(key);
        self.parents.remove(key);
        self.careful.remove(key);
        self.started_over.remove(key);
        self.dues.remove(key);
        for peer in self.peers.values_mut() {
            peer.forget(key);
        }
    }
}
