//! Making, reading and moving networks.

#![allow(clippy::unwrap_used)]
use super::*;
use plenary_service::Service;
use plenary_session::node::Bounds;
use plenary_types::{Problem, genesis::ClientSignatures};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

fn service() -> Service {
    Service::new("ledger", "1.0.0").default_config(json!({ "operators": ["OPR-001"] }))
}

fn plan() -> Plan {
    Plan {
        network: "test".into(),
        validators: 4,
        session_nodes: 2,
        clients: ClientSignatures::Optional,
        service: Arc::new(service()),
        bounds: Bounds::default(),
        ports: FirstPorts::default(),
    }
}

#[test]
fn a_network_that_was_made_is_read_back_and_every_node_of_it_can_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/network");
    let made = Network::create(&path, &plan()).unwrap();
    let read = Network::open(&path).unwrap();
    assert_eq!(read.genesis.hash(), made.genesis.hash());
    assert_eq!(read.genesis.config, *service().config());
    assert_eq!(read.genesis.clients, ClientSignatures::Optional);
    let names: Vec<_> = read.nodes.iter().map(|node| node.name.as_str()).collect();
    let (validators, session_nodes) = names.split_at(4);
    assert!(validators.iter().all(|name| name.starts_with("validator-")));
    assert_eq!(session_nodes, ["session-0", "session-1"]);
    for node in &read.nodes {
        let ready = node.config.node(service().id()).unwrap();
        // The name tells the index that certificates use.
        let members = node.config.role.members(&read.genesis);
        let index = members
            .iter()
            .position(|member| member.key == ready.key.public_key());
        assert!(ready.name.ends_with(&format!("-{}", index.unwrap())));
        assert_eq!(ready.peers.len() + 1, members.len());
        let find = |key| read.nodes.iter().find(|node| node.key.public_key() == key);
        for (key, address) in ready.peers {
            assert_eq!(find(key).unwrap().config.p2p, address);
        }
        let layer2 = ready.layer2.map(|layer2| layer2.validators);
        assert_eq!(layer2.is_some(), node.config.role == Role::Session);
        for (key, url) in layer2.into_iter().flatten() {
            assert_eq!(find(key).unwrap().url(), url);
        }
    }
    let addresses: BTreeSet<_> = read
        .nodes
        .iter()
        .flat_map(|node| [node.config.http, node.config.p2p])
        .collect();
    assert_eq!(addresses.len(), 12);
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    keys::load(&read.client_key_path()).unwrap();
}

#[test]
fn nothing_is_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let made = Network::create(directory.path(), &plan()).unwrap();
    assert!(matches!(
        Network::create(directory.path(), &plan()),
        Err(NetworkError::NotEmpty(_))
    ));
    let read = Network::open(directory.path()).unwrap();
    assert_eq!(read.genesis.hash(), made.genesis.hash());
}

#[test]
fn a_network_that_cannot_be_made_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("network");
    for (validators, http_port) in [(3, 0), (4, 65_533)] {
        let plan = Plan {
            validators,
            ports: FirstPorts::http(http_port),
            ..plan()
        };
        assert!(Network::create(&path, &plan).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_service_that_cannot_start_gets_no_network() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = service().genesis(|_, _| Err(Problem::unprocessable("no-operators", "none")));
    let unclear = service().genesis(|_, _| Ok(())).opens_session();
    for service in [refusing, unclear] {
        let plan = Plan {
            service: Arc::new(service),
            ..plan()
        };
        assert!(Network::create(&directory.path().join("network"), &plan).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn taken_ports_are_replaced_everywhere_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut network = Network::create(directory.path(), &plan()).unwrap();
    let texts = |network: &Network| -> Vec<String> {
        let paths = network.nodes.iter().map(|node| &node.config.path);
        paths.map(|path| files::read(path).unwrap()).collect()
    };
    let before = texts(&network);
    assert!(before[0].contains("# Where clients reach the node."));
    let (http, p2p) = (network.nodes[1].config.http, network.nodes[2].config.p2p);
    let _taken = [
        std::net::TcpListener::bind(http).unwrap(),
        std::net::TcpListener::bind(p2p).unwrap(),
    ];
    let moves = network.free_ports().unwrap();
    let new = |old| moves.iter().find(|(_, from, _)| *from == old).unwrap().2;
    assert_eq!(network.nodes[1].config.http, new(http));
    assert_eq!(network.nodes[2].config.p2p, new(p2p));
    // Ports that others may have taken meanwhile have moved too.
    let expected: Vec<_> = before
        .iter()
        .map(|text| {
            moves.iter().fold(text.clone(), |text, (_, old, new)| {
                text.replace(&old.to_string(), &new.to_string())
            })
        })
        .collect();
    assert_eq!(texts(&network), expected);
    for node in &network.nodes {
        node.config.node(service().id()).unwrap();
    }
}

#[test]
fn a_directory_with_some_of_the_nodes_is_not_taken_for_the_network() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::create(directory.path(), &plan()).unwrap();
    network.check_whole().unwrap();
    fs::remove_dir_all(directory.path().join("validator-3")).unwrap();
    let some = Network::open(directory.path()).unwrap();
    let error = some.check_whole().unwrap_err().to_string();
    assert!(error.contains("5 of the 6 nodes"), "{error}");
}
