//! The Merkle trees of a block (RFC 6962), over transaction hashes and over outcomes.

use crate::digest::Digest;
use bytes::Bytes;
use ct_merkle::{HashableLeaf, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use sha2::{Sha256, digest::Update};

struct Leaf(Bytes);

impl HashableLeaf for Leaf {
    fn hash<U: Update>(&self, hasher: &mut U) {
        hasher.update(&self.0);
    }
}

fn tree(leaves: impl IntoIterator<Item = Bytes>) -> MemoryBackedTree<Sha256, Leaf> {
    let mut tree = MemoryBackedTree::new();
    leaves.into_iter().for_each(|leaf| tree.push(Leaf(leaf)));
    tree
}

/// The root over `leaves`; of none, the hash of nothing.
pub fn root(leaves: impl IntoIterator<Item = Bytes>) -> Digest {
    Digest((*tree(leaves).root().as_bytes()).into())
}

/// The path that proves the leaf at `index`, or nothing where there is no such leaf.
pub fn prove(leaves: impl IntoIterator<Item = Bytes>, index: usize) -> Option<Vec<Digest>> {
    let tree = tree(leaves);
    (index < tree.len() as usize).then(|| {
        let proof = tree.prove_inclusion(index);
        proof
            .as_bytes()
            .as_chunks::<32>()
            .0
            .iter()
            .map(|digest| Digest(*digest))
            .collect()
    })
}

/// Whether `path` proves that `leaf` is at `index` of the `count` leaves under `root`.
#[must_use]
pub fn verify(root: &Digest, count: u64, leaf: Bytes, index: u64, path: &[Digest]) -> bool {
    // The library's index arithmetic is for trees below 2^63 leaves.
    if index >= count || count > u64::from(u32::MAX) {
        return false;
    }
    let proof =
        InclusionProof::<Sha256>::from_digests(path.iter().map(|digest| (&digest.0).into()));
    RootHash::<Sha256>::new(root.0.into(), count)
        .verify_inclusion(&Leaf(leaf), index, &proof)
        .is_ok()
}
