//! Sessions as clients live through them: opened, worked in, continued elsewhere.

use crate::nodes::{Anonymous, Client, Nodes, header, one_node, post, problem};
use plenary_session::{node::Bounds, participation::Participation};
use plenary_types::{Genesis, Receipt, genesis::ClientSignatures};
use serde_json::{Value, json};

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
