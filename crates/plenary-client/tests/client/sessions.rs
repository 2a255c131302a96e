//! Sessions at session nodes that are honest, busy, forgetful or liars.

use crate::{
    fake::{Asked, Fake, json, problem},
    session_node::{Lie, World},
};
use axum::response::IntoResponse;
use plenary_client::{Client, ClientError, Kept, Session, SessionEvent};
use plenary_types::{
    Method, Outcome, Problem, PromiseProofError, Request, TransactionHash,
    genesis::ClientSignatures::{Optional, Required},
    testing,
};
use serde_json::{Value, json};
use std::time::Duration;

const LIES: [Lie; 6] = [
    Lie::Signature,
    Lie::Stranger,
    Lie::Chain,
    Lie::Sequence,
    Lie::Silence,
    Lie::Response,
];

async fn two_steps(client: &Client) -> Session {
    let mut session = client.open("/open", &json!({ "id": 1 })).await.unwrap();
    session.post("/work", &json!({})).await.unwrap();
    session
}

fn steps(asked: &[Asked]) -> Vec<&Asked> {
    asked.iter().filter(|one| one.target == "/work").collect()
}

#[tokio::test]
async fn a_session_is_worked_in_committed_and_proven() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let client = world.signing(&validator, &[&node]);
    let mut session = client.open("/open", &json!({ "id": 1 })).await.unwrap();
    assert_eq!(session.opening::<Value>().unwrap()["target"], "/open");
    let answer = session.post("/work", &json!({})).await.unwrap();
    assert_eq!(answer.finality.as_deref(), Some("simulated"));
    assert_eq!(
        (answer.sequence, answer.session),
        (Some(1), Some(session.id()))
    );
    assert_eq!(session.get("/read").await.unwrap().sequence, None);
    let refused = session.get("/refused").await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "wrong-step");
    assert_eq!(session.steps().len(), 2);

    let committed = session.commit().await.unwrap();
    assert_eq!(committed.transaction.session(), Some(session.id()));
    assert_eq!(committed.transaction.operations.len(), 2);
    let verified = committed.receipt.verify(&world.network.genesis).unwrap();
    assert_eq!(verified.height, committed.height());
    assert_eq!(committed.json::<Value>().unwrap()["target"], "/work");
}

#[tokio::test]
async fn a_closing_request_is_the_last_step_of_what_is_committed() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let client = world.signing(&validator, &[&node]);
    let mut session = two_steps(&client).await;
    let committed = session.commit_with("/close", &json!({})).await.unwrap();
    assert_eq!(committed.json::<Value>().unwrap()["target"], "/close");
    assert_eq!(committed.transaction.operations.len(), 3);
}

#[tokio::test]
async fn what_a_node_says_of_the_end_can_be_proven_afterwards() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let client = world.signing(&validator, &[&node]);
    let mut session = two_steps(&client).await;
    let request = Request {
        method: Method::Post,
        target: "/close".into(),
        content_type: String::new(),
        body: Default::default(),
    };
    let closed = session.close_by(&request).await.unwrap();
    // Until here nobody but the session node was asked.
    assert!(validator.asked().is_empty());
    assert_eq!(closed.response.as_ref().unwrap().status, 200);
    let committed = session.prove(&closed).await.unwrap();
    assert_eq!(committed.transaction.hash(), closed.transaction);
    assert_eq!(committed.transaction.operations.len(), 3);

    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    world.conflicts(1);
    let mut session = two_steps(&world.signing(&validator, &[&node])).await;
    let closed = session.close_by(&request).await.unwrap();
    assert_eq!(closed.response.as_ref().unwrap().status, 409);
    let error = session.prove(&closed).await.unwrap_err();
    assert!(matches!(error, ClientError::NotCommitted(_)), "{error}");
}

#[tokio::test]
async fn another_client_begins_at_the_node_it_is_told() {
    for number in 0..4 {
        let world = World::new(Required);
        let validator = world.validator().await;
        let nodes = [
            world.session_node(Lie::None).await,
            world.session_node(Lie::None).await,
        ];
        let client = world.signing(&validator, &[&nodes[0], &nodes[1]]);
        let other = client.another(number);
        other.open("/open", &json!({})).await.unwrap();
        let asked = nodes[number % 2].asked();
        assert_eq!(asked.len(), 1, "client {number}");
    }
}

#[tokio::test]
async fn a_session_of_any_service_is_opened_without_a_route() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let session = world.signing(&validator, &[&node]).open_plain().await;
    let first = session.unwrap().steps()[0].operation.request.clone();
    assert_eq!(
        (first.target.as_str(), first.body.len()),
        ("/plenary/v1/sessions", 0)
    );
}

