//! A session node that lies to its peers: refused, and where the lie is signed, kept as evidence.

use crate::{
    support::Client,
    world::{World, code},
};
use bytes::Bytes;
use plenary_service::Session;
use plenary_session::{
    evidence::Contradiction,
    message::{Endorse, Given, Message, Owner, Proposal},
    node::Bounds,
};
use plenary_types::{
    Author, ClientSignature, Digest, GenesisHash, Operation, PrivateKey, Promise, Read, Request,
    SessionId, Signature, Timestamp, Version, encode,
    session::{EMPTY_CHAIN, EMPTY_HISTORY, Moment, chain_link, history_link},
};
use plenary_validator::testing::bank::deposit_request;

/// A proposal's signature, as if there were no steps before.
fn propose(
    key: &PrivateKey,
    genesis: &GenesisHash,
    session: SessionId,
    sequence: u32,
    moment: Moment,
    chain: Digest,
) -> Promise {
    Promise::propose(
        key,
        genesis,
        &EMPTY_HISTORY,
        session,
        sequence,
        moment,
        chain,
    )
}

/// Two honest nodes, and a third that is the test.
struct Lies {
    world: World,
    key: PrivateKey,
    client: Client,
}

impl Lies {
    fn new() -> Self {
        let mut world = World::new(3);
        world.crash(2);
        Self {
            key: world.places[2].key,
            client: Client::new(1, "a"),
            world,
        }
    }

    /// The first operation of a session, as an honest node runs it.
    fn honest(&mut self, request: Request) -> Operation {
        let now = self.world.now();
        let asked = self.client.ask(now, request);
        let id = SessionId::from(asked.author.operation());
        let node = self.world.node(0);
        let (_, view) = node.store.state().latest();
        let session = Session::open(id);
        let ran = session.try_next(&node.executor, view, asked.request, asked.author, now);
        match ran.unwrap().0 {
            plenary_service::Simulation::Answered(operation) => operation,
            plenary_service::Simulation::Refused(problem) => panic!("{problem}"),
        }
    }

    /// A proposal of an operation as the first of its session, signed by the liar.
    fn proposal(&self, operation: Operation) -> Proposal {
        let genesis = self.world.layer1.genesis.hash();
        let chain = chain_link(&EMPTY_CHAIN, &operation);
        let (id, time) = (operation.id().into(), operation.time);
        Proposal {
            owner: Owner::Client(self.client.key.public_key()),
            promise: propose(
                &self.key,
                &genesis,
                id,
                0,
                Moment { time, height: 0 },
                chain,
            ),
            history: EMPTY_HISTORY,
            operation,
            firm: false,
        }
    }

    fn tell(&self, message: &Message) {
        let from = self.key.public_key();
        self.world.node(0).receive(from, encode(message));
    }

    fn propose(&self, proposal: Proposal) {
        self.tell(&Message::Propose(Box::new(proposal)));
    }

    /// Node 0 neither has the session nor endorsed it.
    fn assert_refused(&self) {
        assert!(self.world.node(0).sessions.is_empty());
        let sent = &self.world.wire.lock().messages;
        let endorsed = sent
            .iter()
            .any(|envelope| matches!(envelope.message(), Message::Endorse(_)));
        assert!(!endorsed);
    }

    fn evidence(&self) -> Vec<Contradiction> {
        self.world.node(0).evidence.all()
    }
}

#[test]
fn an_honest_proposal_is_endorsed_so_that_these_tests_test_something() {
    let mut lies = Lies::new();
    let operation = lies.honest(deposit_request("ann", 5));
    lies.propose(lies.proposal(operation));
    let sent = lies.world.intercept();
    assert!(matches!(sent[0].message(), Message::Endorse(_)));
}

#[test]
fn an_altered_response_is_refused_and_proven() {
    let mut lies = Lies::new();
    let mut operation = lies.honest(deposit_request("ann", 5));
    operation.response.body = Bytes::from_static(b"5000");
    let proposal = lies.proposal(operation.clone());
    lies.propose(proposal.clone());
    lies.propose(proposal.clone());
    lies.assert_refused();
    let evidence = lies.evidence();
    let [contradiction] = &evidence[..] else {
        panic!("one lie is kept once: {evidence:?}");
    };
    let genesis = &lies.world.layer1.genesis;
    assert!(contradiction.verify(genesis));
    assert_eq!(contradiction.promise.node, lies.key.public_key());
    assert_eq!(contradiction.operations, [operation]);
    assert!(
        contradiction.difference.contains("5000"),
        "{}",
        contradiction.difference
    );
    let told = lies.world.intercept();
    assert!(told.iter().any(|envelope| envelope.to == 2
        && envelope.message() == Message::Refuse(Box::new(contradiction.clone()))));
}

