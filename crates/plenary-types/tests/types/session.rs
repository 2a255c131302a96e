//! What client and session nodes sign of a session.

use crate::samples::session;
use plenary_types::{
    Author, BrokenPromise, ClientSignature, Commitment, Endorsement, Genesis, GenesisHash,
    Operation, Outcome, Promise, PromiseProofError, Receipt, SessionId, Timestamp, Transaction,
    TransactionError,
    genesis::{ClientSignatures, GenesisFile, Member},
    session::{EMPTY_HISTORY, chain_digest, chain_link, history_link},
    testing::{NOW, Network, client, operation, request, response},
};

/// A network with two session nodes, whose keys are those of clients 200 and 201.
fn with_session_nodes(network: &Network) -> Genesis {
    let mut file = GenesisFile::from(network.genesis.clone());
    file.clients = ClientSignatures::Optional;
    file.session_nodes = [200, 201]
        .map(|number| Member {
            name: format!("session-{number}"),
            key: client(number).public_key(),
        })
        .into();
    file.try_into().unwrap()
}

fn signed(genesis: &Genesis, commitment: Option<Commitment>, by: &[u8]) -> Transaction {
    let operations = session(&Network::new(4)).operations.clone();
    let chain = chain_digest(&operations);
    let mut endorsements: Vec<_> = by
        .iter()
        .map(|number| Endorsement::sign(&client(*number), &genesis.hash(), &chain))
        .collect();
    endorsements.sort_by_key(|one| one.key);
    let service = genesis.service.clone();
    let (key, hash) = (client(200), genesis.hash());
    Transaction::sign(&key, &hash, service, operations, commitment, endorsements).unwrap()
}

fn whole(genesis: &Genesis) -> Option<Commitment> {
    let chain = chain_digest(&session(&Network::new(4)).operations);
    Some(Commitment::sign(&client(1), &genesis.hash(), &chain))
}

/// Whether the client has signed this chain of operations, as validation has it.
fn covers(commitment: &Commitment, genesis: &GenesisHash, operations: &[Operation]) -> bool {
    let message = commitment.message(genesis, operations);
    message.is_some_and(|message| commitment.key.verify(&message, &commitment.signature))
}

#[test]
fn a_closing_commitment_covers_all_but_the_response_that_its_client_cannot_know() {
    let network = Network::new(4);
    let hash = network.genesis.hash();
    let mut operations = session(&network).operations.clone();
    let (last, seen) = operations.split_last().unwrap();
    let chain = chain_digest(seen);
    let commitment = Commitment::sign_closing(&client(1), &hash, &chain, last.id(), &last.request);
    assert!(covers(&commitment, &hash, &operations));
    assert!(!covers(&commitment, &hash, &operations[..1]));
    assert!(!covers(&commitment, &hash, &[]));

    let last = operations.len() - 1;
    operations[last].response = response(500, "another answer");
    assert!(covers(&commitment, &hash, &operations));
    operations[last].request.target.push('x');
    assert!(!covers(&commitment, &hash, &operations));
    let mut operations = session(&network).operations.clone();
    operations[0].response = response(500, "another answer");
    assert!(!covers(&commitment, &hash, &operations));
}

#[test]
fn a_commitment_of_a_whole_chain_is_not_one_that_closes_it() {
    let network = Network::new(4);
    let hash = network.genesis.hash();
    let operations = &session(&network).operations;
    let whole = Commitment::sign(&client(1), &hash, &chain_digest(operations));
    let turned = Commitment {
        closing: true,
        ..whole
    };
    assert!(covers(&whole, &hash, operations));
    assert!(!covers(&turned, &hash, operations));
}

