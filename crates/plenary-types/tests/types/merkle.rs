//! The trees are RFC 9162's, compared with a library's.

use ct_merkle::{HashableLeaf, mem_backed_tree::MemoryBackedTree};
use plenary_types::{Digest, merkle};
use sha2::{Sha256, digest::Update};

struct Leaf(Vec<u8>);

impl HashableLeaf for Leaf {
    fn hash<U: Update>(&self, hasher: &mut U) {
        hasher.update(&self.0);
    }
}

fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| vec![number as u8; number % 5])
        .collect()
}

#[test]
fn roots_and_paths_are_those_of_the_library() {
    let mut tree = MemoryBackedTree::<Sha256, Leaf>::new();
    for count in 0..=70 {
        let leaves = leaves(count);
        let root = merkle::root(&leaves);
        assert_eq!(root.as_bytes()[..], tree.root().as_bytes()[..], "{count}");
        for index in 0..count {
            let path = merkle::prove(&leaves, index).unwrap();
            let proof = tree.prove_inclusion(index);
            assert_eq!(
                path.iter().map(|hash| hash.0).collect::<Vec<_>>().concat(),
                proof.as_bytes()
            );
            assert!(merkle::verify(
                &root,
                count as u64,
                &leaves[index],
                index as u64,
                &path
            ));
        }
        assert_eq!(merkle::prove(&leaves, count), None);
        tree.push(Leaf(vec![count as u8; count % 5]));
    }
}

#[test]
fn a_path_proves_one_leaf_at_one_place_under_one_root_only() {
    for count in 1..=33_usize {
        let leaves: Vec<_> = (0..count).map(|number| vec![number as u8]).collect();
        let root = merkle::root(&leaves);
        for index in 0..count {
            let path = merkle::prove(&leaves, index).unwrap();
            let holds = |leaf: &[u8], index: u64, count: u64, path: &[Digest]| {
                merkle::verify(&root, count, leaf, index, path)
            };
            let (at, of, leaf) = (index as u64, count as u64, &leaves[index]);
            for other in (0..of + 2).filter(|other| *other != at) {
                assert!(!holds(leaf, other, of, &path), "{at} as {other} of {of}");
            }
            assert!(!holds(&[99], at, of, &path));
            assert!(!holds(leaf, at, at, &path));
            for position in 0..path.len() {
                let mut altered = path.clone();
                altered[position].0[0] ^= 1;
                assert!(!holds(leaf, at, of, &altered));
            }
            assert!(!holds(leaf, at, of, &[&path[..], &[root]].concat()));
            if !path.is_empty() {
                assert!(!holds(leaf, at, of, &path[1..]));
                assert!(!holds(leaf, at, of, &path[..path.len() - 1]));
            }
        }
    }
}

#[test]
fn the_largest_counts_are_no_trouble() {
    let root = merkle::root([b"a"]);
    for count in [0, 2, u64::from(u32::MAX), u64::MAX] {
        assert!(!merkle::verify(&root, count, b"a", 0, &[]));
        assert!(!merkle::verify(
            &root,
            count,
            b"a",
            count.saturating_sub(1),
            &[root; 64]
        ));
    }
    assert!(merkle::verify(&root, 1, b"a", 0, &[]));
}