/// Who checks it has the ledger alone: what each step ran on must be signed.
#[test]
fn the_proof_of_a_later_lie_has_when_and_where_each_step_ran() {
    let mut lies = Lies::new();
    let (mut ann, mut bob) = (Client::new(2, "ann"), Client::new(3, "bob"));
    let first = lies.world.step(1, &mut ann, deposit_request("ann", 5));
    lies.world.settle();
    lies.world.step(1, &mut bob, deposit_request("bob", 5));
    lies.world.commit(1, &bob);
    lies.world.ratify();
    lies.client = ann;
    let session = lies.client.session();
    let mut operation = lies.honest(deposit_request("bob", 5));
    operation.response.body = Bytes::from_static(b"5000");
    let chain = chain_link(&lies.client.chain(), &operation);
    let mut proposal = lies.proposal(operation);
    let (genesis, time) = (lies.world.layer1.genesis.clone(), proposal.promise.time);
    let moment = Moment { time, height: 1 };
    let mut lie = |history: Digest| {
        proposal.history = history;
        let hash = genesis.hash();
        proposal.promise = Promise::propose(&lies.key, &hash, &history, session, 1, moment, chain);
        lies.propose(proposal.clone());
        lies.evidence()
    };
    // Another history may explain another answer.
    assert!(lie(EMPTY_HISTORY).is_empty());
    let evidence = lie(history_link(&EMPTY_HISTORY, first.promise.moment()));
    let [contradiction] = &evidence[..] else {
        panic!("the lie is not kept: {evidence:?}");
    };
    assert_eq!(contradiction.heights, [0]);
    assert!(contradiction.verify(&genesis));
    let (key, mut moved) = (lies.world.places[0].key, contradiction.clone());
    moved.heights = vec![1];
    let mut later = contradiction.clone();
    later.operations[0].time = Timestamp(later.operations[0].time.0 + 1);
    for Contradiction {
        promise,
        heights,
        operations,
        difference,
        ..
    } in [moved, later]
    {
        let hash = genesis.hash();
        let other = Contradiction::sign(&key, &hash, promise, heights, operations, &difference);
        assert!(
            !other.verify(&genesis),
            "nobody but its node says where it ran"
        );
    }
}

#[test]
fn the_client_of_an_altered_response_can_go_to_an_honest_node() {
    let mut lies = Lies::new();
    let mut client = lies.client.clone();
    let mut operation = lies.honest(deposit_request("ann", 5));
    operation.response.body = Bytes::from_static(b"5000");
    lies.propose(lies.proposal(operation));
    let step = lies.world.step(0, &mut client, deposit_request("ann", 5));
    assert_eq!(crate::world::number(&step.operation.response), 5);
}

#[test]
fn altered_reads_are_refused_without_accusing_whom_no_signature_binds() {
    let mut lies = Lies::new();
    let mut operation = lies.honest(deposit_request("ann", 5));
    let Some(Read::Key { version, .. }) = operation.reads.first_mut() else {
        panic!("a deposit reads the balance");
    };
    *version = Some(Version {
        height: 7,
        index: 0,
    });
    lies.propose(lies.proposal(operation));
    lies.assert_refused();
    // A promise signs requests and responses; of the reads anybody could have made up others.
    assert!(lies.evidence().is_empty());
}

#[test]
fn a_forged_request_is_refused() {
    let mut lies = Lies::new();
    let operation = lies.honest(deposit_request("ann", 5));
    let mut forged = operation.clone();
    forged.request = deposit_request("eve", 5);
    lies.propose(lies.proposal(forged));
    let mut unsigned = operation.clone();
    unsigned.author = Author::Anonymous {
        nonce: Bytes::from_static(b"n"),
    };
    lies.propose(lies.proposal(unsigned));
    let mut resigned = operation;
    let now = lies.world.now().0 / 1000;
    let eve = PrivateKey::from_seed([66; 32]);
    let request = resigned.request.clone();
    let signature = ClientSignature::sign_in_session(&eve, &request, "http://node", "n", now);
    resigned.author = Author::Signed(signature.unwrap());
    lies.propose(lies.proposal(resigned));
    lies.assert_refused();
    assert!(lies.evidence().is_empty());
}

