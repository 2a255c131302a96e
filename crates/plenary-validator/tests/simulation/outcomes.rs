//! Session transactions of many operations, end to end through consensus: every outcome, and every
//! forgery that must not get that far.

use crate::{
    bank::{deposit_request, request, transfer_request},
    world::{World, link, run},
};
use bytes::Bytes;
use plenary_service::{Session, Simulation};
use plenary_types::{
    Author, ClientSignature, Commitment, Method, Operation, Outcome, PrivateKey, Reason, Request,
    Transaction, TransactionError, TransactionHash, session::chain_digest, transaction::Content,
};
use plenary_validator::{error::Refusal, mempool::Candidate};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn client() -> PrivateKey {
    PrivateKey::from_seed([99; 32])
}

/// Runs requests as one session of the client on a validator's finalized state, each on what the
/// ones before wrote, the way a session node does.
fn session(world: &World, validator: usize, requests: &[Request]) -> Vec<Operation> {
    let node = world.node(validator);
    let now = world.network.now();
    let (_, view) = node.store.state().latest();
    let signatures = requests.iter().enumerate().map(|(step, request)| {
        let nonce = format!("{}-{step}", now.0);
        ClientSignature::sign(&client(), request, "http://node", &nonce, now.0 / 1000).unwrap()
    });
    let authors: Vec<Author> = signatures.map(Author::Signed).collect();
    let mut session = Session::open(authors[0].operation().into());
    let operations = requests.iter().zip(authors).map(|(request, author)| {
        let simulation =
            session.simulate(&node.executor, view.clone(), request.clone(), author, now);
        match simulation.unwrap() {
            Simulation::Answered(operation) => operation,
            Simulation::Refused(problem) => panic!("refused: {problem}"),
        }
    });
    operations.collect()
}

fn commitment(world: &World, operations: &[Operation]) -> Option<Commitment> {
    Some(Commitment::sign(
        &client(),
        &world.genesis.hash(),
        &chain_digest(operations),
    ))
}

fn transaction(world: &World, originator: usize, operations: Vec<Operation>) -> Transaction {
    let commitment = commitment(world, &operations);
    signed(world, originator, operations, commitment)
}

fn signed(
    world: &World,
    originator: usize,
    operations: Vec<Operation>,
    commitment: Option<Commitment>,
) -> Transaction {
    let node = world.node(originator);
    let service = world.genesis.service.clone();
    let genesis = world.genesis.hash();
    Transaction::sign(
        &node.key,
        &genesis,
        service,
        operations,
        commitment,
        Vec::new(),
    )
    .unwrap()
}

async fn outcome(world: &mut World, hash: TransactionHash) -> Outcome {
    for _ in 0..PATIENCE.as_millis() / 20 {
        let landed = world
            .nodes()
            .all(|node| node.store.transaction(&hash).unwrap().is_some());
        if landed {
            let mut outcomes: Vec<Outcome> = world
                .nodes()
                .map(|node| {
                    let location = node.store.transaction(&hash).unwrap().unwrap();
                    let receipt = plenary_validator::lookup::receipt_at(&node.store, location)
                        .unwrap()
                        .unwrap();
                    receipt.verify(&world.genesis).unwrap();
                    receipt.outcome
                })
                .collect();
            outcomes.dedup();
            assert_eq!(outcomes.len(), 1, "one outcome everywhere");
            return outcomes.remove(0);
        }
        world.sleep(Duration::from_millis(20)).await;
    }
    panic!("transaction {hash} is not final");
}

fn submit(world: &mut World, validator: usize, transaction: Transaction) -> TransactionHash {
    world.node(validator).submit(transaction).unwrap()
}

fn simulate<T>(script: impl AsyncFnOnce(World) -> T) -> T {
    run(0, 4, link(), async |mut world: World| {
        world.start_all(0..4).await;
        for (account, amount) in [("ann", 100), ("bob", 50)] {
            let candidate = world
                .originate(0, deposit_request(account, amount))
                .unwrap();
            let hash = world.submit(0, candidate);
            assert_eq!(outcome(&mut world, hash).await, Outcome::Committed);
        }
        script(world).await
    })
}

fn balances(world: &World) -> (u64, u64) {
    let node = world.node(2);
    (world.balance(node, "ann"), world.balance(node, "bob"))
}

fn workflow() -> [Request; 3] {
    [
        transfer_request("ann", "bob", 30),
        transfer_request("bob", "ann", 10),
        deposit_request("bob", 1),
    ]
}

#[test]
fn a_session_is_committed_whole_and_its_later_steps_see_its_earlier_ones() {
    simulate(async |mut world: World| {
        let operations = session(&world, 1, &workflow());
        let transaction = transaction(&world, 1, operations);
        let hash = submit(&mut world, 1, transaction);
        assert_eq!(outcome(&mut world, hash).await, Outcome::Committed);
        assert_eq!(balances(&world), (80, 71));
    });
}

#[test]
fn a_session_whose_reads_are_stale_but_whose_responses_agree_is_committed() {
    simulate(async |mut world: World| {
        let touch = request(Method::Post, "/accounts/ann/touches", &());
        let operations = session(&world, 1, &[touch]);
        let candidate = world.originate(2, deposit_request("ann", 5)).unwrap();
        let other = world.submit(2, candidate);
        assert_eq!(outcome(&mut world, other).await, Outcome::Committed);
        let transaction = transaction(&world, 1, operations);
        let hash = submit(&mut world, 1, transaction);
        assert_eq!(outcome(&mut world, hash).await, Outcome::Committed);
        let touched = world.balance(world.node(0), "touched-ann");
        assert_eq!(
            touched, 105,
            "it wrote what it read at commit, not what it had read before"
        );
    });
}

