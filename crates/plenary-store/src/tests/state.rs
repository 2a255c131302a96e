use super::{Chain, genesis_changes, key, open, some_changes, value};
use crate::{
    StoreError,
    testing::{Disk, Random},
    tree::{NodeChanges, update},
};
use plenary_service::state::StateView;
use plenary_types::{
    Changes, Digest, StateKey, StateProof, StateProofError, Versioned,
    limits::READABLE_HEIGHTS,
    state_proof::{EMPTY, StateLeaf, branch, place},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

type Model = BTreeMap<StateKey, Versioned>;

/// The root of a state, worked out at once from nothing.
fn root_of(state: &Model) -> (Digest, NodeChanges) {
    let changes: Changes = state
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())))
        .collect();
    update(&NodeChanges::new(), EMPTY, 0, &changes).unwrap()
}

fn check_view(view: &dyn StateView, state: &Model, random: &mut Random, keys: u64) {
    for index in 0..keys {
        let key = key(index);
        assert_eq!(view.get(&key).unwrap().as_ref(), state.get(&key));
    }
    let (from, to) = (key(random.below(keys)), key(random.below(keys)));
    let limit = random.below(keys) as usize;
    let expected: Vec<_> = if from < to {
        let entries = state.range(from.clone()..to.clone());
        let entries = entries.map(|(key, value)| (key.clone(), value.clone()));
        entries.take(limit).collect()
    } else {
        Vec::new()
    };
    assert_eq!(view.range(&from, &to, limit).unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever blocks come, whenever they are flushed, and after reopening: every height that
    /// must be readable reads, and proves, as a map would.
    #[test]
    fn every_readable_height_is_what_a_map_would_be(seed in any::<u64>()) {
        const KEYS: u64 = 40;
        let mut random = Random::new(seed);
        let mut disk = Disk::new();
        let mut store = open(&disk);
        let mut chain = Chain::new(&store);
        for height in 1..=READABLE_HEIGHTS + 20 {
            let count = random.below(6);
            chain.grow(&store, some_changes(&mut random, height, KEYS, count));
            prop_assert_eq!(root_of(&chain.states[height as usize]).0, store.tip().root);
            if random.below(4) == 0 {
                store.flush().unwrap();
            }
            if random.below(20) == 0 {
                store.flush().unwrap();
                drop(store);
                disk = disk.crash(disk.events(), seed);
                store = open(&disk);
            }
        }
        let newest = store.tip().height;
        let oldest = newest + 1 - READABLE_HEIGHTS;
        for height in oldest..=newest {
            let state = &chain.states[height as usize];
            check_view(&*store.state().view(height).unwrap(), state, &mut random, KEYS);
            let root = chain.blocks[height as usize].header.state;
            for index in 0..KEYS {
                let key = key(index);
                let proof = store.state().prove(&key, height).unwrap();
                prop_assert_eq!(proof.verify(&root, &key).unwrap(), state.get(&key));
            }
        }
        for height in [oldest - 1, newest + 1] {
            let readable = store.state().view(height);
            let refused = matches!(readable, Err(StoreError::Height { .. }));
            prop_assert!(refused);
            let provable = store.state().prove(&key(0), height);
            let refused = matches!(provable, Err(StoreError::Height { .. }));
            prop_assert!(refused);
        }
    }
}

#[test]
fn the_tree_of_a_long_history_is_the_tree_of_its_result() {
    let mut random = Random::new(11);
    let mut state = Model::new();
    let (mut root, mut tree) = (EMPTY, NodeChanges::new());
    for height in 0..300 {
        let changes = some_changes(&mut random, height, 60, 9);
        let (next, nodes) = update(&tree, root, height, &changes).unwrap();
        root = next;
        tree.extend(nodes);
        tree.retain(|_, node| node.is_some());
        for (key, change) in changes {
            match change {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        let (expected, nodes) = root_of(&state);
        assert_eq!(root, expected, "root at height {height}");
        let paths = |nodes: &NodeChanges| nodes.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(paths(&tree), paths(&nodes), "nodes at height {height}");
    }
}

#[test]
fn deleting_everything_leaves_the_empty_tree() {
    let (root, tree) = update(&NodeChanges::new(), EMPTY, 0, &genesis_changes()).unwrap();
    assert_ne!(root, EMPTY);
    let gone: Changes = genesis_changes()
        .into_keys()
        .map(|key| (key, None))
        .collect();
    let (root, nodes) = update(&tree, root, 1, &gone).unwrap();
    assert_eq!(root, EMPTY);
    assert!(nodes.values().all(Option::is_none));
}

#[test]
fn a_proposal_that_loses_leaves_no_trace() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let state = store.state();
    let change = |height, text| Changes::from([(key(1), Some(value(height, 0, text)))]);
    let events = disk.events();
    let lost = Arc::new(state.prepare(&[], 1, change(1, "lost")).unwrap());
    let lost_child = state
        .prepare(std::slice::from_ref(&lost), 2, change(2, "lost child"))
        .unwrap();
    let won = Arc::new(state.prepare(&[], 1, change(1, "won")).unwrap());
    let won_child = state
        .prepare(std::slice::from_ref(&won), 2, change(2, "won child"))
        .unwrap();
    assert_ne!(lost.root, won.root);
    assert_eq!(disk.events(), events, "nothing is written while preparing");
    assert_eq!(state.tip().height, 0);

    chain.grow_with(&store, won.clone());
    // A parent that was applied meanwhile does no harm; one that lost does not fit any more.
    let again = state.prepare(&[won], 2, change(2, "won child")).unwrap();
    assert_eq!(again.root, won_child.root);
    let stale = state.prepare(&[lost], 2, change(2, "x"));
    assert!(matches!(stale, Err(StoreError::NotNext { .. })));
    let block = super::block(chain.tip(), lost_child.root, Vec::new());
    let stale = store.apply(Arc::new(block), None, Arc::new(lost_child));
    assert!(matches!(stale, Err(StoreError::NotNext { .. })));
    chain.grow_with(&store, Arc::new(won_child));
    store.flush().unwrap();
    assert_eq!(root_of(&chain.states[2]).0, store.tip().root);
}

#[test]
fn a_view_does_not_change_while_blocks_are_applied_and_flushed() {
    let store = open(&Disk::new());
    let mut chain = Chain::new(&store);
    let mut random = Random::new(3);
    for height in 1..=5 {
        chain.grow(&store, some_changes(&mut random, height, 20, 5));
    }
    let views: Vec<_> = (0..=5)
        .map(|height| store.state().view(height).unwrap())
        .collect();
    for height in 6..=2 * READABLE_HEIGHTS {
        chain.grow(&store, some_changes(&mut random, height, 20, 5));
        if height.is_multiple_of(7) {
            store.flush().unwrap();
        }
    }
    for (view, state) in views.iter().zip(&chain.states) {
        check_view(&**view, state, &mut random, 20);
    }
}

#[test]
fn churn_on_the_same_keys_does_not_grow_the_database() {
    let disk = Disk::new();
    let store = open(&disk);
    let mut chain = Chain::new(&store);
    let mut random = Random::new(5);
    let mut churn = |to: u64| {
        while chain.tip().height < to {
            let height = chain.tip().height + 1;
            let changes: Changes = (0..40)
                .map(|_| key(random.below(200)))
                .map(|key| (key, Some(value(height, 0, "churn"))))
                .collect();
            let prepared = store.state().prepare(&[], height, changes).unwrap();
            let block = Arc::new(super::block(chain.tip(), prepared.root, Vec::new()));
            store
                .apply(block.clone(), None, Arc::new(prepared))
                .unwrap();
            chain.blocks.push(block);
            if height.is_multiple_of(4) {
                store.flush().unwrap();
            }
        }
        disk.sizes()[1]
    };
    let settled = churn(2 * READABLE_HEIGHTS);
    let later = churn(8 * READABLE_HEIGHTS);
    assert!(later <= settled, "{later} bytes after {settled}");
}

fn proofs() -> (Digest, StateKey, StateProof, StateKey, StateProof) {
    let store = open(&Disk::new());
    let mut chain = Chain::new(&store);
    let changes = (0..50).map(|index| (key(index), Some(value(1, 0, "x"))));
    chain.grow(&store, changes.collect());
    let prove = |key: &StateKey| store.state().prove(key, 1).unwrap();
    // An absent key whose place another leaf takes.
    let absent = (100..)
        .map(key)
        .find(|key| prove(key).other.is_some())
        .unwrap();
    let (included, excluded) = (prove(&key(7)), prove(&absent));
    (store.tip().root, key(7), included, absent, excluded)
}

#[test]
fn a_state_proof_with_any_part_altered_fails() {
    let (root, present, included, absent, excluded) = proofs();
    assert!(included.verify(&root, &present).unwrap().is_some());
    assert!(excluded.verify(&root, &absent).unwrap().is_none());
    let mut forged = Vec::new();
    for (proof, key) in [(&included, &present), (&excluded, &absent)] {
        let mut forge = |change: &dyn Fn(&mut StateProof)| {
            let mut proof = proof.clone();
            change(&mut proof);
            forged.push((proof, key.clone(), root));
        };
        forge(&|proof| proof.version = 2);
        forge(&|proof| proof.siblings.truncate(proof.siblings.len() - 1));
        forge(&|proof| proof.siblings.push(EMPTY));
        forge(&|proof| proof.siblings.resize(300, EMPTY));
        for index in 0..proof.siblings.len() {
            forge(&|proof| proof.siblings[index].0[5] ^= 1);
        }
        let mut other = root;
        other.0[0] ^= 1;
        forged.push((proof.clone(), key.clone(), other));
    }
    let mut forge = |proof: &StateProof, key: &StateKey, change: &dyn Fn(&mut StateProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        forged.push((proof, key.clone(), root));
    };
    // That what is there is not, or is something else.
    forge(&included, &present, &|proof| proof.value = None);
    forge(&included, &present, &|proof| {
        proof.value = Some(value(1, 0, "y"))
    });
    forge(&included, &present, &|proof| {
        proof.value = Some(value(1, 1, "x"))
    });
    forge(&included, &absent, &|_| ());
    let leaf = StateLeaf::new(&present, &value(1, 0, "x"));
    forge(&included, &present, &|proof| {
        proof.value = None;
        proof.other = Some(leaf);
    });
    // That what is not there is, or that a leaf from elsewhere shows it.
    forge(&excluded, &absent, &|proof| {
        proof.value = Some(value(1, 0, "x"))
    });
    forge(&excluded, &absent, &|proof| proof.other = None);
    forge(&excluded, &absent, &|proof| proof.other = Some(leaf));
    forge(&excluded, &present, &|_| ());
    forge(&included, &absent, &|proof| {
        proof.value = None;
        proof.other = Some(leaf);
    });
    for (proof, key, root) in forged {
        assert!(proof.verify(&root, &key).is_err(), "{key}: {proof:?}");
    }
}

#[test]
fn a_leaf_that_stands_where_it_does_not_belong_shows_nothing() {
    let (stray, absent) = (0..)
        .map(|index| {
            (
                StateLeaf::new(&key(index), &value(1, 0, "x")),
                key(index + 1),
            )
        })
        .find(|(stray, absent)| (stray.place.0[0] ^ place(absent).0[0]) & 0x80 != 0)
        .unwrap();
    let (left, right) = if place(&absent).0[0] & 0x80 == 0 {
        (stray.hash(), EMPTY)
    } else {
        (EMPTY, stray.hash())
    };
    let proof = StateProof::new(None, Some(stray), vec![EMPTY]);
    let shown = proof.verify(&branch(&left, &right), &absent);
    assert_eq!(shown, Err(StateProofError::Other(absent.clone())));
}

#[test]
fn a_state_proof_survives_json_and_garbage_does_not_pass_for_one() {
    let (root, present, included, absent, excluded) = proofs();
    for (proof, key) in [(included, present), (excluded, absent)] {
        let json = serde_json::to_string(&proof).unwrap();
        let read: StateProof = serde_json::from_str(&json).unwrap();
        assert_eq!(read, proof);
        read.verify(&root, &key).unwrap();
        for bad in [
            json.replacen("\"version\":1", "\"version\":\"1\"", 1),
            json.replacen("\"siblings\"", "\"brothers\"", 1),
            json.replacen('{', "{\"more\":1,", 1),
        ] {
            assert!(serde_json::from_str::<StateProof>(&bad).is_err(), "{bad}");
        }
        let long = StateProof {
            siblings: vec![EMPTY; 257],
            ..proof
        };
        assert!(matches!(
            long.verify(&root, &key),
            Err(StateProofError::Siblings(257))
        ));
        let long = serde_json::to_string(&long).unwrap();
        assert!(serde_json::from_str::<StateProof>(&long).is_err());
    }
}