#[test]
fn a_promise_that_does_not_fit_its_operation_is_refused() {
    let mut lies = Lies::new();
    let operation = lies.honest(deposit_request("ann", 5));
    let right = lies.proposal(operation);
    let genesis = lies.world.layer1.genesis.hash();
    let promise = right.promise;
    let sign = |session, sequence, time, chain| {
        let moment = Moment { time, height: 0 };
        propose(&lies.key, &genesis, session, sequence, moment, chain)
    };
    let (session, time, chain) = (promise.session, promise.time, promise.chain);
    let unsigned = Promise {
        signature: Signature([7; 64]),
        ..promise
    };
    let wrong = [
        unsigned,
        sign(session, 0, time, EMPTY_CHAIN),
        sign(session, 1, time, chain),
        sign(SessionId([7; 32]), 0, time, chain),
        sign(session, 0, Timestamp(time.0 + 1), chain),
    ];
    for promise in wrong {
        lies.propose(Proposal {
            promise,
            ..right.clone()
        });
        lies.assert_refused();
    }
    assert!(lies.evidence().is_empty());
}

#[test]
fn a_promise_of_another_network_is_refused() {
    let mut lies = Lies::new();
    let operation = lies.honest(deposit_request("ann", 5));
    let mut proposal = lies.proposal(operation);
    let (other, _) = crate::world::network(2);
    let Promise { session, chain, .. } = proposal.promise;
    let (genesis, moment) = (other.genesis.hash(), proposal.promise.moment());
    proposal.promise = propose(&lies.key, &genesis, session, 0, moment, chain);
    lies.propose(proposal);
    lies.assert_refused();
}

#[test]
fn another_clients_session_is_not_extended() {
    let mut lies = Lies::new();
    let mut ann = Client::new(2, "ann");
    let first = lies.world.step(0, &mut ann, deposit_request("ann", 5));
    lies.world.settle();
    let operation = lies.honest(deposit_request("ann", 7));
    let genesis = lies.world.layer1.genesis.hash();
    let chain = chain_link(&ann.chain(), &operation);
    let mut proposal = lies.proposal(operation);
    let (history, moment) = (first.promise.moment(), proposal.promise.moment());
    proposal.history = history_link(&EMPTY_HISTORY, history);
    let (key, history, session) = (&lies.key, &proposal.history, ann.session());
    proposal.promise = Promise::propose(key, &genesis, history, session, 1, moment, chain);
    for owner in [lies.client.key, ann.key].map(|key| Owner::Client(key.public_key())) {
        lies.propose(Proposal {
            owner,
            ..proposal.clone()
        });
        assert_eq!(lies.world.chain(0, &ann), first.promise.chain);
    }
    lies.world.step(0, &mut ann, deposit_request("ann", 5));
}

#[test]
fn two_stories_of_one_session_are_not_mixed() {
    let mut lies = Lies::new();
    let mut again = lies.client.clone();
    let one = lies.honest(deposit_request("ann", 5));
    // The liar has the client sign two openings; each names a session of its own.
    let mut other = lies.honest(deposit_request("ann", 7));
    lies.propose(lies.proposal(one.clone()));
    assert_eq!(lies.world.node(0).sessions.len(), 1);
    // The second as another story of the first.
    let mut story = lies.proposal(other.clone());
    story.promise.session = one.id().into();
    lies.propose(story);
    assert_eq!(lies.world.node(0).sessions.len(), 1);
    // The same operation with another answer.
    other.author = one.author.clone();
    other.request = one.request.clone();
    lies.propose(lies.proposal(other));
    let step = lies.world.step(0, &mut again, deposit_request("ann", 5));
    assert_eq!(step.operation.response, one.response);
    assert_eq!(step.promise.chain, chain_link(&EMPTY_CHAIN, &one));
}

#[test]
fn endorsements_that_do_not_verify_count_for_nothing() {
    let mut lies = Lies::new();
    let mut client = lies.client.clone();
    let step = lies.world.step(0, &mut client, deposit_request("ann", 5));
    lies.world.intercept();
    let endorse = |sequence, chain| {
        lies.tell(&Message::Endorse(Endorse {
            session: client.session(),
            sequence,
            chain,
            signature: Signature([7; 64]),
        }));
    };
    endorse(1, step.promise.chain);
    endorse(u32::MAX, step.promise.chain);
    endorse(0, EMPTY_CHAIN);
    assert!(step.agreement.endorsements().is_empty());
    endorse(0, step.promise.chain);
    lies.world.commit(0, &client);
    assert!(step.agreement.endorsements().is_empty());
    lies.world.ratify();
    assert_eq!(lies.world.status(0, &client), "committed");
}

