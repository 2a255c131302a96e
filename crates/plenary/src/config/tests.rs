//! What a configuration is told when something is wrong with it.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::network::{FirstPorts, Network, Plan};
use plenary_service::Service;
use plenary_types::{ServiceId, genesis::ClientSignatures};
use std::{fs, sync::Arc};

fn service() -> ServiceId {
    ServiceId {
        name: "ledger".into(),
        version: "1.0.0".into(),
    }
}

fn network(directory: &Path) -> Network {
    let plan = Plan {
        network: "test".into(),
        validators: 4,
        session_nodes: 2,
        clients: ClientSignatures::Required,
        service: Arc::new(Service::new("ledger", "1.0.0")),
        bounds: Bounds::default(),
        ports: FirstPorts::default(),
    };
    Network::create(directory, &plan).unwrap()
}

/// What is wrong with a node whose configuration is changed so.
fn wrong(change: impl FnOnce(&Network, String) -> String) -> String {
    wrong_of(0, change)
}

fn wrong_of(node: usize, change: impl FnOnce(&Network, String) -> String) -> String {
    let directory = tempfile::tempdir().unwrap();
    let network = network(directory.path());
    let path = &network.nodes[node].config.path;
    let text = change(&network, files::read(path).unwrap());
    fs::write(path, text).unwrap();
    let config = Config::load(path, &Overrides::default());
    let error = config.and_then(|config| config.node(&service()));
    error.unwrap_err().to_string()
}

fn replaced(from: &'static str, to: &'static str) -> String {
    wrong(|_, text| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    })
}

