//! `dev`: what it prints, how it ends, and that it resumes.

use crate::support::{Dev, Http, errors, eventually, is_released, ports, run, signal, text};
use serde_json::Value;
use std::{net::TcpListener, path::Path};

/// Checks that a package has left, for everyone: at once at the validator that was told so, and
/// in a moment at the others.
async fn shipped_everywhere(http: &Http, dev: &Dev, package: &str) {
    let shipped = async |url: &str| {
        let url = format!("{url}/package/{package}");
        let found = http.try_send("GET", &url, None, None).await.unwrap();
        found.status == 200 && found.body["status"].to_string().contains("shipped")
    };
    let urls = dev.urls();
    assert!(shipped(&urls[0]).await);
    for url in &urls {
        eventually("the package's departure at another validator", async || {
            shipped(url).await.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn one_command_runs_a_network_that_curl_can_use_until_ctrl_c() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    assert_eq!(dev.ready["network"], "supply-chain");
    assert_eq!(dev.urls().len(), 4);
    for path in ["genesis", "client_key"] {
        assert!(Path::new(dev.ready[path].as_str().unwrap()).is_file());
    }
    let http = Http::new();
    let (package, committed) = http.workflow(&dev.urls()[0]).await;
    let hash = committed["l1"]["tx_hash"].as_str().unwrap();
    let found = format!("{}/plenary/v1/transactions/{hash}", dev.urls()[0]);
    let found = http.get(&found).await;
    assert_eq!(found["height"], committed["l1"]["block_height"]);
    shipped_everywhere(&http, &dev, &package).await;
    let (urls, logs) = (dev.urls(), dev.each("log"));
    dev.stop("INT");
    for log in logs {
        assert!(is_released(Path::new(log.as_str().unwrap())));
    }
    for url in urls {
        assert!(http.try_send("GET", &url, None, None).await.is_none());
    }
}

#[tokio::test]
async fn a_network_resumes_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let http = Http::new();
    let dev = Dev::start(directory.path());
    let (package, first) = http.workflow(&dev.urls()[0]).await;
    let (urls, keys) = (dev.urls(), dev.each("key"));
    dev.stop("TERM");

    // Without connections to what is gone.
    let http = Http::new();
    let dev = Dev::start_with(directory.path(), &[]);
    assert_eq!((dev.urls(), dev.each("key")), (urls, keys));
    shipped_everywhere(&http, &dev, &package).await;
    let (_, second) = http.workflow(&dev.urls()[0]).await;
    let height = |committed: &Value| committed["l1"]["block_height"].as_u64().unwrap();
    assert!(height(&second) > height(&first));
    dev.stop("INT");
}

#[tokio::test]
async fn nothing_is_left_when_dev_is_killed_and_the_next_one_waits_for_that() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path());
    let urls = dev.urls();
    dev.child.kill().unwrap();
    dev.child.wait().unwrap();
    let mut next = Dev::start(directory.path());
    assert_eq!(next.urls(), urls);
    next.child.kill().unwrap();
    next.child.wait().unwrap();
    next.all_gone().await;
}

#[tokio::test]
async fn a_validator_that_dies_is_named_and_the_others_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path());
    signal("KILL", dev.each("pid")[2].as_u64().unwrap());
    let status = dev.child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    std::io::Read::read_to_string(dev.child.stderr.as_mut().unwrap(), &mut said).unwrap();
    let log = dev.each("log")[2].as_str().unwrap().to_owned();
    for part in ["validator-2 ended", "SIGKILL", &log, "started"] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
    dev.all_gone().await;
}

#[tokio::test]
async fn taken_ports_are_replaced_for_new_and_for_resumed_networks() {
    let directory = tempfile::tempdir().unwrap();
    let ports = ports();
    let first = format!("127.0.0.1:{}", ports[1]);
    let taken = TcpListener::bind(&first).unwrap();
    let dev = Dev::start_with(directory.path(), &ports.each_ref().map(String::as_str));
    let urls = dev.urls();
    assert!(!urls.contains(&format!("http://{first}")));
    drop(taken);
    dev.stop("INT");

    let address = urls[1].strip_prefix("http://").unwrap();
    let _taken = TcpListener::bind(address).unwrap();
    let dev = Dev::start_with(directory.path(), &[]);
    assert_ne!(dev.urls()[1], urls[1]);
    assert_eq!(dev.urls()[0], urls[0]);
    Http::new().workflow(&dev.urls()[0]).await;
    dev.stop("INT");
}

#[test]
fn a_second_dev_in_the_same_directory_is_refused_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path());
    let second = run(["dev", "--data-dir", text(directory.path())]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        errors(&second).contains("is running already"),
        "{}",
        errors(&second)
    );
    dev.stop("INT");
}

#[test]
fn a_network_of_another_size_is_not_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("network");
    let made = run(["testnet", "init", "--out", text(&out)]);
    assert!(made.status.success(), "{}", errors(&made));
    let dev = run(["dev", "--validators", "7", "--data-dir", text(&out)]);
    assert_eq!(dev.status.code(), Some(1));
    assert!(
        errors(&dev).contains("4 validators, not of 7"),
        "{}",
        errors(&dev)
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn nodes_leave_no_memory_in_arenas_that_they_do_not_need() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory.path().join("network"));
    let pids = dev.each("pid").into_iter();
    for pid in pids.chain(dev.each_of("session_nodes", "pid")) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let mut variables = environment.split(|byte| *byte == 0);
        assert!(variables.any(|variable| variable == b"MALLOC_ARENA_MAX=2"));
    }
    dev.stop("INT");
}