#[tokio::test]
async fn a_promise_that_does_not_hold_counts_as_no_answer() {
    for lie in LIES {
        let world = World::new(Required);
        let (validator, liar) = (world.validator().await, world.session_node(lie).await);
        let alone = world.signing(&validator, &[&liar]);
        let error = alone.open("/open", &json!({})).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Unproven { .. }),
            "{lie:?}: {error}"
        );
    }
}

#[tokio::test]
async fn where_a_node_lies_or_fails_the_next_gets_the_same_request_signed_anew() {
    for lie in LIES.into_iter().chain([Lie::Busy, Lie::Forgets]) {
        let world = World::new(Required);
        let validator = world.validator().await;
        let (bad, good) = (
            world.session_node(lie).await,
            world.session_node(Lie::None).await,
        );
        let client = world.signing(&validator, &[&good, &bad]);
        let opened = client.open("/open", &json!({})).await.unwrap().keep();
        // It comes back to a node that has gone bad.
        let client = world.signing(&validator, &[&bad, &good]);
        let mut session = client.resume(opened).unwrap();
        let answer = session.post("/work", &json!({})).await.unwrap();
        assert_eq!(answer.url, good.url, "{lie:?}");
        let (first, second) = (bad.asked(), good.asked());
        let (first, second) = (steps(&first)[0], steps(&second)[0]);
        assert_eq!(
            first.signature(&bad.url).nonce(),
            second.signature(&good.url).nonce()
        );
        // From then on the session is where it was answered.
        session.post("/more", &json!({})).await.unwrap();
        assert!(!bad.asked().iter().any(|asked| asked.target == "/more"));
    }
}

#[tokio::test]
async fn what_no_node_has_is_not_waited_for() {
    let world = World::new(Required);
    let (validator, node) = (
        world.validator().await,
        world.session_node(Lie::Forgets).await,
    );
    let hours = Duration::from_secs(10_000);
    let client = world.signing(&validator, &[&node]).with_patience(hours);
    let mut session = client.open("/open", &json!({})).await.unwrap();
    let error = session.get("/work").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "unknown-session");
}

#[tokio::test]
async fn what_is_committed_otherwise_than_promised_is_proven_to_anyone() {
    for lie in [Lie::Committed, Lie::Dropped] {
        let world = World::new(Optional);
        let (validator, liar) = (world.validator().await, world.session_node(lie).await);
        let session = two_steps(&world.client(&validator, &[&liar])).await;
        let ClientError::Broken(proof) = session.commit().await.unwrap_err() else {
            panic!("{lie:?} is not seen");
        };
        // As it is handed on.
        let text = serde_json::to_string(&proof).unwrap();
        let proof: plenary_types::BrokenPromise = serde_json::from_str(&text).unwrap();
        let guilty = proof.verify(&world.network.genesis);
        assert_eq!(guilty, Ok((world.node(), world.node())));
        assert_eq!(proof.promise.sequence, 1);
        let kept = plenary_types::BrokenPromise {
            promise: session.steps()[0].promise,
            ..proof
        };
        let kept = kept.verify(&world.network.genesis);
        assert_eq!(kept, Err(PromiseProofError::Kept));
    }
}

#[tokio::test]
async fn what_was_not_asked_for_or_not_committed_is_no_success() {
    for lie in [Lie::Added, Lie::Conflict, Lie::Other] {
        let world = World::new(Optional);
        let (validator, liar) = (world.validator().await, world.session_node(lie).await);
        let session = two_steps(&world.client(&validator, &[&liar])).await;
        let error = session.commit().await.unwrap_err();
        let seen = match lie {
            Lie::Added => matches!(error, ClientError::Added { .. }),
            Lie::Conflict => matches!(error, ClientError::NotCommitted(_)),
            _ => matches!(error, ClientError::Unproven { .. }),
        };
        assert!(seen, "{lie:?}: {error}");
    }
}

#[tokio::test]
async fn where_all_session_nodes_refuse_a_validator_is_given_the_session() {
    let world = World::new(Required);
    let validator = world.validator().await;
    let good = world.session_node(Lie::None).await;
    let kept = two_steps(&world.signing(&validator, &[&good])).await.keep();
    for bad in [Lie::Busy, Lie::Forgets] {
        let bad = world.session_node(bad).await;
        let client = world.signing(&validator, &[&bad]);
        let committed = client.resume(kept.clone()).unwrap().commit().await;
        assert_eq!(committed.unwrap().transaction.operations.len(), 2);
        let mut session = client.resume(kept.clone()).unwrap();
        let committed = session.commit_with("/close", &json!({})).await.unwrap();
        assert_eq!(committed.transaction.operations.len(), 3);
    }
    // Nobody but who signed could have.
    let unsigned = world.client(&validator, &[&good]).resume(kept);
    assert!(matches!(unsigned, Err(ClientError::Kept(_))));
}

