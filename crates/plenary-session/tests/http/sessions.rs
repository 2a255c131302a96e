//! Sessions as clients live through them.

use crate::nodes::{Client, Nodes, post};
use plenary_session::{node::Bounds, participation::Participation};
use plenary_types::{Genesis, Problem, Receipt, genesis::ClientSignatures};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;

fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name);
    let value = value.unwrap_or_else(|| panic!("no {name}: {answer:?}"));
    value.to_str().unwrap().to_owned()
}

async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn one_node() -> Nodes {
    Nodes::start(1, ClientSignatures::Optional, Bounds::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_by_a_services_own_routes_is_answered_step_by_step_and_committed_whole() {
    let nodes = one_node().await;
    let deposit = nodes
        .network
        .http
        .post(nodes.url(0, "/accounts/ann/deposits"));
    let deposit = deposit.json(&10).send().await.unwrap();
    assert_eq!(header(&deposit, "plenary-finality"), "final");

    let mut client = Client::new(1);
    client.step(&nodes, 0, "/withdrawals", &Value::Null).await;
    let session = client.session.unwrap();
    let target = format!("/withdrawals/{session}/ann");
    assert_eq!(client.step(&nodes, 0, &target, &json!(3)).await, 7);
    assert_eq!(client.step(&nodes, 0, &target, &json!(2)).await, 5);
    // Nothing of it is in the state yet, but the session sees it.
    assert_eq!(
        nodes.get(0, "/accounts/ann").await.text().await.unwrap(),
        "10"
    );
    let mut read = post("/accounts/ann", &Value::Null);
    (read.method, read.body) = (plenary_types::Method::Get, Default::default());
    let own = client.send(&nodes, 0, &read, "read", false).await;
    assert_eq!(own.text().await.unwrap(), "5");

    let last = post(&format!("/withdrawals/{session}"), &Value::Null);
    let answer = client.send(&nodes, 0, &last, "last", true).await;
    assert_eq!(header(&answer, "plenary-finality"), "final");
    let (height, hash) = (
        header(&answer, "plenary-height"),
        header(&answer, "plenary-tx"),
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["sum"], 5);
    assert_eq!(body["l1"]["block_height"].to_string(), height);
    assert_eq!(
        nodes.get(0, "/accounts/ann").await.text().await.unwrap(),
        "5"
    );

    let receipt = nodes.get(0, &format!("/plenary/v1/receipts/{hash}")).await;
    let receipt: Receipt = receipt.json().await.unwrap();
    receipt.verify(&nodes.network.genesis).unwrap();
    let at_validator = nodes
        .network
        .get(1, &format!("/plenary/v1/transactions/{hash}"))
        .await;
    assert_eq!(at_validator.status(), 200);

    // A retry, here and after the session is forgotten, has the same answer.
    let again = client.send(&nodes, 0, &last, "last", true).await;
    assert_eq!(header(&again, "plenary-tx"), hash);
    assert_eq!(again.json::<Value>().await.unwrap(), body);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_any_service_is_opened_committed_and_shown_by_the_frameworks_routes() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    let opened = client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let session = client.session.unwrap();
    assert_eq!(opened["session"], session.to_string());
    client
        .step(&nodes, 0, "/accounts/bob/deposits", &json!(4))
        .await;
    let shown = nodes
        .get(0, &format!("/plenary/v1/sessions/{session}"))
        .await;
    let shown: Value = shown.json().await.unwrap();
    assert_eq!(shown["status"], "open");
    assert_eq!(shown["operations"].as_array().unwrap().len(), 2);
    let listed: Value = nodes
        .get(0, "/plenary/v1/sessions?status=open")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(listed["sessions"][0]["session"], session.to_string());

    let answer = client.commit(&nodes, 0).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], "committed");
    let receipt: Receipt = serde_json::from_value(body["receipt"].clone()).unwrap();
    receipt.verify(&nodes.network.genesis).unwrap();
    assert_eq!(
        nodes.get(0, "/accounts/bob").await.text().await.unwrap(),
        "4"
    );
    let shown = nodes
        .get(0, &format!("/plenary/v1/sessions/{session}"))
        .await;
    assert_eq!(shown.json::<Value>().await.unwrap()["status"], "committed");
    nodes.stop().await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_sign_owns_its_session_by_a_token() {
    let nodes = one_node().await;
    let http = &nodes.network.http;
    let opened = http.post(nodes.url(0, "/withdrawals"));
    let opened = opened
        .header("idempotency-key", "mine")
        .send()
        .await
        .unwrap();
    let (session, token) = (
        header(&opened, "plenary-session"),
        header(&opened, "plenary-session-token"),
    );
    let again = http.post(nodes.url(0, "/withdrawals"));
    let again = again
        .header("idempotency-key", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&again, "plenary-session-token"), token);

    let commit = || http.post(nodes.url(0, &format!("/withdrawals/{session}")));
    let foreign = commit().send().await.unwrap();
    assert_eq!(problem(foreign).await, (403, "foreign-session".into()));
    let own = commit()
        .header("plenary-session-token", token)
        .send()
        .await
        .unwrap();
    assert_eq!(header(&own, "plenary-finality"), "final");
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

/// A client that does not sign, and its session once it has opened one.
struct Anonymous<'a> {
    nodes: &'a Nodes,
    session: Option<(String, String)>,
}

