//! The commands that look at a network and check what it says.

use crate::support::{Dev, Http, errors, eventually, json, ports, program, run, signal, text};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
};

/// Makes a network of validators alone that is not running.
fn init(out: &Path) -> Value {
    let ports = ports();
    json(
        [
            "testnet",
            "init",
            "--session-nodes",
            "0",
            "--out",
            text(out),
        ]
        .into_iter()
        .chain(ports.iter().map(String::as_str)),
    )
}

#[test]
fn the_demo_runs_the_seven_steps_at_both_layers_and_verifies_the_last_receipt() {
    let shown = json(["demo"]);
    let steps = shown["steps"].as_array().unwrap();
    let statuses: Vec<_> = steps
        .iter()
        .map(|step| step["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 202, 200, 202, 202, 202, 202]);
    for step in steps {
        assert!(step["layer1_ms"].as_f64() > Some(0.0) && step["layer2_ms"].as_f64() > Some(0.0));
    }
    // Of the session, only the commit is in a block.
    let heights = steps.iter().map(|step| step["height"].as_u64().is_some());
    let heights: Vec<_> = heights.collect();
    assert_eq!(heights, [false, false, false, false, false, false, true]);
    assert_eq!(steps[2]["route"], "GET /session/{id}/scan/{package_id}");
    assert_eq!(shown["receipt"]["transaction"], steps[6]["transaction"]);
    assert!(shown["receipt"]["signers"].as_array().unwrap().len() >= 3);
}

#[tokio::test]
async fn a_receipt_is_fetched_from_anyone_and_verified_by_anyone() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory.path().join("network"));
    let (_, committed) = Http::new().workflow(&dev.urls()[0]).await;
    let hash = committed["l1"]["tx_hash"].as_str().unwrap();
    let (url, genesis) = (&dev.urls()[3], dev.ready["genesis"].as_str().unwrap());
    let file = directory.path().join("receipt.json");
    eventually("a receipt at another validator", async || {
        let get = ["receipt", "get", hash, "--url", url, "--out", text(&file)];
        run(get).status.success().then_some(())
    })
    .await;
    let found = json(["tx", "get", hash, "--url", url]);
    assert_eq!(found["status"], "final");
    let (genesis_copy, other) = (
        directory.path().join("genesis.toml"),
        directory.path().join("other"),
    );
    fs::copy(genesis, &genesis_copy).unwrap();
    dev.stop("INT");

    let verified = json([
        "receipt",
        "verify",
        text(&file),
        "--genesis",
        text(&genesis_copy),
    ]);
    assert_eq!(verified["transaction"], hash);
    assert_eq!(
        verified["outcome"]["outcome"]
            .as_str()
            .or(verified["outcome"].as_str()),
        Some("committed")
    );
    init(&other);
    let strange = other.join("genesis.toml");
    let refused = run([
        "receipt",
        "verify",
        text(&file),
        "--genesis",
        text(&strange),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        errors(&refused).contains("of network"),
        "{}",
        errors(&refused)
    );
    let forged = fs::read_to_string(&file)
        .unwrap()
        .replace("\"index\": 0", "\"index\": 1");
    fs::write(&file, forged).unwrap();
    let refused = run([
        "receipt",
        "verify",
        text(&file),
        "--genesis",
        text(&genesis_copy),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        errors(&refused).contains("was altered"),
        "{}",
        errors(&refused)
    );
}

#[tokio::test]
async fn a_ledger_is_executed_again_and_tampering_is_located() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    Http::new().workflow(&dev.urls()[0]).await;
    dev.stop("INT");
    let data = directory.path().join("validator-0/data");
    let report = json(["ledger", "verify", "--data-dir", text(&data)]);
    assert_eq!(report["committed"], 7);
    assert!(report["height"].as_u64() >= Some(7));

    let ledger = data.join("ledger");
    let mut bytes = fs::read(&ledger).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&ledger, bytes).unwrap();
    let refused = run(["ledger", "verify", "--data-dir", text(&data)]);
    assert_eq!(refused.status.code(), Some(1));
    let said = errors(&refused);
    assert!(
        said.contains("does not hold") && said.contains("byte"),
        "{said}"
    );
}

