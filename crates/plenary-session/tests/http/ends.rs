//! How sessions end: what a commit waits for, conflicts, and running again.

use crate::nodes::{Anonymous, Client, Nodes, header, one_node, post};
use plenary_types::Problem;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;

/// Two sessions on one account are committed: what both were answered, and the client of the one that
/// lost.
async fn conflict(nodes: &Nodes) -> (Response, Response, Client) {
    let (mut first, mut second) = (Client::new(1), Client::new(2));
    for client in [&mut first, &mut second] {
        client
            .step(nodes, 0, "/plenary/v1/sessions", &Value::Null)
            .await;
        client
            .step(nodes, 0, "/accounts/carl/deposits", &json!(1))
            .await;
    }
    let won = first.commit(nodes, 0).await;
    let lost = second.commit(nodes, 0).await;
    assert_eq!(lost.status(), 409);
    (won, lost, second)
}

/// What a session node, and what a validator at the height of an answer, tell of a session.
async fn told(nodes: &Nodes, client: &Client, answer: &Response) -> (Value, Value) {
    let target = format!("/plenary/v1/sessions/{}", client.session.unwrap());
    let height = header(answer, "plenary-height");
    let at_validator = nodes.network.http.get(nodes.network.url(1, &target));
    let at_validator = at_validator.header("plenary-height", height).send();
    let at_node = nodes.get(0, &target).await.json().await.unwrap();
    (at_node, at_validator.await.unwrap().json().await.unwrap())
}