impl Anonymous<'_> {
    /// Sends a request to a node with an `Idempotency-Key`, until enough nodes agree.
    async fn post(&self, node: usize, target: &str, key: &str) -> Response {
        loop {
            let http = self.nodes.network.http.post(self.nodes.url(node, target));
            let mut http = http.header("idempotency-key", key);
            if let Some((session, token)) = &self.session {
                http = http.header("plenary-session", session);
                http = http.header("plenary-session-token", token);
            }
            let answer = http.json(&3).send().await.unwrap();
            if answer.status() != 503 {
                return answer;
            }
        }
    }
}

/// The token was made of the secret of the node that gave it out: who had no answer to the opening
/// before that node died got the session from another one, and not the token to go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_the_same_key_has_the_same_answer_at_another_node_and_after_a_restart() {
    let bounds = Bounds {
        participation: Participation::Majority,
        ..Bounds::default()
    };
    let mut nodes = Nodes::start(3, ClientSignatures::Optional, bounds).await;
    let mut client = Anonymous {
        nodes: &nodes,
        session: None,
    };
    let opening = client.post(0, "/plenary/v1/sessions", "open").await;
    let (session, token) = (
        header(&opening, "plenary-session"),
        header(&opening, "plenary-session-token"),
    );
    client.session = Some((session.clone(), token.clone()));
    let step = client.post(0, "/accounts/gus/deposits", "step").await;
    let first = (
        header(&step, "plenary-sequence"),
        step.text().await.unwrap(),
    );
    assert_eq!(first, ("1".into(), "3".into()));

    let dead = nodes.nodes.remove(0);
    dead.stop().await;
    // What was node 1.
    for restarted in [false, true] {
        if restarted {
            nodes.settings.remove(0);
            nodes.restart(0).await;
        }
        let mut client = Anonymous {
            nodes: &nodes,
            session: None,
        };
        let again = client.post(0, "/plenary/v1/sessions", "open").await;
        assert_eq!(header(&again, "plenary-session-token"), token);
        client.session = Some((session.clone(), token.clone()));
        let again = client.post(0, "/accounts/gus/deposits", "step").await;
        let again = (
            header(&again, "plenary-sequence"),
            again.text().await.unwrap(),
        );
        assert_eq!(again, first, "restarted: {restarted}");
        // Who does not know the key gets nothing of it.
        client.session = None;
        let other = client.post(0, "/plenary/v1/sessions", "another").await;
        assert_ne!(header(&other, "plenary-session-token"), token);
    }

    let client = Anonymous {
        nodes: &nodes,
        session: Some((session.clone(), token)),
    };
    let target = format!("/plenary/v1/sessions/{session}/commit");
    let mut transactions = Vec::new();
    for node in [0, 1, 0] {
        let committed = client.post(node, &target, "commit").await;
        assert_eq!(committed.status(), 200);
        transactions.push(header(&committed, "plenary-tx"));
    }
    transactions.dedup();
    assert_eq!(transactions.len(), 1);
    nodes.stop().await;
}