#[tokio::test]
async fn call_signs_what_a_network_takes_only_signed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("network");
    let made = init(&out);
    let nodes = made["validators"].as_array().unwrap().iter().map(|node| {
        program(["start", "--config", node["config"].as_str().unwrap()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let nodes: Vec<_> = nodes.collect();
    eventually("four ready validators", async || {
        let status = run(["--json", "status", "--data-dir", text(&out)]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let validators = status.as_array().unwrap();
        validators
            .iter()
            .all(|one| one["ready"] == true)
            .then_some(())
    })
    .await;
    let call = [
        "call",
        "post",
        "/session/test-package",
        "--data-dir",
        text(&out),
    ];
    let made = json(call.into_iter().chain(["--nonce", "first"]));
    assert_eq!(made["status"], 202);
    let again = json(call.into_iter().chain(["--nonce", "first"]));
    assert_eq!(again["body"], made["body"]);
    let unsigned = run(call.into_iter().chain(["--unsigned"]));
    assert_eq!(unsigned.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unsigned.stdout).contains("401"));
    for mut node in nodes {
        signal("TERM", node.id().into());
        assert!(node.wait().unwrap().success());
    }
    let status = run(["status", "--data-dir", text(&out)]);
    assert_eq!(status.status.code(), Some(1));
    assert!(
        errors(&status).contains("is the network running"),
        "{}",
        errors(&status)
    );
}

#[test]
fn a_node_that_cannot_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    let (one, other) = (init(&one), init(&other));
    let config = |made: &Value| made["validators"][0]["config"].as_str().unwrap().to_owned();
    let (one_config, other_config) = (config(&one), config(&other));

    let address = one["validators"][0]["http"].as_str().unwrap();
    let taken = TcpListener::bind(address).unwrap();
    let refused = run(["start", "--config", &one_config]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains(address), "{}", errors(&refused));
    drop(taken);

    // The data of one network is none for another.
    let mut node = program(["start", "--config", &one_config])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(node.stderr.take().unwrap());
    let mut lines = log.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("started")));
    signal("TERM", node.id().into());
    assert!(lines.any(|line| line.contains("stopping")));
    assert!(node.wait().unwrap().success());
    let data = Path::new(&one_config).with_file_name("data");
    let refused = run([
        "start",
        "--config",
        &other_config,
        "--data-dir",
        text(&data),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    let hash = one["genesis_hash"].as_str().unwrap();
    assert!(errors(&refused).contains(hash), "{}", errors(&refused));
}

#[test]
fn a_configuration_is_checked_and_flags_and_environment_win_over_it() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("network");
    let made = init(&out);
    let config = made["validators"][2]["config"].as_str().unwrap();
    let checked = json(["config", "check", "--config", config]);
    assert_eq!(checked["name"], "validator-2");
    assert_eq!(checked["key"], made["validators"][2]["key"]);

    let mut check = program(["--json", "config", "check", "--config", config]);
    check.env("PLENARY_HTTP", "127.0.0.1:1");
    let seen = |output: std::process::Output| -> Value {
        assert!(output.status.success(), "{}", errors(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(seen(check.output().unwrap())["http"], "127.0.0.1:1");
    check.args(["--http", "127.0.0.1:2"]);
    assert_eq!(seen(check.output().unwrap())["http"], "127.0.0.1:2");

    let text = fs::read_to_string(config)
        .unwrap()
        .replace("data_dir", "datadir");
    fs::write(config, text).unwrap();
    let refused = run(["config", "check", "--config", config]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        errors(&refused).contains("did you mean `data_dir`?"),
        "{}",
        errors(&refused)
    );
    let refused = run(["--json", "config", "check", "--config", config]);
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert!(error["error"].to_string().contains("did you mean"));
}

#[test]
fn keys_are_made_shown_and_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.key");
    let made = json(["keys", "new", "--out", text(&file)]);
    let shown = json(["keys", "show", text(&file)]);
    assert_eq!(made, shown);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        run(["keys", "new", "--out", text(&file)]).status.code(),
        Some(1)
    );
    assert_eq!(json(["keys", "show", text(&file)]), shown);
}

#[test]
fn wrong_arguments_are_told_apart_from_failures() {
    assert_eq!(run(["receipt", "verify"]).status.code(), Some(2));
    assert_eq!(run(["--version"]).status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nothing");
    let lost = run(["status", "--data-dir", text(&nowhere)]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(errors(&lost).contains("--url"), "{}", errors(&lost));
}
