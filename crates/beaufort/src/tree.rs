//! The Merkle tree over all keys: how two replicas find out, in a few messages, which keys they differ in.
//!
//! Keys are spread by their hash; each level of the tree takes four bits of it. A node with several keys below it is the
//! hash of its sixteen children, one with a single key that key's leaf. A leaf stands for the key's whole state, votes
//! included.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, hash};

/// How many bytes of a hash are compared.
const COMPARED: usize = 16;

/// The children of one node, as far as there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Four bits a step, from the root.
    pub path: Vec<u8>,
    /// Which child, and the beginning of its hash.
    pub children: Vec<(u8, [u8; COMPARED])>,
}

/// The tree.
#[derive(Default)]
pub(crate) struct Tree {
    leaves: BTreeMap<Digest, (Vec<u8>, Digest)>,
    /// Hashes of nodes with several leaves, until something below them changes.
    nodes: BTreeMap<Vec<u8>, Digest>,
}

impl Tree {
    /// Says what a key's state is now.
    pub fn set(&mut self, key: &[u8], state: Digest) {
        let place = hash("beaufort 2026 place", &[key]);
        let leaf = hash("beaufort 2026 leaf", &[key, &state]);
        if self
            .leaves
            .insert(place, (key.into(), leaf))
            .is_none_or(|(_, before)| before != leaf)
        {
            let path = nibbles(&place);
            for depth in 0..path.len() {
                self.nodes.remove(&path[..depth]);
                if self.range(&path[..depth]).nth(1).is_none() {
                    break;
                }
            }
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &[u8]) {
        let place = hash("beaufort 2026 place", &[key]);
        if self.leaves.remove(&place).is_some() {
            let path = nibbles(&place);
            for depth in 0..path.len() {
                self.nodes.remove(&path[..depth]);
            }
        }
    }

    /// The hash of everything below a path.
    pub fn hash(&mut self, path: &[u8]) -> Digest {
        let mut below = self.range(path);
        match (below.next(), below.next()) {
            (None, _) => return [0; 32],
            (Some((_, leaf)), None) => return *leaf,
            _ => {}
        }
        drop(below);
        if let Some(known) = self.nodes.get(path) {
            return *known;
        }
        let children: Vec<_> = (0..16)
            .map(|child| self.hash(&[path, &[child]].concat()))
            .collect();
        let parts: Vec<_> = children.iter().map(<[u8; 32]>::as_slice).collect();
        let node = hash("beaufort 2026 node", &parts);
        self.nodes.insert(path.into(), node);
        node
    }

    /// The children of a path.
    pub fn node(&mut self, path: &[u8]) -> Node {
        let mut children = Vec::new();
        for child in 0..16 {
            let below = [path, &[child]].concat();
            if self.range(&below).next().is_some() {
                children.push((child, beginning(&self.hash(&below))));
            }
        }
        Node {
            path: path.into(),
            children,
        }
    }

    /// The children of a path in which another's node differs from this tree, as paths.
    pub fn differing(&mut self, other: &Node) -> Vec<Vec<u8>> {
        if other.path.len() >= 64 {
            return Vec::new();
        }
        let theirs: BTreeMap<_, _> = other.children.iter().copied().collect();
        let mine: BTreeMap<_, _> = self.node(&other.path).children.into_iter().collect();
        let differs = |child: &u8| theirs.get(child) != mine.get(child);
        (0..16)
            .filter(differs)
            .map(|child| [other.path.as_slice(), &[child]].concat())
            .collect()
    }

    /// The keys below a path.
    pub fn keys(&self, path: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.range(path).map(|(key, _)| key.as_slice())
    }

    fn range(&self, path: &[u8]) -> impl Iterator<Item = &(Vec<u8>, Digest)> {
        let fill = |rest: u8| {
            let nibble = |at: usize| path.get(at).map_or(rest, |nibble| nibble & 0xf);
            std::array::from_fn::<u8, 32, _>(|byte| nibble(2 * byte) << 4 | nibble(2 * byte + 1))
        };
        self.leaves.range(fill(0)..=fill(0xf)).map(|(_, leaf)| leaf)
    }
}

fn nibbles(digest: &Digest) -> Vec<u8> {
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .collect()
}

fn beginning(digest: &Digest) -> [u8; COMPARED] {
    std::array::from_fn(|byte| digest[byte])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(states: &BTreeMap<Vec<u8>, u8>) -> Tree {
        let mut tree = Tree::default();
        for (key, state) in states {
            tree.set(key, [*state; 32]);
        }
        tree
    }

    /// The keys below all paths at which two trees differ, as a descent finds them.
    fn descend(one: &mut Tree, other: &mut Tree) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut paths = vec![Vec::new()];
        while let Some(path) = paths.pop() {
            for below in one.differing(&other.node(&path)) {
                let keys: Vec<_> = one
                    .keys(&below)
                    .chain(other.keys(&below))
                    .map(<[u8]>::to_vec)
                    .collect();
                match keys.len() {
                    0..=2 => found.extend(keys),
                    _ => paths.push(below),
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn states() -> impl Strategy<Value = BTreeMap<Vec<u8>, u8>> {
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..3), 0u8..4, 0..60)
    }

    proptest! {
        #[test]
        fn the_root_depends_on_what_the_keys_are_and_on_nothing_else(
            states in states(), order in any::<prop::sample::Index>(), before in states(),
        ) {
            let mut changed = tree(&before.into_iter().filter(|(key, _)| states.contains_key(key)).collect());
            changed.hash(&[]);
            let keys: Vec<_> = states.keys().collect();
            let start = if keys.is_empty() { 0 } else { order.index(keys.len()) };
            for key in keys[start..].iter().chain(&keys[..start]) {
                changed.set(key, [states[*key]; 32]);
                changed.hash(&[]);
            }
            prop_assert_eq!(changed.hash(&[]), tree(&states).hash(&[]));
        }

        #[test]
        fn a_descent_finds_every_key_that_differs(one in states(), other in states()) {
            let differ = |key: &&Vec<u8>| one.get(*key) != other.get(*key);
            let differing: Vec<_> = one.keys().chain(other.keys()).filter(differ).cloned().collect();
            let found = descend(&mut tree(&one), &mut tree(&other));
            for key in differing {
                prop_assert!(found.contains(&key), "{:?}", key);
            }
        }
    }
}
