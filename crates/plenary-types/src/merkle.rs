//! The Merkle trees of a block (RFC 9162, section 2.1), over transaction hashes and over outcomes.
//!
//! Our own few lines, because a block's roots are computed on every node for every block, and the
//! library that the tests compare them with hashes a path for every leaf it appends.

use crate::digest::Digest;
use sha2::{Digest as _, Sha256};

fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let node = Sha256::new().chain_update([1]);
    Digest(
        node.chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

fn hash_all<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Vec<Digest> {
    let leaves = leaves.into_iter();
    leaves.map(|leaf| leaf_hash(leaf.as_ref())).collect()
}

/// Splits two or more hashes where RFC 9162 does: the left side is the largest power of two that
/// leaves something for the right.
fn split(hashes: &[Digest]) -> (&[Digest], &[Digest]) {
    hashes.split_at(hashes.len().next_power_of_two() / 2)
}

fn root_of(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let (left, right) = split(hashes);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

fn path_to(index: usize, hashes: &[Digest]) -> Vec<Digest> {
    if hashes.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = split(hashes);
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (path_to(index, left), right),
        Some(index) => (path_to(index, right), left),
    };
    path.push(root_of(sibling));
    path
}

/// The root over `leaves`; of none, the hash of nothing.
pub fn root<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Digest {
    root_of(&hash_all(leaves))
}

/// The path that proves the leaf at `index`, from its sibling upwards, or nothing where there is
/// no such leaf.
pub fn prove<L: AsRef<[u8]>>(
    leaves: impl IntoIterator<Item = L>,
    index: usize,
) -> Option<Vec<Digest>> {
    let hashes = hash_all(leaves);
    (index < hashes.len()).then(|| path_to(index, &hashes))
}

/// Whether `path` proves that `leaf` is at `index` of the `count` leaves under `root` (RFC 9162,
/// section 2.1.3.2).
#[must_use]
pub fn verify(
    root: &Digest,
    count: u64,
    leaf: impl AsRef<[u8]>,
    index: u64,
    path: &[Digest],
) -> bool {
    if index >= count {
        return false;
    }
    // Position of the node, and of the last node, in their level.
    let (mut node, mut last) = (index, count - 1);
    let mut hash = leaf_hash(leaf.as_ref());
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A last node without a sibling rises to the level where it has one.
            while node.is_multiple_of(2) {
                node /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    last == 0 && hash == *root
}