#[test]
fn a_contradiction_that_is_not_signed_by_who_brings_it_is_not_kept() {
    let lies = Lies::new();
    let mut client = lies.client.clone();
    let step = lies.world.step(0, &mut client, deposit_request("ann", 5));
    let genesis = lies.world.layer1.genesis.hash();
    let operations = vec![Operation::clone(&step.operation)];
    let stranger = PrivateKey::from_seed([66; 32]);
    let sign = |key: &PrivateKey, promise, operations| {
        Contradiction::sign(key, &genesis, promise, Vec::new(), operations, &"no")
    };
    let mut altered = operations.clone();
    altered[0].response.body = Bytes::from_static(b"6");
    for contradiction in [
        sign(&stranger, step.promise, operations.clone()),
        sign(&lies.key, step.promise, altered),
        sign(
            &lies.key,
            step.promise,
            [&operations[..], &operations[..]].concat(),
        ),
    ] {
        assert!(!contradiction.verify(&lies.world.layer1.genesis));
        lies.tell(&Message::Refuse(Box::new(contradiction)));
    }
    assert!(lies.evidence().is_empty());
}

#[test]
fn a_flood_for_heights_that_never_come_does_not_keep_honest_steps_from_waiting() {
    let mut lies = Lies::new();
    for number in 0..5_000u64 {
        let operation = lies.honest(deposit_request("ann", 5));
        let mut proposal = lies.proposal(operation);
        let Promise {
            session,
            time,
            chain,
            ..
        } = proposal.promise;
        let (genesis, height) = (lies.world.layer1.genesis.hash(), u64::MAX - number);
        let moment = Moment { time, height };
        proposal.promise = propose(&lies.key, &genesis, session, 0, moment, chain);
        lies.propose(proposal);
    }
    let (mut ann, mut bob) = (Client::new(2, "ann"), Client::new(3, "bob"));
    let world = &mut lies.world;
    world.step(1, &mut ann, deposit_request("shared", 5));
    world.settle();
    world.commit(1, &ann);
    world.submit();
    world.layer1.ratify(world.now());
    world.feed(1);
    let step = world.step(1, &mut bob, deposit_request("shared", 5));
    world.settle();
    world.feed(0);
    world.settle();
    assert!(step.agreement.is_replicated());
}

#[test]
fn a_flood_of_sessions_leaves_room_for_the_clients_of_other_nodes() {
    let mut lies = Lies::new();
    let bounds = Bounds {
        sessions: 30,
        ..Bounds::default()
    };
    lies.world.bounds = bounds;
    lies.world.restart(0);
    for restarted in [false, true] {
        if restarted {
            lies.world.restart(0);
        }
        for _ in 0..40 {
            let operation = lies.honest(deposit_request("ann", 5));
            lies.propose(lies.proposal(operation));
        }
        assert_eq!(lies.world.node(0).sessions.len(), 10, "a third");
    }
    lies.world.intercept();
    // The share is of each node, whoever passes its sessions on.
    for seed in 0..20 {
        let mut client = Client::new(100 + seed, "a");
        lies.world.step(0, &mut client, deposit_request("ann", 5));
    }
    let refused = lies
        .world
        .try_step(0, &mut Client::new(99, "a"), deposit_request("ann", 5));
    assert_eq!(code(refused), "too-many-sessions");
    // What is over makes room again.
    lies.world.advance(16 * 60_000);
    lies.world.advance(2 * 60_000);
    assert!(lies.world.node(0).sessions.is_empty());
    let operation = lies.honest(deposit_request("ann", 5));
    lies.propose(lies.proposal(operation));
    assert_eq!(lies.world.node(0).sessions.len(), 1);
}

#[test]
fn what_a_liar_says_of_unknown_sessions_costs_nothing() {
    let lies = Lies::new();
    let session = SessionId([9; 32]);
    lies.tell(&Message::Behind { session, from: 0 });
    lies.tell(&Message::Over {
        session,
        given: Given::Expired,
    });
    assert!(lies.world.node(0).sessions.is_empty());
    assert!(lies.world.wire.lock().messages.is_empty());
}
