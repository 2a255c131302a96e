//! The commands that measure.

use crate::support::{errors, json, run, text};
use serde_json::Value;
use std::fs;

#[test]
fn latency_is_measured_at_both_layers_and_a_second_run_measures_nothing_again() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("results");
    let command = |iterations| {
        let sizes = [
            "bench",
            "latency",
            "--l1",
            "4",
            "--l2",
            "1",
            "--out",
            text(&out),
        ];
        let rounds = ["--iterations", iterations, "--warm-up", "1"];
        sizes.into_iter().chain(rounds)
    };
    let summary = json(command("2"));
    assert_eq!(summary["complete"], true);
    let one = &summary["configurations"][0];
    for mode in ["sessions", "direct"] {
        assert_eq!(one[mode]["completed"], 2);
        assert_eq!(one[mode]["failed"], 0);
        assert_eq!(one[mode]["steps"].as_array().unwrap().len(), 7);
    }
    let kept: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(kept, summary);

    let table = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let rows = |name: &str| {
        let rows = table(name);
        let rows = rows.lines().skip(1).map(|row| {
            let fields = row.split(',').map(str::to_owned);
            fields.collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>()
    };
    let layers = |name: &str| {
        let rows = rows(name);
        rows.iter().map(|row| row[4].clone()).collect::<Vec<_>>()
    };
    // Of the session, only the commit goes through consensus.
    let workflow = ["L2", "L2", "L2", "L2", "L2", "L2", "L1"];
    assert_eq!(layers("4-1.csv"), [workflow, workflow].concat());
    assert_eq!(layers("4-1-direct.csv"), ["L1"; 14]);
    for row in rows("4-1.csv").iter().chain(&rows("4-1-direct.csv")) {
        assert_eq!(row[6].parse::<u64>().is_ok(), row[4] == "L1", "{row:?}");
    }
    assert_eq!(rows("4-1.csv")[2][3], "/session/{id}/scan/{package_id}");
    for figure in ["endpoints", "endpoints-direct", "layers", "workflow"] {
        assert!(table(&format!("{figure}.svg")).contains("</svg>"));
        assert!(out.join(format!("{figure}.png")).exists());
    }

    let before = table("4-1.csv");
    assert_eq!(json(command("2")), summary);
    assert_eq!(table("4-1.csv"), before);
    let refused = run(command("3"));
    assert_eq!(refused.status.code(), Some(1));
    let said = errors(&refused);
    assert!(said.contains("iterations is 2 there and 3 here"), "{said}");
}
