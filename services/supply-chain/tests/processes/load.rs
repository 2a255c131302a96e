//! `bench load`, `bench rest` and `bench catch-up`: that they measure what they say, and say what they
//! refuse. Nothing here asks how fast anything is.

use crate::support::{errors, json, program, run, signal, text};
use serde_json::Value;
use std::{fs, path::Path, process::Stdio};

/// The rows of a table, each field by its column.
fn rows(path: &Path) -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let fields = line.split(',').map(str::to_owned);
        let columns = columns.iter().map(|column| column.to_string());
        columns.zip(fields).collect()
    };
    lines.map(row).collect()
}

fn field<'a>(row: &'a [(String, String)], column: &str) -> &'a str {
    let found = row.iter().find(|(name, _)| name == column);
    &found.unwrap_or_else(|| panic!("no {column} in {row:?}")).1
}

#[test]
fn a_load_of_sessions_is_measured_in_full_and_nothing_fails() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("load");
    let value = json([
        "bench",
        "load",
        "--clients",
        "4",
        "--workflows",
        "12",
        "--warm-up",
        "1",
        "--receipts",
        "--out",
        text(&out),
    ]);
    let load = &value["loads"][0];
    assert_eq!(load["failures"].as_array().map(Vec::len), Some(0), "{load}");
    let done = |what: &str| load["done"][what].as_u64().unwrap();
    let (workflows, steps) = (done("workflows"), done("steps"));
    // What the four clients were in the middle of when measurement began and ended counts by its steps only.
    assert!(
        workflows >= 8 && steps.abs_diff(7 * workflows) <= 4 * 6,
        "{load}"
    );

    let loads = rows(&out.join("load.csv"));
    assert_eq!(loads.len(), 1);
    assert_eq!(field(&loads[0], "mode"), "session");
    assert_eq!(field(&loads[0], "failed"), "0");
    assert_eq!(field(&loads[0], "workflows"), workflows.to_string());
    let latencies = rows(&out.join("latencies.csv"));
    let whats: Vec<_> = latencies.iter().map(|row| field(row, "what")).collect();
    let kinds = ["step", "commit", "receipt", "workflow"];
    assert_eq!(whats[..4], kinds);
    assert_eq!(whats.len(), 4 + 7, "{whats:?}");
    // Every workflow that counts has one commit, whose receipt was checked.
    let count = |what: &str| {
        let row = latencies.iter().find(|row| field(row, "what") == what);
        field(row.unwrap(), "count").parse::<u64>().unwrap()
    };
    assert_eq!(count("commit"), count("workflow"));
    assert_eq!(count("receipt"), count("workflow"));
    assert_eq!(rows(&out.join("nodes.csv")).len(), 5);
    assert!(rows(&out.join("memory.csv")).len() >= 2 * 5);
    assert!(rows(&out.join("failures.csv")).is_empty());
    let disk = &load["disk_bytes_per_workflow"];
    assert!(disk["validators"].as_f64() > Some(0.0) && disk["session_nodes"].as_f64() > Some(0.0));
    #[cfg(target_os = "linux")]
    for link in ["between_validators", "between_layers", "with_clients"] {
        let bytes = load["wire_bytes_per_transaction"][link].as_f64();
        assert!(bytes > Some(1000.0), "{link}: {bytes:?}");
    }
}

#[test]
fn an_open_loop_plays_every_workflow_that_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("load");
    let value = json([
        "bench",
        "load",
        "--mode",
        "direct",
        "--unsigned",
        "--rate",
        "2,4",
        "--workflows",
        "6",
        "--warm-up",
        "1",
        "--clients",
        "8",
        "--out",
        text(&out),
    ]);
    for (load, rate) in value["loads"].as_array().unwrap().iter().zip([2.0, 4.0]) {
        assert_eq!(load["rate"].as_f64(), Some(rate));
        let workflow = load["latencies"].as_array().unwrap().last().unwrap();
        assert_eq!(workflow["what"], "workflow");
        assert_eq!(workflow["count"], 6, "{load}");
        assert_eq!(load["failures"].as_array().map(Vec::len), Some(0));
    }
    for figure in ["steps", "workflows"] {
        let svg = fs::read_to_string(out.join(format!("{figure}.svg"))).unwrap();
        assert!(svg.contains("direct, p99"), "{figure}");
        assert!(out.join(format!("{figure}.png")).is_file());
    }
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("load");
    let arguments = [
        "--json",
        "bench",
        "load",
        "--clients",
        "2",
        "--seconds",
        "3600",
        "--warm-up",
        "0",
        "--sample",
        "100ms",
        "--out",
        text(&out),
    ];
    let child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
    // Once workflows are done.
    let memory = out.join("memory.csv");
    let is_going_on = || {
        let text = fs::read_to_string(&memory).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        let workflows = last
            .split(',')
            .nth(3)
            .and_then(|field| field.parse::<u64>().ok());
        workflows > Some(0)
    };
    let start = std::time::Instant::now();
    while !is_going_on() {
        assert!(
            start.elapsed() < crate::support::DEADLINE,
            "no workflow is done"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    signal("INT", child.id().into());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    let value: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(value["loads"][0]["interrupted"], true);
    assert!(value["loads"][0]["done"]["workflows"].as_u64() > Some(0));
    let loads = rows(&out.join("load.csv"));
    assert_eq!(loads.len(), 1);
}

#[test]
fn a_validator_that_was_away_catches_up_and_rest_is_watched() {
    let caught_up = json(["bench", "catch-up", "--clients", "2", "--away", "1s"]);
    let one = &caught_up[0];
    assert_eq!(one["failed"], 0, "{one}");
    assert!(one["blocks_missed"].as_u64() > Some(0), "{one}");
    assert!(
        one["all_s"].as_f64() >= one["first_block_s"].as_f64(),
        "{one}"
    );

    let rest = json(["bench", "rest", "--settle", "0s", "--watch", "1s"]);
    assert!(rest["seconds"].as_f64() >= Some(1.0), "{rest}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let used = directory.path().join("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("load.csv"), "of another day").unwrap();
    let out = directory.path().join("load");
    let refused = [
        (vec!["--session-nodes", "0"], &out, "--session-nodes 1"),
        (vec!["--clients", "0"], &out, "1..=10000"),
        (vec!["--seconds", "0"], &out, "1..=86400"),
        (vec!["--rate", "0"], &out, "workflows a second"),
        (vec!["--rate", "NaN"], &out, "workflows a second"),
        (vec!["--rate", "5,10", "--ramp"], &out, "not at 2"),
        (vec!["--ramp", "1"], &out, "1.05"),
        (vec!["--rate", "5", "--clients", "1,2"], &out, "not 2"),
        (
            vec!["--workflows", "5", "--seconds", "5"],
            &out,
            "cannot be used with",
        ),
        (vec![], &used, "nothing is written over"),
    ];
    for (arguments, out, why) in refused {
        let all = ["bench", "load"].into_iter().chain(arguments);
        let output = run(all.chain(["--out", text(out)]));
        assert!(!output.status.success());
        assert!(errors(&output).contains(why), "{}", errors(&output));
    }
    assert!(!out.exists());
    let output = run(["bench", "catch-up", "--validators", "3"]);
    assert!(
        errors(&output).contains("stand still"),
        "{}",
        errors(&output)
    );
}