#[test]
fn an_error_in_the_file_names_file_line_key_and_what_was_probably_meant() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "listen =",
            "lisen =",
            &["config.toml:12: http.lisen", "did you mean `listen`?"],
        ),
        (
            "data_dir",
            "datadir",
            &["config.toml:8: datadir", "did you mean `data_dir`?"],
        ),
        (
            "[http]",
            "[htpp]",
            &["config.toml:10: htpp", "did you mean `http`?"],
        ),
        (
            "address =",
            "moniker = 1\naddress =",
            &[
                "p2p.peers[0].moniker",
                "expected one of `name`, `key`, `address`",
            ],
        ),
        (
            "genesis = \"../genesis.toml\"",
            "genesis = 7",
            &["config.toml:5: genesis", "integer `7`"],
        ),
        (
            "listen = \"127",
            "listen = \"nowhere",
            &["config.toml:12: http.listen", "invalid socket address"],
        ),
        (
            "key = \"node.key\"\n",
            "",
            &["config.toml", "missing field `key`"],
        ),
        ("[http]", "[http", &["config.toml:10:"]),
        (
            "genesis =",
            "genesis = \"a\"\ngenesis =",
            &["config.toml:6:", "duplicate key"],
        ),
    ];
    for (from, to, expected) in cases {
        let message = replaced(from, to);
        for part in expected {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
}

#[test]
fn what_the_file_says_is_checked_against_genesis_and_key() {
    let cases: [(&str, &str, &[&str]); 3] = [
        (
            "../genesis.toml",
            "../genes.toml",
            &["config.toml:5: genesis: cannot read", "genes.toml"],
        ),
        (
            "node.key",
            "nod.key",
            &["config.toml:6: key: cannot read", "keys new --out"],
        ),
        (
            "../genesis.toml",
            "node.key",
            &["config.toml:5: genesis", "TOML parse error at line 1"],
        ),
    ];
    for (from, to, expected) in cases {
        let message = replaced(from, to);
        for part in expected {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
    let client = replaced("\"node.key\"", "\"../client.key\"");
    assert!(
        client.contains("is the key of no validator of network test (validator-0, "),
        "{client}"
    );
    let stranger = wrong(|network, text| {
        let peer = network.nodes[2].key.public_key().to_string();
        text.replacen(&peer, &"00".repeat(32), 1)
    });
    assert!(stranger.contains("p2p.peers[1].key: 0000"), "{stranger}");
    assert!(
        stranger.contains("p2p.peers: validator-2 is missing; add"),
        "{stranger}"
    );
    let twice = wrong(|network, text| {
        let key = |index: usize| network.nodes[index].key.public_key().to_string();
        text.replacen(&key(2), &key(3), 1)
    });
    assert!(twice.contains("p2p.peers[2].key: "), "{twice}");
    let ports = wrong(|network, text| {
        let config = &network.nodes[0].config;
        text.replacen(&config.p2p.to_string(), &config.http.to_string(), 1)
    });
    assert!(ports.contains("config.toml:16: p2p.listen: "), "{ports}");
}

#[test]
fn a_network_of_another_version_of_the_service_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let network = network(directory.path());
    let newer = ServiceId {
        version: "2.0.0".into(),
        ..service()
    };
    let error = network.nodes[0]
        .config
        .node(&newer)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("network test runs ledger 1.0.0, this program is ledger 2.0.0"),
        "{error}"
    );
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let message = wrong(|_, text| {
        let text = text.replacen("../genesis.toml", "../genes.toml", 1);
        text.replacen("node.key", "nod.key", 1)
    });
    assert_eq!(message.lines().count(), 2, "{message}");
}

#[test]
fn a_flag_wins_over_the_file_and_its_paths_are_the_callers() {
    let directory = tempfile::tempdir().unwrap();
    let network = network(directory.path());
    let http = "127.0.0.1:1".parse().unwrap();
    let overrides = Overrides {
        http: Some(http),
        data_dir: Some("elsewhere".into()),
        ..Overrides::default()
    };
    let config = Config::load(&network.nodes[0].config.path, &overrides).unwrap();
    assert_eq!(config.http, http);
    assert_eq!(config.data_dir, Path::new("elsewhere"));
    assert_eq!(config.p2p, network.nodes[0].config.p2p);
}

#[test]
fn a_session_nodes_bounds_and_validators_are_checked() {
    let cases: [(&str, &str, &[&str]); 8] = [
        (
            "= \"own\"",
            "= \"most\"",
            &["config.toml:26: bounds.participation: ", "majority"],
        ),
        (
            "= \"own\"",
            "= \"3\"",
            &["bounds.participation: 3 session nodes", "the network has 2"],
        ),
        (
            "\"15m\"",
            "\"15 parsecs\"",
            &["bounds.time_limit", "parsecs"],
        ),
        (
            "\"15m\"",
            "\"2days\"",
            &["bounds.time_limit", "at most 1day"],
        ),
        ("100000", "0", &["bounds.sessions"]),
        ("sessions =", "session =", &["did you mean `sessions`?"]),
        (
            "url = \"http",
            "url = \"ftp",
            &["validators[0].url: `ftp://"],
        ),
        (
            "role = \"session\"",
            "role = \"validator\"",
            &[
                "bounds: only a session node has it",
                "is the key of no validator",
            ],
        ),
    ];
    for (from, to, expected) in cases {
        let message = wrong_of(4, |_, text| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replacen(from, to, 1)
        });
        for part in expected {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
    let lonely = wrong_of(4, |_, text| {
        let validators = text.match_indices("[[validators]]").nth(1).unwrap().0;
        text[..validators].to_owned()
    });
    assert!(
        lonely.contains("validators: name at least 2 of the 4 validators"),
        "{lonely}"
    );
    let confused = wrong_of(4, |network, text| {
        let peer = network.nodes[5].key.public_key().to_string();
        text.replacen(&peer, &network.nodes[0].key.public_key().to_string(), 1)
    });
    assert!(
        confused.contains("is the key of no session node of the genesis")
            && confused.contains("p2p.peers: session-1 is missing"),
        "{confused}"
    );
}

#[test]
fn bounds_come_from_flag_then_file_then_default() {
    let directory = tempfile::tempdir().unwrap();
    let network = network(directory.path());
    let path = &network.nodes[4].config.path;
    let text = files::read(path).unwrap();
    let text = text.replace("\"15m\"", "\"1h\"");
    fs::write(path, text.replace("sessions = 100000", "")).unwrap();
    let overrides = Overrides {
        participation: Some(Participation::All),
        ..Overrides::default()
    };
    let config = Config::load(path, &overrides).unwrap();
    let bounds = config.node(&service()).unwrap().layer2.unwrap().bounds;
    assert_eq!(bounds.participation, Participation::All);
    assert_eq!(bounds.time_limit, Duration::from_secs(3600));
    assert_eq!(bounds.sessions, Bounds::default().sessions);
}