/// Who knew a session's name read what it had written and not committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_has_written_is_for_its_owner_to_read() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    client
        .step(&nodes, 0, "/accounts/hal/deposits", &json!(4))
        .await;
    let mut read = post("/accounts/hal", &Value::Null);
    (read.method, read.body) = (plenary_types::Method::Get, Default::default());
    read.content_type.clear();
    let own = client.send(&nodes, 0, &read, "read", false).await;
    assert_eq!(own.text().await.unwrap(), "4");
    let mut stranger = Client::new(2);
    stranger.session = client.session;
    let foreign = stranger.send(&nodes, 0, &read, "read", false).await;
    assert_eq!(problem(foreign).await, (403, "foreign-session".into()));

    let mut client = Anonymous {
        nodes: &nodes,
        session: None,
    };
    let opening = client.post(0, "/plenary/v1/sessions", "open").await;
    let (session, token) = (
        header(&opening, "plenary-session"),
        header(&opening, "plenary-session-token"),
    );
    client.session = Some((session.clone(), token.clone()));
    client.post(0, "/accounts/hal/deposits", "step").await;
    let read = || {
        let read = nodes.network.http.get(nodes.url(0, "/accounts/hal"));
        read.header("plenary-session", &session)
    };
    let own = read().header("plenary-session-token", token).send().await;
    assert_eq!(own.unwrap().text().await.unwrap(), "3");
    let foreign = read().send().await.unwrap();
    assert_eq!(problem(foreign).await, (403, "foreign-session".into()));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_step_is_refused_with_its_code() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    client.step(&nodes, 0, "/withdrawals", &Value::Null).await;
    let session = client.session.unwrap();
    let target = format!("/withdrawals/{session}/ann");

    let refused = client
        .send(&nodes, 0, &post(&target, &json!(1)), "poor", false)
        .await;
    assert_eq!(problem(refused).await, (409, "overdrawn".into()));
    let mut stranger = Client::new(2);
    stranger.session = client.session;
    stranger.chain = client.chain;
    let foreign = stranger
        .send(&nodes, 0, &post(&target, &json!(0)), "1", false)
        .await;
    assert_eq!(problem(foreign).await, (403, "foreign-session".into()));
    let unknown = format!("/withdrawals/{}/ann", "0".repeat(64));
    let unknown = client
        .send(&nodes, 0, &post(&unknown, &json!(0)), "2", false)
        .await;
    assert_eq!(problem(unknown).await, (404, "unknown-session".into()));
    let last = post(&format!("/withdrawals/{session}"), &Value::Null);
    let unsigned = client.send(&nodes, 0, &last, "3", false).await;
    assert_eq!(problem(unsigned).await, (428, "commitment-required".into()));
    let mut elsewhere = Client::new(1);
    elsewhere.session = client.session;
    let behind = elsewhere
        .send(&nodes, 0, &post(&target, &json!(0)), "4", false)
        .await;
    assert_eq!(problem(behind).await, (409, "chain-differs".into()));
    let reused = client
        .send(&nodes, 0, &post(&target, &json!(0)), "nonce-1", false)
        .await;
    assert_eq!(problem(reused).await, (422, "nonce-reused".into()));

    assert_eq!(client.abort(&nodes, 0).await.status(), 200);
    let over = client
        .send(&nodes, 0, &post(&target, &json!(0)), "6", false)
        .await;
    assert_eq!(problem(over).await, (410, "session-over".into()));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_endorses_every_step_and_goes_on_where_the_first_stopped() {
    let bounds = Bounds {
        participation: Participation::All,
        ..Bounds::default()
    };
    let mut nodes = Nodes::start(2, ClientSignatures::Required, bounds).await;
    let mut client = Client::new(1);
    // The nodes find each other within the time that a step waits.
    let opening = post("/withdrawals", &Value::Null);
    let mut answer = client.send(&nodes, 0, &opening, "open", false).await;
    while answer.status() == 503 {
        answer = client.send(&nodes, 0, &opening, "open", false).await;
    }
    assert_eq!(header(&answer, "plenary-finality"), "replicated");
    client.take(answer).await;
    let session = client.session.unwrap();
    client
        .step(&nodes, 0, &format!("/withdrawals/{session}/ann"), &json!(0))
        .await;

    let settings = nodes.settings[1].clone();
    let first = nodes.nodes.remove(0);
    first.stop().await;
    // Alone, the second asks for nobody else.
    let second = nodes.nodes.remove(0);
    second.stop().await;
    let alone = plenary_session::Settings {
        bounds: Bounds::default(),
        ..settings
    };
    let second = plenary_session::start(crate::bank::service(), alone)
        .await
        .unwrap();
    nodes.nodes.push(second);

    client
        .step(&nodes, 0, &format!("/withdrawals/{session}/ann"), &json!(0))
        .await;
    let last = post(&format!("/withdrawals/{session}"), &Value::Null);
    let answer = client.send(&nodes, 0, &last, "last", true).await;
    assert_eq!(header(&answer, "plenary-finality"), "final");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_version_delays_no_step_that_does_not_need_it() {
    let bounds = Bounds {
        participation: Participation::Any(2),
        ..Bounds::default()
    };
    let mut nodes = Nodes::start(3, ClientSignatures::Required, bounds).await;
    nodes.nodes.remove(2).stop().await;
    let newer = nodes.network.genesis.to_toml().unwrap();
    let newer = Genesis::from_toml(&newer.replace("1.0.0", "1.1.0")).unwrap();
    let mut settings = nodes.settings[2].clone();
    settings.genesis = newer.into();
    settings.data_dir.push("newer");
    let other = plenary_session::start(crate::bank::version("1.1.0"), settings);
    let other = other.await.unwrap();

    let mut client = Client::new(1);
    let opening = post("/plenary/v1/sessions", &Value::Null);
    let mut answer = client.send(&nodes, 0, &opening, "open", false).await;
    while answer.status() == 503 {
        answer = client.send(&nodes, 0, &opening, "open", false).await;
    }
    client.take(answer).await;
    let step = post("/accounts/ned/deposits", &json!(1));
    let answer = client.send(&nodes, 0, &step, "step", false).await;
    assert_eq!(header(&answer, "plenary-finality"), "replicated");
    client.take(answer).await;
    let status = nodes.get(0, "/plenary/v1/status").await;
    let status: Value = status.json().await.unwrap();
    assert_eq!(status["peers"], json!(["session-1"]));

    // Without the one that runs the same there are too few.
    nodes.nodes.remove(1).stop().await;
    let alone = client.send(&nodes, 0, &step, "alone", false).await;
    assert_eq!(problem(alone).await, (503, "participation".into()));
    other.stop().await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_has_every_acknowledged_step() {
    let mut nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    client
        .step(&nodes, 0, "/accounts/dora/deposits", &json!(4))
        .await;
    nodes.restart(0).await;
    assert_eq!(
        client
            .step(&nodes, 0, "/accounts/dora/deposits", &json!(4))
            .await,
        8
    );
    let answer = client.commit(&nodes, 0).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_too_much_to_do_says_when_to_come_back_harms_nobody_and_serves_again() {
    let bounds = Bounds {
        requests: 1,
        ..Bounds::default()
    };
    let mut nodes = Nodes::start(1, ClientSignatures::Optional, bounds).await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    // Takes the one place, and waits in it until layer 1 has a quorum.
    nodes.network.stop_from(2).await;
    let (http, url) = (
        nodes.network.http.clone(),
        nodes.url(0, "/accounts/kim/deposits"),
    );
    let working = tokio::spawn(async move {
        loop {
            let deposit = http.post(&url).header("prefer", "wait=60").json(&2);
            let answer = deposit.send().await.unwrap();
            if answer.status() != 429 {
                return answer;
            }
        }
    });
    while nodes.get(0, "/accounts/lou").await.status() != 429 {}
    let step = post("/accounts/lou/deposits", &json!(3));
    let refused = client.send(&nodes, 0, &step, "step", false).await;
    assert_eq!(header(&refused, "retry-after"), "1");
    assert_eq!(problem(refused).await, (429, "overloaded".into()));
    let status = nodes.get(0, "/plenary/v1/status").await;
    assert_eq!(status.status(), 200, "who only looks is served");

    nodes.network.start_all().await;
    let working = working.await.unwrap();
    assert_eq!(header(&working, "plenary-finality"), "final");
    assert_eq!(working.text().await.unwrap(), "2");
    let step = client.send(&nodes, 0, &step, "step", false).await;
    assert_eq!(client.take(step).await, 3);
    assert_eq!(client.commit(&nodes, 0).await.status(), 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_events_come_as_they_happen_and_go_on_after_the_last_seen() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    client
        .step(&nodes, 0, "/accounts/eve/deposits", &json!(1))
        .await;
    assert_eq!(client.commit(&nodes, 0).await.status(), 200);
    let mut late = Client::new(2);
    late.step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let session = late.session.unwrap();
    let target = format!("/plenary/v1/sessions/{session}/events");
    assert_eq!(late.abort(&nodes, 0).await.status(), 200);
    // The stream ends with the session.
    let all = nodes.get(0, &target).await.text().await.unwrap();
    let names: Vec<&str> = all
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["simulated", "aborted"]);
    let id = all
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    let rest = nodes
        .network
        .http
        .get(nodes.url(0, &target))
        .header("last-event-id", id);
    let rest = rest.send().await.unwrap().text().await.unwrap();
    assert!(
        rest.contains("event: aborted") && !rest.contains("event: simulated"),
        "{rest}"
    );
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_knows_what_became_of_a_session() {
    let nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let target = format!("/plenary/v1/sessions/{}", client.session.unwrap());
    assert_eq!(nodes.network.get(2, &target).await.status(), 404);
    let committed = client.commit(&nodes, 0).await;
    let hash = header(&committed, "plenary-tx");
    for validator in 0..4 {
        let url = nodes.network.url(validator, &target);
        let height = header(&committed, "plenary-height");
        let request = nodes.network.http.get(url).header("plenary-height", height);
        let told: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(
            (&told["status"], &told["transaction"]),
            (&json!("committed"), &json!(hash))
        );
    }
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

/// The members of a text of server-sent events that have a name, in order.
fn members<'a>(events: &'a str, name: &str) -> Vec<&'a str> {
    let lines = events.lines();
    lines.filter_map(|line| line.strip_prefix(name)).collect()
}

/// The node forgets a committed session for the ledger. A client whose stream had broken just before
/// was answered 404 from then on, and never heard of the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_before_the_end_is_resumed_with_it_for_as_long_as_there_is_a_ledger() {
    let mut nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    let target = format!("/plenary/v1/sessions/{}/events", client.session.unwrap());
    let mut broken = nodes.get(0, &target).await;
    let mut seen = String::new();
    while !seen.contains("\n\n") {
        seen += std::str::from_utf8(&broken.chunk().await.unwrap().unwrap()).unwrap();
    }
    drop(broken);
    assert_eq!(members(&seen, "event: "), ["simulated"]);
    let id = members(&seen, "id: ")[0].to_owned();
    let committed = client.commit(&nodes, 0).await;
    let place = ["plenary-tx", "plenary-height"].map(|name| header(&committed, name));

    let mut seen = vec![id];
    for restarted in [false, true] {
        if restarted {
            nodes.restart(0).await;
        }
        nodes.forgotten(0).await;
        // After what it had seen, after the end itself, and from the beginning.
        for after in [seen.first().cloned(), seen.last().cloned(), None] {
            let request = nodes.network.http.get(nodes.url(0, &target));
            let request = match &after {
                Some(id) => request.header("last-event-id", id),
                None => request,
            };
            let rest = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(members(&rest, "event: ").last(), Some(&"final"), "{rest}");
            let told = members(&rest, "data: ");
            let told: Value = serde_json::from_str(told.last().unwrap()).unwrap();
            let told = [&told["transaction"], &told["height"]]
                .map(|member| member.to_string().trim_matches('"').to_owned());
            assert_eq!(told, place);
            let number = |id: &str| id.split_once('-').unwrap().1.parse::<usize>().unwrap();
            let id = (*members(&rest, "id: ").last().unwrap()).to_owned();
            if let Some(after) = after {
                assert!(number(&id) > number(&after), "{id} goes on from {after}");
                seen.push(id);
            }
        }
    }
    nodes.stop().await;
}

/// A quarter of a second after its commit a session's description had lost its steps: the node had
/// forgotten them, and the ledger was not asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_committed_session_is_described_whole_and_the_same_for_ever() {
    let mut nodes = one_node().await;
    let mut client = Client::new(1);
    client
        .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
        .await;
    client
        .step(&nodes, 0, "/accounts/gil/deposits", &json!(4))
        .await;
    let session = client.session.unwrap();
    let committed = client.commit(&nodes, 0).await;
    let target = format!("/plenary/v1/sessions/{session}");
    let at_once = nodes.json(0, &target).await;
    assert_eq!(at_once["status"], "committed");
    assert_eq!(at_once["owner"], json!(client.key.public_key()));
    assert_eq!(at_once["chain"], client.chain.to_string());
    assert_eq!(at_once["transaction"], header(&committed, "plenary-tx"));
    assert_eq!(
        at_once["height"].to_string(),
        header(&committed, "plenary-height")
    );
    let steps = at_once["operations"].as_array().unwrap();
    let targets: Vec<_> = steps.iter().map(|step| &step["target"]).collect();
    assert_eq!(targets, ["/plenary/v1/sessions", "/accounts/gil/deposits"]);
    for (sequence, step) in steps.iter().enumerate() {
        assert_eq!(
            (&step["sequence"], &step["finality"]),
            (&json!(sequence), &json!("final"))
        );
    }
    nodes.forgotten(0).await;
    assert_eq!(nodes.json(0, &target).await, at_once);
    nodes.restart(0).await;
    assert_eq!(nodes.json(0, &target).await, at_once);
    nodes.stop().await;
}

/// A page of a filtered list had up to twice as many entries as were asked for; a status that is none
/// was answered with an empty list; and the number of open sessions counted those that had ended.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_by_pages_and_by_status_and_the_open_ones_counted() {
    let nodes = one_node().await;
    let mut clients: Vec<Client> = (1..=7).map(Client::new).collect();
    for client in &mut clients {
        client
            .step(&nodes, 0, "/plenary/v1/sessions", &Value::Null)
            .await;
    }
    clients.sort_by_key(|client| client.session);
    assert_eq!(clients[1].abort(&nodes, 0).await.status(), 200);
    assert_eq!(clients[6].commit(&nodes, 0).await.status(), 200);
    let names = |of: &[Client]| -> Vec<String> {
        let names = of.iter().filter_map(|client| client.session);
        names.map(|session| session.to_string()).collect()
    };
    // What is committed is the ledger's.
    let all = names(&clients[..6]);
    let mut open = all.clone();
    let aborted = open.remove(1);

    for (filter, expected) in [
        ("", &all[..]),
        ("&status=open", &open[..]),
        ("&status=aborted", &[aborted][..]),
        ("&status=conflict", &[][..]),
    ] {
        for limit in [1, 2, 3, 100] {
            let (mut pages, mut after) = (Vec::new(), String::new());
            loop {
                let target = format!("/plenary/v1/sessions?limit={limit}{filter}{after}");
                let page = nodes.json(0, &target).await;
                let listed = page["sessions"].as_array().unwrap();
                let listed = listed.iter().map(|one| one["session"].as_str().unwrap());
                pages.push(listed.map(str::to_owned).collect::<Vec<_>>());
                match page["next"].as_str() {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            // Each page is full, but for the last.
            let full = expected.chunks(limit).map(<[String]>::to_vec);
            let full: Vec<_> = full.collect();
            assert_eq!(pages.concat(), expected, "{filter}, limit {limit}");
            assert_eq!(pages.len(), full.len().max(1), "{filter}, limit {limit}");
        }
    }
    for wrong in [
        "status=opened",
        "status=committed",
        "after=here",
        "limit=-1",
        "first=1",
    ] {
        let refused = nodes.get(0, &format!("/plenary/v1/sessions?{wrong}")).await;
        assert_eq!(
            problem(refused).await,
            (400, "malformed-query".into()),
            "{wrong}"
        );
    }
    assert_eq!(nodes.json(0, "/plenary/v1/status").await["sessions"], 5);
    nodes.stop().await;
}
