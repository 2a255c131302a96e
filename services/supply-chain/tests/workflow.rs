//! The workflow as its users see it: what every step answers, and what is refused.
#![allow(missing_docs)]

use plenary::{
    service::testing::{TestResponse, TestService, TestSession},
    types::{Outcome, SessionId},
};
use serde_json::{Value, json};
use supply_chain::{
    model::{PACKAGES, PackageId, PackageStatus},
    service,
};

/// Where steps are sent: as transactions of their own, or into one session.
enum Client {
    Direct,
    Session(Box<TestSession>),
}

impl Client {
    fn get(&mut self, network: &mut TestService, target: &str) -> TestResponse {
        match self {
            Self::Direct => network.get(target),
            Self::Session(session) => session.get(network, target),
        }
    }

    fn post(&mut self, network: &mut TestService, target: &str, body: Value) -> TestResponse {
        match self {
            Self::Direct => network.post(target, body),
            Self::Session(session) => session.post(network, target, body),
        }
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn create(network: &mut TestService) -> String {
    text(
        &network.post("/session/test-package", None).expect(202),
        "package_id",
    )
}

fn start(network: &mut TestService, client: &mut Client) -> String {
    let body = json!({ "operator_id": "OPR-001" });
    let started = client.post(network, "/session/start", body).expect(201);
    assert_eq!(started["message"], "session started");
    text(&started, "id")
}

/// Runs the steps up to, not including, `end`, and returns the session, the package and the
/// signature that its scan showed.
fn until(network: &mut TestService, client: &mut Client, end: &str) -> (String, String, String) {
    let package = create(network);
    let id = start(network, client);
    let mut signature = String::new();
    for step in ["scan", "validate", "qc", "label", "commit"] {
        if step == end {
            break;
        }
        let answer = take(network, client, step, &id, &package, &signature);
        if step == "scan" {
            signature = text(&answer.json(), "supplier_signature");
        }
        assert!(answer.status() < 300, "{step}: {}", answer.json());
    }
    (id, package, signature)
}

fn take(
    network: &mut TestService,
    client: &mut Client,
    step: &str,
    id: &str,
    package: &str,
    signature: &str,
) -> TestResponse {
    let session = format!("/session/{id}/{step}");
    match step {
        "scan" => client.get(network, &format!("{session}/{package}")),
        "validate" => {
            let body = json!({ "package_id": package, "signature": signature });
            client.post(network, &session, body)
        }
        "qc" => client.post(network, &session, json!({ "passed": true, "issues": [] })),
        "label" => {
            let body = json!({ "destination": "Utrecht", "priority": "standard", "courier_id": "COU-001" });
            client.post(network, &session, body)
        }
        "commit" => client.post(
            network,
            &format!("/commit/{id}"),
            json!({ "operator_id": "OPR-001" }),
        ),
        other => panic!("no step {other}"),
    }
}

fn status(network: &TestService, package: &str) -> PackageStatus {
    let package = network.inspect(|cx| PACKAGES.get(cx, &PackageId::from(package)));
    package.expect("the package is there").status
}

fn whole_workflow(network: &mut TestService, client: &mut Client) -> String {
    let package = create(network);
    assert!(package.starts_with("PKG-"), "{package}");
    let id = start(network, client);
    assert!(id.parse::<SessionId>().is_ok(), "{id}");

    let scan = take(network, client, "scan", &id, &package, "").expect(200);
    assert_eq!(scan["source"], "SUP-001");
    assert_eq!(scan["package_id"], json!(package));
    assert_eq!(scan["next_step"], "validate");
    let item = &scan["expected_contents"][0];
    assert!(item["item_id"].is_string() && item["item"].is_string() && item["qty"].is_u64());
    let signature = text(&scan, "supplier_signature");

    let validated = take(network, client, "validate", &id, &package, &signature).expect(202);
    assert_eq!(
        validated,
        json!({
            "message": "package validated",
            "package_id": package,
            "supplier": "SUP-001",
            "session_id": id,
        })
    );
    let checked = take(network, client, "qc", &id, &package, "").expect(202);
    assert_eq!(checked["operator_id"], "OPR-001");
    assert_eq!(checked["package_id"], json!(package));
    assert!(text(&checked, "qc_record_id").starts_with("QCR-"));
    let labelled = take(network, client, "label", &id, &package, "").expect(202);
    assert!(text(&labelled, "label_id").starts_with("LBL-"));
    let committed = take(network, client, "commit", &id, &package, "").expect(202);
    assert_eq!(committed, json!({}));
    package
}

#[test]
fn the_declaration_is_right() {
    service().check().expect("the service starts");
}

#[test]
fn seven_steps_ship_a_package_in_direct_mode() {
    let mut network = TestService::new(service());
    let package = whole_workflow(&mut network, &mut Client::Direct);
    assert_eq!(network.height(), 7);
    assert!(matches!(
        status(&network, &package),
        PackageStatus::Shipped { .. }
    ));
    let shown = network.get(&format!("/package/{package}")).expect(200);
    assert_eq!(shown["status"]["status"], "shipped");
    assert_eq!(network.height(), 7, "a read makes no transaction");
}

#[test]
fn the_same_steps_ship_a_package_as_one_transaction() {
    let mut network = TestService::new(service());
    let mut client = Client::Session(Box::new(network.session()));
    let package = whole_workflow(&mut network, &mut client);
    assert_eq!(
        network.height(),
        1,
        "only the package's creation is committed yet"
    );
    assert_eq!(status(&network, &package), PackageStatus::Available);
    let Client::Session(session) = client else {
        return;
    };
    assert_eq!(session.commit(&mut network), Outcome::Committed);
    assert_eq!(network.height(), 2);
    assert!(matches!(
        status(&network, &package),
        PackageStatus::Shipped { .. }
    ));
}

#[test]
fn no_step_is_taken_out_of_order() {
    let steps = ["scan", "validate", "qc", "label", "commit"];
    for reached in steps {
        for step in steps.into_iter().filter(|step| *step != reached) {
            let mut network = TestService::new(service());
            let (id, package, signature) = until(&mut network, &mut Client::Direct, reached);
            let height = network.height();
            let answer = take(
                &mut network,
                &mut Client::Direct,
                step,
                &id,
                &package,
                &signature,
            );
            answer.expect_problem(409, "wrong-step");
            assert_eq!(answer.json()["next_step"], reached);
            assert_eq!(network.height(), height, "a refusal leaves no trace");
        }
    }
}

#[test]
fn a_committed_session_is_closed() {
    let mut network = TestService::new(service());
    let (id, package, signature) = until(&mut network, &mut Client::Direct, "end");
    for step in ["scan", "validate", "qc", "label", "commit"] {
        take(
            &mut network,
            &mut Client::Direct,
            step,
            &id,
            &package,
            &signature,
        )
        .expect_problem(409, "session-closed");
    }
}

#[test]
fn a_package_is_worked_on_by_one_session_and_shipped_once() {
    let mut network = TestService::new(service());
    let (id, package, _) = until(&mut network, &mut Client::Direct, "validate");
    let other = start(&mut network, &mut Client::Direct);
    let detail = take(
        &mut network,
        &mut Client::Direct,
        "scan",
        &other,
        &package,
        "",
    )
    .expect_problem(409, "package-in-work");
    assert!(detail.contains(&id), "{detail}");

    let (_, shipped, _) = until(&mut network, &mut Client::Direct, "end");
    take(
        &mut network,
        &mut Client::Direct,
        "scan",
        &other,
        &shipped,
        "",
    )
    .expect_problem(409, "package-shipped");
}

#[test]
fn of_two_sessions_on_one_package_the_later_conflicts_on_it() {
    let mut network = TestService::new(service());
    let package = create(&mut network);
    let mut sessions = [1, 2].map(|client| network.as_client(client).session());
    for session in &mut sessions {
        let start = json!({ "operator_id": "OPR-001" });
        let id = text(
            &session
                .post(&mut network, "/session/start", start)
                .expect(201),
            "id",
        );
        session
            .get(&mut network, &format!("/session/{id}/scan/{package}"))
            .expect(200);
    }
    let [first, second] = sessions;
    assert_eq!(first.commit(&mut network), Outcome::Committed);
    let key = PACKAGES
        .state_key(&PackageId::from(package))
        .expect("a short key");
    let conflict = Outcome::Conflict {
        step: 1,
        keys: vec![key],
    };
    assert_eq!(second.commit(&mut network), conflict);
}

#[test]
fn a_package_that_fails_its_check_is_never_shipped() {
    let mut network = TestService::new(service());
    let (id, package, signature) = until(&mut network, &mut Client::Direct, "qc");
    let failed = json!({ "passed": false, "issues": ["dented"] });
    let answer = network
        .post(&format!("/session/{id}/qc"), failed)
        .expect(202);
    assert_eq!(answer["message"], "quality check failed");
    take(
        &mut network,
        &mut Client::Direct,
        "label",
        &id,
        &package,
        &signature,
    )
    .expect_problem(409, "failed-quality-check");
    take(
        &mut network,
        &mut Client::Direct,
        "commit",
        &id,
        &package,
        &signature,
    )
    .expect(202);
    assert!(matches!(
        status(&network, &package),
        PackageStatus::Failed { .. }
    ));
    let other = start(&mut network, &mut Client::Direct);
    take(
        &mut network,
        &mut Client::Direct,
        "scan",
        &other,
        &package,
        &signature,
    )
    .expect_problem(409, "failed-quality-check");
}

#[test]
fn only_the_suppliers_signature_over_these_contents_validates() {
    let mut network = TestService::new(service());
    let (_, _, of_another_package) = until(&mut network, &mut Client::Direct, "validate");
    let (id, package, signature) = until(&mut network, &mut Client::Direct, "validate");
    let mut flipped = signature.clone();
    flipped.replace_range(..1, if signature.starts_with('0') { "1" } else { "0" });
    for wrong in [of_another_package.as_str(), &flipped, "", "not hexadecimal"] {
        take(
            &mut network,
            &mut Client::Direct,
            "validate",
            &id,
            &package,
            wrong,
        )
        .expect_problem(422, "bad-signature");
    }
    let other = create(&mut network);
    take(
        &mut network,
        &mut Client::Direct,
        "validate",
        &id,
        &other,
        &signature,
    )
    .expect_problem(409, "other-package");
    take(
        &mut network,
        &mut Client::Direct,
        "validate",
        &id,
        &package,
        &signature,
    )
    .expect(202);
}

#[test]
fn what_is_unknown_is_not_found() {
    let mut network = TestService::new(service());
    let post = |network: &mut TestService, target: &str, body| network.post(target, body);
    post(
        &mut network,
        "/session/start",
        json!({ "operator_id": "OPR-999" }),
    )
    .expect_problem(404, "unknown-operator");
    let nobody = SessionId([7; 32]);
    for step in ["scan", "validate", "qc", "label", "commit"] {
        take(
            &mut network,
            &mut Client::Direct,
            step,
            &nobody.to_string(),
            "PKG-1",
            "",
        )
        .expect_problem(404, "unknown-session");
        take(&mut network, &mut Client::Direct, step, "7", "PKG-1", "")
            .expect_problem(400, "invalid-session-id");
    }
    let id = start(&mut network, &mut Client::Direct);
    network
        .get(&format!("/session/{id}/scan/PKG-1"))
        .expect_problem(404, "unknown-package");
    network
        .get("/package/PKG-1")
        .expect_problem(404, "unknown-package");
    let (id, _, _) = until(&mut network, &mut Client::Direct, "label");
    let label = json!({ "destination": "Utrecht", "priority": "low", "courier_id": "COU-999" });
    post(&mut network, &format!("/session/{id}/label"), label)
        .expect_problem(404, "unknown-courier");
}

#[test]
fn bodies_that_are_wrong_are_refused_with_where_they_are() {
    let mut network = TestService::new(service());
    network
        .post("/session/start", None)
        .expect_problem(415, "unsupported-media-type");
    let detail = network
        .post("/session/start", json!({ "operator_id": 1 }))
        .expect_problem(422, "invalid-body");
    assert!(detail.contains("`operator_id`"), "{detail}");
    let (id, _, _) = until(&mut network, &mut Client::Direct, "label");
    let target = format!("/session/{id}/label");
    let label = json!({ "destination": "Utrecht", "priority": "soon", "courier_id": "COU-001" });
    network
        .post(&target, label)
        .expect_problem(422, "invalid-body");
    let label = json!({ "destination": " ", "priority": "low", "courier_id": "COU-001" });
    network
        .post(&target, label)
        .expect_problem(422, "invalid-destination");
}

#[test]
fn another_client_or_operator_cannot_go_on_with_a_session() {
    let mut network = TestService::new(service());
    let (id, package, signature) = until(&mut network, &mut Client::Direct, "commit");
    let other = json!({ "operator_id": "OPR-002" });
    network
        .post(&format!("/commit/{id}"), other)
        .expect_problem(409, "other-operator");
    network.as_client(2);
    take(
        &mut network,
        &mut Client::Direct,
        "commit",
        &id,
        &package,
        &signature,
    )
    .expect_problem(403, "other-client");
}

#[test]
fn without_a_demo_supplier_nobody_makes_packages() {
    let mut config = service().config().clone();
    config["demo_supplier"] = Value::Null;
    let mut network = TestService::with_config(service(), config);
    network
        .post("/session/test-package", None)
        .expect_problem(403, "no-demo-supplier");
}

#[test]
#[should_panic(expected = "demo_supplier.seed is not the private key of SUP-002")]
fn a_demo_supplier_with_another_suppliers_key_stops_the_network_before_it_starts() {
    let mut config = service().config().clone();
    config["demo_supplier"]["supplier"] = json!("SUP-002");
    TestService::with_config(service(), config);
}
