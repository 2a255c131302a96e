//! The authenticated tree: roots of states that are not applied yet, and the ways that proofs
//! need.
//!
//! The tree is the Jellyfish Merkle tree of the `jmt` crate (hashing as in
//! [`plenary_types::state_proof`]). That crate keeps each version of a node under a key of its
//! own; here a node is kept under its path alone, and what a block replaced is kept with the
//! block, exactly as with values. So reading a tree of another height, or one of blocks that are
//! not final, is reading through layers, and pruning is dropping the oldest of them.

use borsh::BorshDeserialize as _;
use jmt::{
    KeyHash, Sha256Jmt,
    storage::{LeafNode, NibblePath, Node, NodeKey, TreeReader, TreeUpdateBatch},
};
use plenary_service::state::StateError;
use plenary_types::{
    Changes, Digest, StateKey, encode,
    state_proof::{EMPTY, StateLeaf, branch, place},
};
use std::collections::HashMap;

/// Where a node is: the number of nibbles from the root, then the nibbles, two a byte.
pub(crate) type NodePath = Vec<u8>;

/// What a block changed in the tree: `None` removes.
pub(crate) type NodeChanges = HashMap<NodePath, Option<Node>>;

/// A tree at one point, for reading.
pub(crate) trait Nodes {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, StateError>;
}

/// A nibble is 4 bits, so a path has at most 64.
const MAX_NIBBLES: usize = 64;

fn pack(nibbles: impl ExactSizeIterator<Item = u8>) -> NodePath {
    let mut path = Vec::with_capacity(1 + nibbles.len().div_ceil(2));
    path.push(nibbles.len() as u8);
    for (index, nibble) in nibbles.enumerate() {
        match path.last_mut() {
            Some(last) if index % 2 == 1 => *last |= nibble,
            _ => path.push(nibble << 4),
        }
    }
    path
}

fn path_of(path: &NibblePath) -> NodePath {
    pack((0..path.num_nibbles()).map(|index| u8::from(path.get_nibble(index))))
}

/// Gives the tree crate what it asks for. It names versions, which a reader at one point of time
/// can ignore.
struct Reader<'a, N>(&'a N);

impl<N: Nodes> TreeReader for Reader<'_, N> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let path = key.nibble_path();
        let node = self.0.node(&path_of(path))?;
        Ok(node.or(path.is_empty().then_some(Node::Null)))
    }

    fn get_value_option(&self, _: jmt::Version, _: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        anyhow::bail!("values are not kept with the tree")
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("a tree is never restored from parts")
    }
}

/// Changes over a tree.
struct Over<'a, N> {
    changes: &'a NodeChanges,
    below: &'a N,
}

impl<N: Nodes> Nodes for Over<'_, N> {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, StateError> {
        match self.changes.get(path) {
            Some(change) => Ok(change.clone()),
            None => self.below.node(path),
        }
    }
}

/// What `changes` make of the tree below: its new root and nodes. `root` is the root below.
pub(crate) fn update(
    below: &impl Nodes,
    root: Digest,
    height: u64,
    changes: &Changes,
) -> Result<(Digest, NodeChanges), StateError> {
    // Deletions go one by one and insertions all at once, which is several times faster; so a
    // block takes two versions of the tree crate's.
    let version = height.saturating_mul(2).saturating_add(2);
    let key_hash = |key: &StateKey| KeyHash(place(key).0);
    let (mut root, mut nodes) = (root, NodeChanges::new());
    let deleted = changes.iter().filter(|(_, change)| change.is_none());
    let deleted: Vec<_> = deleted.map(|(key, _)| (key_hash(key), None)).collect();
    if !deleted.is_empty() {
        let reader = Reader(below);
        let result = Sha256Jmt::new(&reader).put_value_set(deleted, version);
        let (hash, batch) = result.map_err(tree_error)?;
        root = Digest(hash.0);
        absorb(&mut nodes, batch);
    }
    let put = changes.iter().filter_map(|(key, change)| {
        let value = change.as_ref()?;
        Some((key_hash(key), encode(value).into()))
    });
    let put: Vec<_> = put.collect();
    if !put.is_empty() {
        let over = Over {
            changes: &nodes,
            below,
        };
        let reader = Reader(&over);
        let result = Sha256Jmt::new(&reader).batch_put_value_sets(vec![put], None, version + 1);
        let (hashes, batch) = result.map_err(tree_error)?;
        root = hashes.first().map_or(root, |hash| Digest(hash.0));
        absorb(&mut nodes, batch);
    }
    Ok((root, nodes))
}