#[tokio::test]
async fn a_conflict_names_who_was_first_and_the_session_can_be_rebased() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let mut session = two_steps(&world.signing(&validator, &[&node])).await;
    world.conflicts(1);
    let error = session.commit().await.unwrap_err();
    let ClientError::NotCommitted(why) = error else {
        panic!("{error}");
    };
    let Outcome::Conflict { step: 0, keys } = &why.outcome else {
        panic!("{why}");
    };
    assert_eq!(keys[0].table(), "packages");
    assert_eq!(why.winner, Some(TransactionHash([9; 32])));

    let changes = session.rebase().await.unwrap();
    assert!(changes.iter().all(|change| change.changed()));
    assert_eq!(changes[1].request.target, "/work");
    assert_eq!(changes[1].after, *session.steps()[1].response());
    let committed = session.commit().await.unwrap();
    assert_eq!(committed.json::<Value>().unwrap()["salt"], 1);
}

#[tokio::test]
async fn a_closing_request_that_is_sent_again_is_the_same_operation() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let mut session = two_steps(&world.signing(&validator, &[&node])).await;
    world.conflicts(1);
    session.commit_with("/close", &json!({})).await.unwrap_err();
    session.rebase().await.unwrap();
    session.commit_with("/close", &json!({})).await.unwrap();
    let asked = node.asked();
    let closing = asked.iter().filter(|asked| asked.target == "/close");
    let nonces: Vec<_> = closing
        .map(|asked| asked.signature(&node.url).nonce().to_owned())
        .collect();
    assert_eq!(nonces.len(), 2);
    assert_eq!(nonces[0], nonces[1]);
}

#[tokio::test]
async fn a_kept_session_goes_on_where_it_was_and_only_as_it_was() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let client = world.signing(&validator, &[&node]);
    let session = two_steps(&client).await;
    let text = serde_json::to_string(&session.keep()).unwrap();
    let kept: Kept = serde_json::from_str(&text).unwrap();
    let mut resumed = client.resume(kept.clone()).unwrap();
    assert_eq!(
        (resumed.id(), resumed.chain()),
        (session.id(), session.chain())
    );
    resumed.post("/more", &json!({})).await.unwrap();
    resumed.commit().await.unwrap();

    let other = client.clone().with_key(testing::client(2));
    assert!(matches!(other.resume(kept), Err(ClientError::Kept(_))));
    let mut altered: Value = serde_json::from_str(&text).unwrap();
    altered["steps"].as_array_mut().unwrap().swap(0, 1);
    let altered = serde_json::from_value(altered).unwrap();
    assert!(matches!(client.resume(altered), Err(ClientError::Kept(_))));
}

#[tokio::test]
async fn a_session_needs_a_session_node_and_a_network_to_sign_for() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let without = world.signing(&validator, &[]).open_plain().await;
    assert!(matches!(without, Err(ClientError::NoSessionNode)));
    let client = Client::new([&validator.url]).unwrap();
    let client = client.with_session_nodes([&node.url]).unwrap();
    let client = client.with_key(testing::client(1));
    assert!(matches!(
        client.open_plain().await,
        Err(ClientError::NoGenesis)
    ));
}

#[tokio::test]
async fn requests_outside_of_sessions_go_to_session_nodes_and_to_validators_where_those_fail() {
    let world = World::new(Required);
    let hash = TransactionHash([1; 32]);
    let done = move |_: usize, _: &Asked| crate::fake::final_answer(200, json!({}), hash);
    let (validator, node) = (Fake::start(done).await, Fake::start(done).await);
    let busy = world.session_node(Lie::Busy).await;
    let client = world.signing(&validator, &[&node]);
    assert_eq!(client.post("/a", &json!({})).await.unwrap().url, node.url);
    let client = world.signing(&validator, &[&busy]);
    let answer = client.post("/a", &json!({})).await.unwrap();
    assert_eq!(answer.url, validator.url);
    assert!(!validator.asked()[0].signature(&validator.url).in_session());
}

