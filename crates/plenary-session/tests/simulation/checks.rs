//! What must hold at the end of every run.

use crate::{
    clients::{Actor, Told, transactions_of},
    liar::name,
    net::Net,
};
use plenary_session::session::Status;
use plenary_store::Store;
use plenary_types::{Outcome, SessionId};
use plenary_validator::lookup::receipt_at;
use std::collections::{BTreeMap, BTreeSet};

/// How long everything may take to come to rest, in milliseconds.
const REST_MS: u64 = 60_000;

/// Waits until all honest nodes have all blocks, and nothing that can be final is on its way.
pub async fn settle(net: &mut Net) {
    let mut waited = 0;
    while !is_settled(net) {
        assert!(
            waited < REST_MS,
            "the network does not come to rest: heights {:?}, pending {:?}, {:?}",
            stores(net)
                .map(|store| store.tip().height)
                .collect::<Vec<_>>(),
            net.honest()
                .map(|(_, node)| node.pending())
                .collect::<Vec<_>>(),
            net.world
                .nodes()
                .map(|node| node.pending())
                .collect::<Vec<_>>(),
        );
        net.sleep(100).await;
        waited += 100;
    }
}

fn is_settled(net: &Net) -> bool {
    let heights: BTreeSet<u64> = stores(net).map(|store| store.tip().height).collect();
    let pending = net.honest().any(|(_, node)| node.pending() > 0);
    let waiting = net.world.nodes().any(|node| node.pending() > 0);
    heights.len() == 1 && !pending && !waiting
}

/// The stores of all honest nodes of both layers.
fn stores(net: &Net) -> impl Iterator<Item = &Store> {
    let validators = net.world.nodes().map(|node| &*node.store);
    validators.chain(net.honest().map(|(_, node)| &*node.store))
}

/// Checks all of it.
pub fn check(net: &Net, actors: &[Actor]) {
    states_are_equal(net);
    sessions_are_committed_once_and_whole(net, actors);
    receipts_verify(net);
    nothing_acknowledged_is_lost(net, actors);
    lies_are_refused_or_proven(net);
    summarize(net, actors);
}

/// What the run was good for: a run in which nothing happens shows nothing.
fn summarize(net: &Net, actors: &[Actor]) {
    let store = stores(net).next().unwrap();
    let height = store.tip().height;
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for height in 1..=height {
        for outcome in &store.block(height).unwrap().unwrap().outcomes {
            let name = match outcome {
                Outcome::Committed => "committed",
                Outcome::Conflict { .. } => "conflict",
                Outcome::Rejected { .. } => "rejected",
            };
            *outcomes.entry(name).or_default() += 1;
        }
    }
    let told: usize = actors.iter().map(|actor| actor.told.len()).sum();
    println!("height {height}, sessions {outcomes:?}, acknowledged steps {told}");
}

/// All honest nodes have the same chain, and so the same state, whose root is in it.
fn states_are_equal(net: &Net) {
    net.world.assert_agreement_and_validity();
    let tips: BTreeSet<_> = stores(net).map(|store| store.tip().hash.0).collect();
    assert_eq!(tips.len(), 1, "honest nodes differ");
    for (index, node) in net.honest() {
        assert_eq!(
            *node.failure().borrow(),
            None,
            "session node {index} stopped"
        );
    }
}

/// A session is in the ledger once at most, with a chain that its client signed; and what a client
/// was told is committed is there.
fn sessions_are_committed_once_and_whole(net: &Net, actors: &[Actor]) {
    let mut committed: BTreeMap<SessionId, usize> = BTreeMap::new();
    let store = stores(net).next().unwrap();
    for height in 1..=store.tip().height {
        let block = store.block(height).unwrap().unwrap();
        for (transaction, outcome) in block.transactions.iter().zip(&block.outcomes) {
            let session = transaction.session().unwrap();
            if *outcome != Outcome::Committed {
                continue;
            }
            *committed.entry(session).or_default() += 1;
            let names = |operations: &[_]| operations.iter().map(name).collect::<Vec<_>>();
            let chain = names(&transaction.operations);
            let mut signed = actors.iter().filter_map(|actor| actor.signed.get(&session));
            let whole = signed.any(|chains| chains.iter().any(|one| names(one) == chain));
            assert!(
                whole,
                "{session} is committed with a chain that nobody signed"
            );
        }
    }
    assert!(committed.values().all(|count| *count == 1), "twice");
    for actor in actors {
        for session in &actor.committed {
            let found = transactions_of(net, *session);
            assert_eq!(
                found.len(),
                1,
                "the client of {session} was told that it is committed"
            );
        }
    }
}

