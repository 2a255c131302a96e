//! Problems are RFC 9457, and carry what a client needs to act.

use plenary_types::{Problem, Stage, TransactionHash, problem::PROBLEM_JSON};
use serde_json::json;

fn problem() -> Problem {
    Problem::not_found("package", "PKG-9")
        .at(Stage::Layer1)
        .retryable()
        .about(TransactionHash([1; 32]))
        .with("package", "PKG-9")
}

#[test]
fn a_problem_has_the_members_of_rfc_9457_and_ours() {
    let response = problem().to_response();
    assert_eq!(
        (response.status, response.content_type.as_str()),
        (404, PROBLEM_JSON)
    );
    assert_eq!(response.check(), Ok(()));
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        body,
        json!({
            "type": "urn:plenary:problem:unknown-package",
            "title": "Unknown package",
            "status": 404,
            "detail": "there is no package PKG-9",
            "code": "unknown-package",
            "stage": "layer1",
            "retryable": true,
            "tx_hash": "01".repeat(32),
            "package": "PKG-9",
        })
    );
    let read: Problem = serde_json::from_value(body).unwrap();
    assert_eq!(read, problem());
    assert_eq!(
        read.to_string(),
        "404 unknown-package: there is no package PKG-9"
    );
}

#[test]
fn members_of_a_service_cannot_stand_in_for_those_that_every_problem_has() {
    let forged = problem().with("status", 200).with("tx_hash", "none");
    assert_eq!(forged, problem());
}