#[test]
fn endorsements_are_of_other_session_nodes_once_each_over_the_chain() {
    let network = Network::new(4);
    let genesis = &with_session_nodes(&network);
    assert_eq!(
        signed(genesis, whole(genesis), &[201]).validate(genesis),
        Ok(())
    );
    for wrong in [&[200][..], &[201, 201], &[50]] {
        let error = signed(genesis, whole(genesis), wrong).validate(genesis);
        let refused = matches!(error, Err(TransactionError::Endorsement(_)));
        assert!(refused, "{wrong:?}: {error:?}");
    }
    let mut content = signed(genesis, whole(genesis), &[201]).content().clone();
    content.endorsements[0] = Endorsement::sign(
        &client(201),
        &genesis.hash(),
        &chain_digest(&content.operations[..1]),
    );
    let other_chain = Transaction::sign(
        &client(200),
        &genesis.hash(),
        content.service,
        content.operations,
        content.commitment,
        content.endorsements,
    );
    let error = other_chain.unwrap().validate(genesis);
    assert!(matches!(error, Err(TransactionError::Endorsement(_))));
}

#[test]
fn a_chain_is_extended_by_what_it_is_digested_from() {
    let operations = &session(&Network::new(4)).operations;
    let (last, seen) = operations.split_last().unwrap();
    assert_eq!(
        chain_link(&chain_digest(seen), last),
        chain_digest(operations)
    );
}

#[test]
fn a_promise_is_its_nodes_on_one_network_and_survives_a_header() {
    let network = Network::new(4);
    let (hash, chain) = (network.genesis.hash(), chain_digest([]));
    let promise = Promise::sign(&client(200), &hash, SessionId([7; 32]), 3, NOW, 9, chain);
    assert!(promise.verify(&hash));
    assert!(!promise.verify(&with_session_nodes(&network).hash()));
    assert_eq!(promise.to_string().parse(), Ok(promise));
    let altered = Promise {
        sequence: 4,
        ..promise
    };
    assert!(!altered.verify(&hash));
    for text in ["", "00", "zz", &format!("{promise}00")] {
        assert!(text.parse::<Promise>().is_err(), "{text}");
    }
}

#[test]
fn what_was_only_proposed_to_other_nodes_breaks_no_promise() {
    let Broken { genesis, mut proof } = broken(Outcome::Committed, |_| None);
    assert!(proof.verify(&genesis).is_ok());
    let (hash, key) = (genesis.hash(), client(200));
    let promise = proof.promise;
    let Promise { session, chain, .. } = promise;
    let (history, moment) = (EMPTY_HISTORY, promise.moment());
    proof.promise = Promise::propose(&key, &hash, &history, session, 0, moment, chain);
    assert!(proof.promise.verify_proposal(&hash, &history));
    let other = history_link(&history, moment);
    assert!(!proof.promise.verify_proposal(&hash, &other));
    assert_eq!(proof.verify(&genesis), Err(PromiseProofError::Promise));
    let given = proof.promise.give(&client(201), &hash);
    assert!(given.verify(&hash) && !given.verify_proposal(&hash, &history));
    assert_eq!(given.node, client(201).public_key());
}

/// A network, a promise by session node 200 for the first step of a session of two, and what was
/// committed instead.
struct Broken {
    genesis: Genesis,
    proof: BrokenPromise,
}

fn broken(outcome: Outcome, commitment: impl Fn(&Genesis) -> Option<Commitment>) -> Broken {
    let network = Network::new(4);
    let genesis = with_session_nodes(&network);
    let transaction = signed(&genesis, commitment(&genesis), &[]);
    let network = Network { genesis, ..network };
    let first = &transaction.operations[0];
    let mut told = operation(
        &client(1),
        "nonce-1",
        request("/", ""),
        response(200, "told"),
    );
    told.author = first.author.clone();
    told.request = first.request.clone();
    let promise = Promise::sign(
        &client(200),
        &network.genesis.hash(),
        first.id().into(),
        0,
        first.time,
        1,
        chain_digest([&told]),
    );
    let parent = network.genesis_block().header;
    let block = network.block(&parent, vec![transaction.clone()], vec![outcome]);
    let certificate = network.certificate(&block.header);
    let receipt = Receipt::new(&block, 0, Vec::new(), certificate).unwrap();
    Broken {
        genesis: network.genesis,
        proof: BrokenPromise {
            promise,
            transaction,
            receipt,
        },
    }
}

