//! `bench plain`: a session's steps beside the same handlers behind a plain web server.

use crate::support::{errors, json, run, text};
use serde_json::Value;
use std::fs;

fn measure(more: &[&str]) -> Value {
    let arguments = ["bench", "plain", "--rounds", "2", "--warm-up", "1"];
    json(arguments.into_iter().chain(more.iter().copied()))
}

#[test]
fn the_steps_of_a_session_are_compared_with_a_plain_server() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("plain.json");
    let shown = measure(&["--out", text(&out)]);
    let steps = shown["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| &step["step"]).collect();
    // The commit is not compared.
    let expected = [
        "Start Session",
        "Create Package",
        "Scan Package",
        "Validate Package",
        "Quality Check",
        "Label Package",
    ];
    assert_eq!(names, expected);
    for step in steps {
        for side in ["session", "plain"] {
            let number = |name: &str| step[side][name].as_f64().unwrap();
            assert!(number("p50_ms") > 0.0 && number("p99_ms") >= number("p50_ms"));
        }
    }
    assert_eq!(shown["signed"], true);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(kept, shown);
}

#[test]
fn a_client_that_does_not_sign_is_compared_as_well() {
    let shown = measure(&["--unsigned"]);
    assert_eq!(shown["signed"], false);
    assert!(shown["ratio"].as_f64() > Some(0.0));
}

#[test]
fn a_network_without_session_nodes_has_nothing_to_compare() {
    let refused = run(["bench", "plain", "--session-nodes", "0"]);
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
}