/// Every node can prove what is in the ledger.
fn receipts_verify(net: &Net) {
    for store in stores(net) {
        for height in 1..=store.tip().height {
            let block = store.block(height).unwrap().unwrap();
            for transaction in &block.transactions {
                let location = store.transaction(&transaction.hash()).unwrap().unwrap();
                let Some(receipt) = receipt_at(store, location).unwrap() else {
                    let certified = store.certified_from(height).unwrap();
                    assert_eq!(certified, None, "a certified block has receipts");
                    continue;
                };
                let verified = receipt.verify(&net.world.genesis).unwrap();
                assert_eq!(verified.transaction, transaction.hash());
            }
        }
    }
}

/// What an honest node acknowledged, it still has, or the ledger has it; unless the session was run
/// again or is decided otherwise.
fn nothing_acknowledged_is_lost(net: &Net, actors: &[Actor]) {
    for Told {
        node,
        session,
        operation,
    } in actors.iter().flat_map(|actor| actor.told.values())
    {
        let place = net.honest().find(|(index, _)| index == node).unwrap().1;
        if place.store.operation(&operation.id()).unwrap().is_some() {
            continue;
        }
        let Some(entry) = place.sessions.get(session) else {
            let (committed, first) = (transactions_of(net, *session), session);
            assert!(
                !committed.is_empty(),
                "session {first} is gone at node {node}"
            );
            continue;
        };
        let live = entry.live.lock();
        let kept = live
            .steps
            .iter()
            .any(|step| name(&step.operation) == name(operation));
        let decided = matches!(live.status, Status::Decided(..));
        assert!(
            kept || decided,
            "a step of {session} is lost at node {node}"
        );
    }
}

/// No honest node has a lie in a session, none is committed; what is kept as evidence holds, and
/// accuses nobody but the liar.
fn lies_are_refused_or_proven(net: &Net) {
    let genesis = &net.world.genesis;
    let mut accused = 0;
    for (_, node) in net.honest() {
        for contradiction in node.evidence.all() {
            assert!(
                contradiction.verify(genesis),
                "evidence that proves nothing"
            );
            let liar = net.liar.as_ref().map(|liar| liar.public_key());
            let blamed = contradiction.promise.node;
            let made_up = Some(contradiction.finder) == liar;
            assert!(made_up || Some(blamed) == liar, "an honest node is accused");
            accused += usize::from(!made_up);
        }
    }
    let Some(liar) = &net.liar else {
        assert_eq!(accused, 0);
        return;
    };
    for (index, node) in net.honest() {
        for entry in node.sessions.all() {
            for step in &entry.live.lock().steps {
                let believed = liar.told.contains(&name(&step.operation));
                assert!(!believed, "session node {index} believes a lie");
            }
        }
    }
    let store = stores(net).next().unwrap();
    for height in 1..=store.tip().height {
        let block = store.block(height).unwrap().unwrap();
        for (transaction, outcome) in block.transactions.iter().zip(&block.outcomes) {
            let lie = |operation| liar.told.contains(&name(operation));
            if !transaction.operations.iter().any(lie) {
                continue;
            }
            assert_ne!(*outcome, Outcome::Committed, "a lie is committed");
            if let Outcome::Rejected { signer, .. } = outcome {
                assert_eq!(*signer, liar.public_key(), "the liar signed it");
            }
        }
    }
    println!("{} lies, {} of them proven", liar.told.len(), liar.proven);
}
