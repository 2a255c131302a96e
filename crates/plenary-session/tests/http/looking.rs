//! What is told of sessions: one by one, as events, in lists, and by validators.

use crate::nodes::{Client, header, one_node, problem};
use serde_json::{Value, json};

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