fn absorb(changes: &mut NodeChanges, batch: TreeUpdateBatch) {
    for stale in batch.stale_node_index_batch {
        changes.insert(path_of(stale.node_key.nibble_path()), None);
    }
    for (key, node) in batch.node_batch.nodes() {
        let present = !matches!(node, Node::Null);
        changes.insert(path_of(key.nibble_path()), present.then(|| node.clone()));
    }
}

fn tree_error(error: anyhow::Error) -> StateError {
    match error.downcast::<StateError>() {
        Ok(error) => error,
        Err(error) => StateError(format!("the state tree is damaged: {error:#}")),
    }
}

/// The leaf that the way to `key` ends at, if any, and the hashes beside that way, from the place
/// up to the root.
pub(crate) fn way(
    nodes: &impl Nodes,
    key: &StateKey,
) -> Result<(Option<LeafNode>, Vec<Digest>), StateError> {
    let place = place(key).0;
    let nibble = |depth: usize| place[depth / 2] >> (4 * (1 - depth % 2)) & 0xf;
    let mut siblings = Vec::new();
    let mut path: Vec<u8> = Vec::new();
    let leaf = loop {
        let node = nodes.node(&pack(path.iter().copied()))?;
        match node {
            Some(Node::Leaf(leaf)) => break Some(leaf),
            None | Some(Node::Null) if path.is_empty() => break None,
            Some(Node::Internal(node)) if path.len() < MAX_NIBBLES => {
                let mut children = [None; 16];
                for (index, child) in node.children_sorted() {
                    children[index.as_usize()] = Some((Digest(child.hash), child.is_leaf()));
                }
                match descend(&children, nibble(path.len()), &mut siblings) {
                    Some(child) => path.push(child),
                    None => break None,
                }
            }
            _ => {
                return Err(StateError(format!(
                    "the state tree is damaged: the node at path {path:?} is missing or misplaced"
                )));
            }
        }
    };
    siblings.reverse();
    Ok((leaf, siblings))
}

/// A child as its parent knows it: its hash, and whether it is a leaf.
type Child = Option<(Digest, bool)>;

/// Goes from an internal node's root through its four levels towards `nibble`. Gives the child
/// where the way goes on, which is another than `nibble` where it is the only leaf on the way.
fn descend(children: &[Child; 16], nibble: u8, siblings: &mut Vec<Digest>) -> Option<u8> {
    let mut range = 0..16;
    while range.len() > 1 {
        let middle = usize::midpoint(range.start, range.end);
        let right = usize::from(nibble) >= middle;
        let (half, other) = if right {
            (middle..range.end, range.start..middle)
        } else {
            (range.start..middle, middle..range.end)
        };
        siblings.push(subtree(&children[other]));
        let mut present = half.clone().filter(|index| children[*index].is_some());
        match (present.next(), present.next()) {
            (None, _) => return None,
            (Some(only), None) if children[only].is_some_and(|(_, leaf)| leaf) => {
                return Some(only as u8);
            }
            _ => range = half,
        }
    }
    Some(nibble)
}

/// The hash of a subtree over 1, 2, 4, 8 or 16 children of an internal node.
fn subtree(children: &[Child]) -> Digest {
    let mut present = children.iter().flatten();
    match (present.next(), present.next()) {
        (None, _) => EMPTY,
        (Some((hash, leaf)), None) if *leaf || children.len() == 1 => *hash,
        _ => {
            let (left, right) = children.split_at(children.len() / 2);
            branch(&subtree(left), &subtree(right))
        }
    }
}

/// What a proof says of a leaf that is not the key's own.
pub(crate) fn other_leaf(leaf: &LeafNode) -> Result<StateLeaf, StateError> {
    // The leaf's value hash is to be had only through its encoding: place, then value.
    let bytes = encode_node(&Node::Leaf(leaf.clone()));
    match bytes.last_chunk::<32>() {
        Some(value) => Ok(StateLeaf {
            place: Digest(leaf.key_hash().0),
            value: Digest(*value),
        }),
        None => Err(StateError("a leaf of the state tree is damaged".into())),
    }
}

pub(crate) fn encode_node(node: &Node) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    // Writing to memory does not fail.
    let _ = borsh::to_writer(&mut bytes, node);
    bytes
}

pub(crate) fn decode_node(bytes: &[u8]) -> Result<Node, StateError> {
    Node::try_from_slice(bytes).map_err(|error| {
        StateError(format!(
            "the state tree is damaged: a node does not decode: {error}"
        ))
    })
}

/// A tree in memory, such as the empty one.
impl Nodes for NodeChanges {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, StateError> {
        Ok(self.get(path).cloned().flatten())
    }
}
