//! Sessions at real session nodes: the seven steps, and what a session survives.

use crate::{
    network::Network,
    support::{Dev, errors, eventually, json, run, text},
};
use plenary::{
    client::{Client, ClientError, Committed, Session, SessionState},
    types::{Outcome, SessionId},
};
use serde_json::{Value, json};
use std::process::Output;

/// Makes a package, outside of any session.
async fn package(client: &Client) -> String {
    let made = client.post("/session/test-package", &json!({})).await;
    let made: Value = made.unwrap().json().unwrap();
    made["package_id"].as_str().unwrap().to_owned()
}

async fn open(client: &Client) -> Session {
    let operator = json!({ "operator_id": "OPR-001" });
    client.open("/session/start", &operator).await.unwrap()
}

/// How many steps [`step`] knows.
const STEPS: usize = 4;

/// Sends the session's next request, by its number.
async fn step(session: &mut Session, number: usize, package: &str) {
    let id = session.id();
    let answered = match number {
        0 => session.get(&format!("/session/{id}/scan/{package}")).await,
        1 => {
            let scan = session.steps().last().unwrap();
            let scan: Value = scan.json().unwrap();
            let body = json!({ "package_id": package, "signature": scan["supplier_signature"] });
            session
                .post(&format!("/session/{id}/validate"), &body)
                .await
        }
        2 => {
            let body = json!({ "passed": true, "issues": [] });
            session.post(&format!("/session/{id}/qc"), &body).await
        }
        _ => {
            let body =
                json!({ "destination": "Oslo", "priority": "high", "courier_id": "COU-002" });
            session.post(&format!("/session/{id}/label"), &body).await
        }
    };
    let answer = answered.unwrap();
    assert_eq!(answer.sequence, Some(number as u32 + 1));
}

async fn commit(session: &mut Session) -> Committed {
    let target = format!("/commit/{}", session.id());
    let operator = json!({ "operator_id": "OPR-001" });
    let committed = session.commit_with(&target, &operator).await.unwrap();
    assert_eq!(committed.transaction.operations.len(), STEPS + 2);
    assert_eq!(committed.receipt.outcome, Outcome::Committed);
    committed
}

#[tokio::test]
async fn the_seven_steps_through_a_session_node_are_one_transaction_that_is_proven() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    let client = dev.client();
    let package = package(&client).await;
    let mut session = open(&client).await;
    for number in 0..STEPS {
        step(&mut session, number, &package).await;
    }
    // The session reads what it has written; nobody else does.
    let target = format!("/package/{package}");
    let inside: Value = session.get(&target).await.unwrap().json().unwrap();
    let outside: Value = client.get(&target).await.unwrap().json().unwrap();
    assert_ne!(inside["status"], outside["status"]);
    let committed = commit(&mut session).await;
    let status = session.status().await.unwrap();
    assert_eq!(status.status, SessionState::Committed);
    assert_eq!(status.height, Some(committed.height()));
    let shipped: Value = client.get(&target).await.unwrap().json().unwrap();
    assert!(shipped["status"].to_string().contains("shipped"));
    dev.stop("INT");
}

#[tokio::test]
async fn of_two_sessions_on_one_package_one_is_committed_and_the_other_is_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    let client = dev.client();
    let package = package(&client).await;
    let (mut first, mut second) = (open(&client).await, open(&client).await);
    for session in [&mut first, &mut second] {
        step(session, 0, &package).await;
    }
    let winner = first.commit().await.unwrap().transaction.hash();
    let ClientError::NotCommitted(why) = second.commit().await.unwrap_err() else {
        panic!("both are committed");
    };
    assert!(matches!(why.outcome, Outcome::Conflict { step: 1, .. }));
    assert_eq!(why.winner, Some(winner));
    // Run again, the scan is refused: the package is in other hands.
    let refused = second.rebase().await.unwrap_err();
    assert_eq!(refused.problem().unwrap().code, "rebase-refused");
    dev.stop("INT");
}

#[tokio::test]
async fn a_session_loses_no_step_when_its_node_is_killed_between_any_two() {
    let mut network = Network::start(1).await;
    let client = network.client();
    let package = package(&client).await;
    let mut session = open(&client).await;
    for number in 0..STEPS {
        network.kill(&[4]);
        network.restart(&[4]);
        // The client finds it again by itself.
        step(&mut session, number, &package).await;
    }
    network.kill(&[4]);
    network.restart(&[4]);
    commit(&mut session).await;
}

/// How many steps of a session a node has.
async fn steps_at(network: &Network, node: usize, session: SessionId) -> usize {
    let url = format!("{}/plenary/v1/sessions/{session}", network.nodes[node].url);
    match network.http.try_send("GET", &url, None, None).await {
        Some(found) if found.status == 200 => found.body["operations"].as_array().unwrap().len(),
        _ => 0,
    }
}