#[test]
fn a_session_that_others_overtook_ends_in_conflict_that_names_step_and_keys() {
    simulate(async |mut world: World| {
        let operations = session(&world, 1, &workflow());
        let candidate = world.originate(2, deposit_request("bob", 5)).unwrap();
        let other = world.submit(2, candidate);
        assert_eq!(outcome(&mut world, other).await, Outcome::Committed);
        let transaction = transaction(&world, 1, operations);
        let hash = submit(&mut world, 1, transaction);
        let Outcome::Conflict { step, keys } = outcome(&mut world, hash).await else {
            panic!("expected a conflict");
        };
        // The first transfer answers with ann's balance, which nobody changed.
        assert_eq!(step, 1);
        assert_eq!(
            keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["accounts/bob"]
        );
        assert_eq!(balances(&world), (100, 55), "nothing of it is applied");
    });
}

#[test]
fn a_wrong_response_is_rejected_and_names_who_signed_it() {
    simulate(async |mut world: World| {
        let mut operations = session(&world, 1, &workflow());
        operations[1].response.body = Bytes::from_static(b"1000000");
        let transaction = transaction(&world, 1, operations);
        let hash = submit(&mut world, 3, transaction);
        let Outcome::Rejected {
            step,
            reason,
            signer,
        } = outcome(&mut world, hash).await
        else {
            panic!("expected a rejection");
        };
        assert_eq!(step, 1);
        assert!(matches!(reason, Reason::WrongResponse { .. }));
        assert_eq!(signer, world.node(1).key.public_key());
        assert_eq!(balances(&world), (100, 50), "nothing of it is applied");
    });
}

#[test]
fn a_request_that_only_reads_is_rejected_as_an_operation() {
    simulate(async |mut world: World| {
        let mut operations = session(&world, 1, &workflow()[..1]);
        let read = request(Method::Get, "/accounts/ann", &());
        let now = world.network.now().0 / 1000;
        operations[0].author =
            Author::Signed(ClientSignature::sign(&client(), &read, "http://n", "r", now).unwrap());
        operations[0].request = read;
        let transaction = transaction(&world, 1, operations);
        let hash = submit(&mut world, 1, transaction);
        let outcome = outcome(&mut world, hash).await;
        assert!(matches!(
            outcome,
            Outcome::Rejected {
                reason: Reason::NotAnOperation,
                ..
            }
        ));
    });
}

#[test]
fn a_forged_request_is_refused_at_the_door() {
    simulate(async |world: World| {
        let mut operations = session(&world, 1, &workflow());
        operations[0].request.body =
            Bytes::from_static(b"{\"from\":\"ann\",\"to\":\"eve\",\"amount\":100}");
        let refusal = world
            .node(1)
            .submit(transaction(&world, 1, operations))
            .unwrap_err();
        let forged = Refusal::Transaction(TransactionError::ClientSignature {
            step: 0,
            error: plenary_types::SignatureError::Invalid(client().public_key()),
        });
        assert_eq!(refusal.to_string(), forged.to_string());
    });
}

#[test]
fn another_order_than_the_client_signed_is_refused_at_the_door() {
    simulate(async |world: World| {
        let mut operations = session(&world, 1, &workflow());
        let commitment = commitment(&world, &operations);
        operations.swap(0, 1);
        let reordered = signed(&world, 1, operations, commitment);
        let refusal = world.node(1).submit(reordered).unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Transaction(TransactionError::Commitment)
        ));
    });
}

#[test]
fn a_step_left_out_is_refused_at_the_door() {
    simulate(async |world: World| {
        let mut operations = session(&world, 1, &workflow());
        let commitment = commitment(&world, &operations);
        operations.pop();
        let shortened = signed(&world, 1, operations, commitment);
        let refusal = world.node(1).submit(shortened).unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Transaction(TransactionError::Commitment)
        ));
    });
}

#[test]
fn a_transaction_altered_after_its_originator_signed_is_refused_at_the_door() {
    simulate(async |world: World| {
        let honest = transaction(&world, 1, session(&world, 1, &workflow()[..1]));
        let mut content: Content = honest.content().clone();
        content.originator = world.node(2).key.public_key();
        let altered = Transaction::new(&content).unwrap();
        let refusal = world.node(1).submit(altered).unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Transaction(TransactionError::OriginatorSignature(_))
        ));
    });
}

#[test]
fn a_replayed_transaction_is_refused_and_so_is_its_operation_in_another() {
    simulate(async |mut world: World| {
        let operations = session(&world, 1, &workflow());
        let first = transaction(&world, 1, operations.clone());
        let hash = submit(&mut world, 1, first.clone());
        assert_eq!(outcome(&mut world, hash).await, Outcome::Committed);
        let after = balances(&world);
        let refusal = world.node(2).submit(first).unwrap_err();
        assert!(matches!(refusal, Refusal::Replayed { .. }));
        // The same client's operations, originated by another node: another transaction.
        let second = transaction(&world, 2, operations);
        let refusal = world.node(2).submit(second).unwrap_err();
        assert!(matches!(refusal, Refusal::Replayed { .. }));
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(balances(&world), after);
    });
}

#[test]
fn one_operation_in_two_transactions_at_once_has_one_effect() {
    simulate(async |mut world: World| {
        let operations = session(&world, 1, &[deposit_request("ann", 1)]);
        for originator in [0, 1, 2, 3] {
            let transaction = transaction(&world, originator, operations.clone());
            let candidate = Candidate::new(transaction);
            world.submit(originator, candidate);
        }
        world.sleep(Duration::from_secs(5)).await;
        for node in world.nodes() {
            assert_eq!(world.balance(node, "ann"), 101);
            assert_eq!(node.pending(), 0, "the others are dropped");
        }
    });
}