#[test]
fn a_broken_promise_is_proven_to_anyone_with_the_genesis() {
    let Broken { genesis, proof } = broken(Outcome::Committed, |_| None);
    let liar = client(200).public_key();
    assert_eq!(proof.verify(&genesis), Ok((liar, liar)));
    let text = serde_json::to_string(&proof).unwrap();
    let read: BrokenPromise = serde_json::from_str(&text).unwrap();
    assert_eq!(read, proof);
}

#[test]
fn no_proof_is_made_of_what_the_client_signed_or_of_what_was_not_committed() {
    let signed = broken(Outcome::Committed, whole);
    assert_eq!(
        signed.proof.verify(&signed.genesis),
        Err(PromiseProofError::Signed)
    );
    let conflict = Outcome::Conflict {
        step: 0,
        keys: Vec::new(),
    };
    let conflicting = broken(conflict.clone(), |_| None);
    assert_eq!(
        conflicting.proof.verify(&conflicting.genesis),
        Err(PromiseProofError::NotCommitted(conflict))
    );
}

#[test]
fn an_honest_session_node_cannot_be_accused() {
    let Broken { genesis, proof } = broken(Outcome::Committed, |_| None);
    let hash = genesis.hash();
    let first = &proof.transaction.operations[0];
    let promise =
        |key, session, chain| Promise::sign(&client(key), &hash, session, 0, first.time, 1, chain);
    let session = proof.promise.session;
    let kept = promise(200, session, chain_digest([first]));
    let stranger = promise(50, session, proof.promise.chain);
    let other = promise(200, SessionId([7; 32]), proof.promise.chain);
    let forged = Promise {
        chain: chain_digest([]),
        ..kept
    };
    for (promise, error) in [
        (kept, PromiseProofError::Kept),
        (stranger, PromiseProofError::Promise),
        (other, PromiseProofError::OtherSession),
        (forged, PromiseProofError::Promise),
    ] {
        let accusation = BrokenPromise {
            promise,
            ..proof.clone()
        };
        assert_eq!(accusation.verify(&genesis), Err(error));
    }
}

#[test]
fn a_step_of_a_session_is_never_committed_alone_without_its_clients_word() {
    let network = Network::new(4);
    let genesis = &network.genesis;
    let request = request("/", "");
    let step =
        ClientSignature::sign_in_session(&client(1), &request, "http://a:1", "n", 1).unwrap();
    let outside = ClientSignature::sign(&client(1), &request, "http://a:1", "n", 1).unwrap();
    assert!(step.in_session() && !outside.in_session());
    let transaction = |signature: &ClientSignature, committed: bool| {
        let operation = Operation {
            author: Author::Signed(signature.clone()),
            time: Timestamp(1000),
            ..operation(&client(1), "n", request.clone(), response(200, ""))
        };
        let operations = vec![operation];
        let chain = chain_digest(&operations);
        let commitment = committed.then(|| Commitment::sign(&client(1), &genesis.hash(), &chain));
        let (key, service) = (&network.validators[0], genesis.service.clone());
        let hash = genesis.hash();
        let made = Transaction::sign(key, &hash, service, operations, commitment, Vec::new());
        made.unwrap().validate(genesis)
    };
    assert_eq!(transaction(&step, false), Err(TransactionError::Commitment));
    assert_eq!(transaction(&step, true), Ok(()));
    assert_eq!(transaction(&outside, false), Ok(()));
}

#[test]
fn a_promise_binds_the_height_so_that_nobody_can_be_framed_with_another() {
    let network = Network::new(4);
    let (hash, chain) = (network.genesis.hash(), chain_digest([]));
    let promise = Promise::sign(&client(200), &hash, SessionId([7; 32]), 3, NOW, 9, chain);
    for height in [0, 8, 10, u64::MAX] {
        assert!(!Promise { height, ..promise }.verify(&hash));
    }
}