#[tokio::test]
async fn events_are_told_to_the_end_over_a_broken_stream() {
    let hash = TransactionHash([3; 32]);
    let node = Fake::start(move |count, asked| {
        let body = match count {
            0 => "id: 5-0\nevent: simulated\ndata: {\"event\":\"simulated\",\"sequence\":0}\n\n"
                .to_owned(),
            _ => {
                assert_eq!(asked.header("last-event-id"), "5-0");
                format!(
                    "id: 5-1\ndata: {{\"event\":\"final\",\"transaction\":\"{hash}\",\"height\":9}}\n\n"
                )
            }
        };
        ([("content-type", "text/event-stream")], body).into_response()
    })
    .await;
    let client = Client::new([&node.url]).unwrap();
    let client = client.with_session_nodes([&node.url]).unwrap();
    let mut events = client
        .session_events(&plenary_types::SessionId([1; 32]))
        .unwrap();
    let mut next = async || events.next().await.unwrap();
    assert_eq!(next().await, Some(SessionEvent::Simulated { sequence: 0 }));
    let last = SessionEvent::Final {
        transaction: hash,
        height: 9,
    };
    assert_eq!(next().await, Some(last));
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn giving_a_session_up_is_signed_and_a_refusal_is_told() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let session = two_steps(&world.signing(&validator, &[&node])).await;
    session.abort().await.unwrap();
    let asked = node.asked();
    let last = asked.last().unwrap();
    assert_eq!(last.method, "DELETE");
    assert_eq!(
        last.signature(&node.url).key(),
        testing::client(1).public_key()
    );
    let over = Fake::start(|_, _| problem(&Problem::new(410, "session-over", "aborted"))).await;
    let client = world.signing(&validator, &[&over]);
    let error = client.resume(session.keep()).unwrap().abort().await;
    assert_eq!(error.unwrap_err().problem().unwrap().code, "session-over");
}

#[tokio::test]
async fn a_session_node_says_how_it_and_a_session_are() {
    let session = "04".repeat(32);
    let told = json!({ "session": session, "status": "committed", "transaction": "05".repeat(32), "height": 3 });
    let node = Fake::start(move |_, _| json(200, told.clone())).await;
    let client = Client::new([&node.url]).unwrap();
    let client = client.with_session_nodes([&node.url]).unwrap();
    let status = client.session_status(&session.parse().unwrap()).await;
    assert_eq!(status.unwrap().height, Some(3));
    assert_eq!(
        node.asked()[0].target,
        format!("/plenary/v1/sessions/{session}")
    );
}

/// Why a session is not committed yet was a text where this client reads a problem, so that nobody
/// could look at a session while it was being committed.
#[tokio::test]
async fn a_session_on_its_way_is_shown_with_the_reason_why_it_takes_so_long() {
    let told = not_yet();
    let node = Fake::start(move |_, _| json(200, told.clone())).await;
    let client = Client::new([&node.url]).unwrap();
    let client = client.with_session_nodes([&node.url]).unwrap();
    let status = client.session_status(&plenary_types::SessionId([4; 32]));
    let status = status.await.unwrap();
    assert_eq!(status.status, plenary_client::SessionState::Committing);
    assert_eq!(status.why.unwrap().code, "not-final-yet");
}

/// Where neither the session node nor a validator got a commit through in time, the client said what
/// the validator had answered last, and nothing of the transaction that the session node had sent.
#[tokio::test]
async fn a_commit_that_takes_too_long_is_told_with_its_transaction_and_why() {
    let world = World::new(Required);
    let (validator, node) = (world.validator().await, world.session_node(Lie::None).await);
    let kept = two_steps(&world.signing(&validator, &[&node])).await.keep();
    let told = not_yet();
    let slow = Fake::start(move |_, _| {
        let mut response = json(202, told.clone());
        let hash = told["transaction"].as_str().unwrap().parse().unwrap();
        response.headers_mut().insert("plenary-tx", hash);
        response
    })
    .await;
    let busy = Fake::start(|_, _| crate::fake::busy()).await;
    let client = world.signing(&busy, &[&slow]);
    let error = client.resume(kept).unwrap().commit().await.unwrap_err();
    let told = error.to_string();
    let ClientError::Pending { transaction, why } = error else {
        panic!("{error}");
    };
    assert_eq!(transaction, TransactionHash([5; 32]));
    let why = why.unwrap();
    assert_eq!(
        (&*why.code, why.tx_hash),
        ("not-final-yet", Some(transaction))
    );
    assert!(told.contains("no quorum"), "{told}");
}

/// What a session node says of a session whose commit layer 1 has not taken yet.
fn not_yet() -> Value {
    let transaction = TransactionHash([5; 32]);
    let why = Problem::new(503, "not-final-yet", "there is no quorum");
    json!({
        "session": "04".repeat(32),
        "status": "committing",
        "transaction": transaction,
        "why": why.retryable().about(transaction),
    })
}