/// Checks that whatever is told by one is told so by the other, which may know more.
fn check_agrees(other: &Value, told: &Value) {
    match told {
        Value::Object(fields) => {
            for (name, value) in fields {
                check_agrees(&other[name], value);
            }
        }
        Value::Array(values) => {
            assert_eq!(values.len(), other.as_array().unwrap().len());
            for (index, value) in values.iter().enumerate() {
                check_agrees(&other[index], value);
            }
        }
        plain => assert_eq!(plain, other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_conflict_is_told_alike_by_session_nodes_and_validators() {
    let nodes = one_node().await;
    let (won, lost, client) = conflict(&nodes).await;
    let (at_node, at_validator) = told(&nodes, &client, &lost).await;
    assert_eq!(at_validator["status"], "conflict");
    assert_eq!(at_validator["transaction"], header(&lost, "plenary-tx"));
    assert_eq!(
        at_validator["height"].to_string(),
        header(&lost, "plenary-height")
    );
    assert_eq!(at_validator["why"]["winner"], header(&won, "plenary-tx"));
    check_agrees(&at_node, &at_validator);

    // A session node that has forgotten it, or never heard of it, has the ledger.
    let session = client.session.unwrap();
    nodes.nodes[0].node().sessions.remove(&session);
    let (at_node, at_validator) = told(&nodes, &client, &lost).await;
    assert_eq!(at_node, at_validator);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_on_one_account_are_not_both_committed_and_the_loser_can_be_rebased() {
    let nodes = one_node().await;
    let (won, lost, mut second) = conflict(&nodes).await;
    let winner = header(&won, "plenary-tx");
    let problem: Value = lost.json().await.unwrap();
    assert_eq!(problem["code"], "conflict");
    assert_eq!(problem["step"], 1);
    assert_eq!(problem["winner"], winner);
    assert!(problem["keys"][0].as_str().unwrap().contains("carl"));

    let session = second.session.unwrap();
    let rebase = post(
        &format!("/plenary/v1/sessions/{session}/rebase"),
        &Value::Null,
    );
    let rebased = second.send(&nodes, 0, &rebase, "rebase", false).await;
    let rebased: Value = rebased.json().await.unwrap();
    assert_eq!(rebased["steps"][0]["changed"], false);
    assert_eq!(rebased["steps"][1]["changed"], true);
    assert_eq!(rebased["steps"][1]["before"]["body"], 1);
    assert_eq!(rebased["steps"][1]["after"]["body"], 2);
    second.chain = rebased["chain"].as_str().unwrap().parse().unwrap();
    let committed = second.commit(&nodes, 0).await;
    assert_eq!(committed.status(), 200);
    let (at_node, at_validator) = told(&nodes, &second, &committed).await;
    assert_eq!(at_validator["status"], "committed");
    check_agrees(&at_node, &at_validator);
    assert_eq!(
        nodes.get(0, "/accounts/carl").await.text().await.unwrap(),
        "2"
    );
    nodes.stop().await;
}

/// Whoever changed any of the keys last, when somebody asked, was named as the winner; and nobody where
/// the key was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_transaction_that_made_the_session_stale_and_no_later_one() {
    let nodes = one_node().await;
    let alone = async |target: &str| {
        let request = nodes.network.http.post(nodes.url(0, target));
        let answer = request.json(&1).send().await.unwrap();
        header(&answer, "plenary-tx")
    };
    alone("/accounts/ida/deposits").await;
    for (seed, winning) in [(1, "/accounts/ida/deposits"), (2, "/accounts/ida/closings")] {
        let mut client = Client::new(seed);
        client
            .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
            .await;
        client
            .step(&nodes, 0, "/accounts/ida/deposits", &json!(1))
            .await;
        let winner = alone(winning).await;
        let lost: Value = client.commit(&nodes, 0).await.json().await.unwrap();
        assert_eq!(lost["winner"], winner, "{lost}");
        alone("/accounts/ida/deposits").await;
        let target = format!("/plenary/v1/sessions/{}", client.session.unwrap());
        let shown: Value = nodes.get(0, &target).await.json().await.unwrap();
        assert_eq!(shown["why"]["winner"], winner, "{shown}");
    }
    nodes.stop().await;
}

/// The step that the service refused was all that its client was told, and not what it could do.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rebase_tells_what_changed_before_the_refusal_and_what_is_left_to_do() {
    let nodes = one_node().await;
    let deposit = nodes
        .network
        .http
        .post(nodes.url(0, "/accounts/jan/deposits"));
    assert_eq!(deposit.json(&10).send().await.unwrap().status(), 200);
    let (mut first, mut second) = (Client::new(1), Client::new(2));
    for (client, amounts) in [(&mut first, &[4][..]), (&mut second, &[3, 5])] {
        client.step(&nodes, 0, "/withdrawals", &Value::Null).await;
        let target = format!("/withdrawals/{}/jan", client.session.unwrap());
        for amount in amounts {
            client.step(&nodes, 0, &target, &json!(amount)).await;
        }
    }
    assert_eq!(first.commit(&nodes, 0).await.status(), 200);
    assert_eq!(second.commit(&nodes, 0).await.status(), 409);

    let target = format!("/plenary/v1/sessions/{}", second.session.unwrap());
    let rebase = post(&format!("{target}/rebase"), &Value::Null);
    let refused = second.send(&nodes, 0, &rebase, "rebase", false).await;
    let refused: Value = refused.json().await.unwrap();
    let told = (
        &refused["code"],
        &refused["sequence"],
        &refused["problem"]["code"],
    );
    let expected = (&json!("rebase-refused"), &json!(2), &json!("overdrawn"));
    assert_eq!(told, expected);
    let steps = refused["steps"].as_array().unwrap();
    let changed = |at: usize| steps[at]["changed"].as_bool().unwrap();
    assert_eq!((steps.len(), changed(0), changed(1)), (2, false, true));
    let bodies = (&steps[1]["before"]["body"], &steps[1]["after"]["body"]);
    assert_eq!(bodies, (&json!(7), &json!(3)));
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("open another session"), "{detail}");
    let shown: Value = nodes.get(0, &target).await.json().await.unwrap();
    assert_eq!(shown["status"], "conflict");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_the_commit_says_why_it_waits_and_ends_by_itself_once_there_is_one() {
    let mut nodes = one_node().await;
    nodes.network.stop_from(2).await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    client
        .step(&nodes, 0, "/accounts/fay/deposits", &json!(1))
        .await;
    let waiting = client.commit(&nodes, 0).await;
    assert_eq!(waiting.status(), 202);
    let location = header(&waiting, "location");
    let hash = header(&waiting, "plenary-tx").parse().unwrap();
    let told: Value = waiting.json().await.unwrap();
    // A problem, like every other reason.
    let why: Problem = serde_json::from_value(told["why"].clone()).unwrap();
    assert_eq!((&*why.code, why.tx_hash), ("not-final-yet", Some(hash)));
    assert!(why.retryable && why.detail.contains("quorum"), "{why}");
    let shown: Value = nodes.get(0, &location).await.json().await.unwrap();
    assert_eq!(
        (&shown["status"], &shown["why"]),
        (&json!("committing"), &told["why"])
    );

    nodes.network.start_all().await;
    // The stream ends with the session; nobody asks for the commit again.
    let events = nodes.get(0, &format!("{location}/events")).await;
    let events = events.text().await.unwrap();
    assert!(events.contains("event: final"), "{events}");
    let shown: Value = nodes.get(0, &location).await.json().await.unwrap();
    assert_eq!(
        (&shown["status"], &shown["transaction"]),
        (&json!("committed"), &told["transaction"])
    );
    let balance = nodes.get(0, "/accounts/fay").await;
    assert_eq!(balance.text().await.unwrap(), "1");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_says_so_where_no_validator_can_be_reached() {
    let mut nodes = one_node().await;
    nodes.network.stop_from(2).await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let waiting = client.commit(&nodes, 0).await;
    assert_eq!(waiting.status(), 202);
    let location = header(&waiting, "location");
    nodes.network.stop_from(0).await;
    // Once the node has noticed that nobody is left.
    while nodes.json(0, &location).await["why"]["code"] != "layer1-unreachable" {}
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_waited_for_as_long_as_its_client_prefers_and_goes_on() {
    let mut nodes = one_node().await;
    let client = Anonymous {
        nodes: &nodes,
        session: None,
    };
    let opening = client.post(0, "/withdrawals", "open").await;
    let session = header(&opening, "plenary-session");
    let token = header(&opening, "plenary-session-token");
    nodes.network.stop_from(2).await;
    let url = nodes.url(0, &format!("/withdrawals/{session}"));
    let http = nodes.network.http.clone();
    let commit = |prefer: &str| {
        let commit = http.post(&url).header("prefer", prefer);
        let commit = commit.header("idempotency-key", "commit");
        commit.header("plenary-session-token", &token).send()
    };
    // Without a preference it would be ten seconds.
    for prefer in ["wait=0", "respond-async", "wait=1"] {
        let answer = tokio::time::timeout(Duration::from_secs(8), commit(prefer));
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), 202, "{prefer}");
        let location = format!("/plenary/v1/sessions/{session}");
        assert_eq!(header(&answer, "location"), location);
    }
    let (answer, ()) = futures::join!(commit("wait=60"), nodes.network.start_all());
    assert_eq!(header(&answer.unwrap(), "plenary-finality"), "final");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_for_a_commit_is_told_its_transaction() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let waiting = client.commit_within(&nodes, 0, "respond-async").await;
    assert_eq!(waiting.status(), 202);
    let hash = header(&waiting, "plenary-tx");
    let told: Value = waiting.json().await.unwrap();
    assert_eq!(told["transaction"], hash);
    assert_eq!(client.commit(&nodes, 0).await.status(), 200);
    let target = format!("/plenary/v1/sessions/{}", client.session.unwrap());
    assert_eq!(nodes.json(0, &target).await["transaction"], hash);
    nodes.stop().await;
}