#[tokio::test]
async fn another_session_node_goes_on_where_the_originator_died() {
    let mut network = Network::start(2).await;
    let client = network.client();
    let package = package(&client).await;
    let mut session = open(&client).await;
    step(&mut session, 0, &package).await;
    step(&mut session, 1, &package).await;
    let id = session.id();
    let originator = session.steps()[0].promise.node;
    eventually("the session at the other node", async || {
        (steps_at(&network, 5, id).await == 3).then_some(())
    })
    .await;
    network.kill(&[4]);
    step(&mut session, 2, &package).await;
    step(&mut session, 3, &package).await;
    assert_ne!(session.steps()[3].promise.node, originator);
    commit(&mut session).await;
    // The dead one learns how it ended.
    network.restart(&[4]);
    let url = format!("{}/plenary/v1/sessions/{id}", network.nodes[4].url);
    eventually("the end of the session at the first node", async || {
        let found = network.http.try_send("GET", &url, None, None).await?;
        (found.body["status"] == "committed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_no_session_node_is_left_a_validator_commits_the_session() {
    let mut network = Network::start(1).await;
    let client = network.client();
    let package = package(&client).await;
    let mut session = open(&client).await;
    for number in 0..STEPS {
        step(&mut session, number, &package).await;
    }
    network.kill(&[4]);
    let kept = session.keep();
    let hasty = client.with_patience(std::time::Duration::from_secs(1));
    let mut session = hasty.resume(kept).unwrap();
    commit(&mut session).await;
}

#[tokio::test]
async fn a_session_goes_on_after_dev_was_stopped_and_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    let client = dev.client();
    let package = package(&client).await;
    let mut session = open(&client).await;
    step(&mut session, 0, &package).await;
    dev.stop("INT");
    let dev = Dev::start_with(directory.path(), &[]);
    for number in 1..STEPS {
        step(&mut session, number, &package).await;
    }
    commit(&mut session).await;
    dev.stop("INT");
}

#[tokio::test]
async fn the_command_line_works_in_a_session_that_it_keeps_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("network");
    let dev = Dev::start(&home);
    let package = package(&dev.client()).await;
    let file = directory.path().join("session.json");
    let at = ["--session", text(&file), "--data-dir", text(&home)];
    let session = |arguments: &[&str]| {
        let all = ["session"].iter().chain(arguments).chain(&at);
        json(all.copied())
    };
    let opened = session(&["open", "/session/start", r#"{"operator_id":"OPR-001"}"#]);
    let id = opened["session"].as_str().unwrap();
    let scan = format!("/session/{id}/scan/{package}");
    let scanned = session(&["call", "get", &scan]);
    assert_eq!(scanned["sequence"], 1);
    let committed = session(&["commit"]);
    assert_eq!(committed["operations"], 2);
    let named = ["session", "show", id, "--data-dir", text(&home)];
    assert_eq!(json(named)["status"], "committed");
    let status = json(["status", "--data-dir", text(&home)]);
    let told = status.as_array().unwrap().last().unwrap();
    assert_eq!(told["status"]["session_node"]["name"], "session-0");
    let second = run(["session", "open"].into_iter().chain(at));
    assert_eq!(second.status.code(), Some(1));
    dev.stop("INT");
}

#[tokio::test]
async fn the_command_line_follows_sessions_rebases_one_in_conflict_and_gives_one_up() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("network");
    let dev = Dev::start(&home);
    let package = package(&dev.client()).await;
    let session = |name: &str, arguments: &[&str]| {
        let file = directory.path().join(name);
        let at = ["--session", text(&file), "--data-dir", text(&home)];
        run(["--json", "session"]
            .iter()
            .chain(arguments)
            .chain(&at)
            .copied())
    };
    let told = |output: Output| -> Vec<Value> {
        assert!(output.status.success(), "{}", errors(&output));
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        values.map(Result::unwrap).collect()
    };
    let refused = |output: Output, code: &str| {
        assert_eq!(output.status.code(), Some(1));
        assert!(errors(&output).contains(code), "{}", errors(&output));
    };
    let events = |name: &str| -> Vec<Value> {
        let events = told(session(name, &["events"])).into_iter();
        events.map(|event| event["event"].clone()).collect()
    };
    for name in ["first", "second", "third"] {
        let operator = r#"{"operator_id":"OPR-001"}"#;
        told(session(name, &["open", "/session/start", operator]));
    }
    // Two take the same package; who commits second has read what is no longer so.
    for name in ["first", "second"] {
        let shown = told(session(name, &["show"]));
        let id = shown[0]["session"].as_str().unwrap();
        let scan = format!("/session/{id}/scan/{package}");
        told(session(name, &["call", "get", &scan]));
    }
    told(session("first", &["commit"]));
    assert_eq!(events("first").last().unwrap(), "final");
    refused(session("second", &["commit"]), "conflict");
    // The package is in work for good, which the service says to whoever would take it now.
    refused(session("second", &["rebase"]), "package-in-work");
    assert_eq!(told(session("second", &["show"]))[0]["status"], "conflict");

    assert_eq!(told(session("third", &["abort"]))[0]["status"], "aborted");
    assert_eq!(events("third"), ["simulated", "aborted"]);
    refused(session("third", &["commit"]), "session-over");
    dev.stop("INT");
}
