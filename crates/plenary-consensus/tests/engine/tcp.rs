//! Engines over real TCP and real files.

use crate::log::{Log, genesis_block, network};
use plenary_consensus::{Config, Engine, EngineError, start};
use plenary_types::{Genesis, PrivateKey};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Addresses that were free a moment ago.
fn addresses(n: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..n)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect()
}

fn config(
    genesis: &Arc<Genesis>,
    keys: &[PrivateKey],
    addresses: &[SocketAddr],
    directory: &Path,
    index: usize,
) -> Config {
    let peers = keys
        .iter()
        .map(PrivateKey::public_key)
        .zip(addresses.iter().copied());
    Config {
        key: keys[index],
        genesis: genesis.clone(),
        genesis_block: genesis_block(genesis),
        listen: addresses[index],
        peers: peers.collect(),
        directory: directory.join(format!("{index}")),
        threads: 1,
    }
}

/// Waits for something that happens unless the engine is broken.
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "nothing happened for a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn four_validators_commit_over_tcp_and_again_after_a_restart() {
    let (genesis, keys) = network(4);
    let addresses = addresses(4);
    let directory = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..4).map(|_| Log::new(&genesis)).collect();
    let launch = |index: usize| {
        let config = config(&genesis, &keys, &addresses, directory.path(), index);
        start(config, logs[index].clone(), logs[index].demand.clone()).unwrap()
    };
    let mut engines: Vec<_> = (0..4).map(|index| Some(launch(index))).collect();
    let connected = |engines: &[Option<Engine>]| {
        engines
            .iter()
            .flatten()
            .all(|engine| engine.status().connected.len() == 3)
    };
    eventually(|| connected(&engines));
    let submit = |engines: &[Option<Engine>], index: usize, text: &str| {
        let message = logs[index].submit(text.as_bytes());
        engines[index].as_ref().unwrap().broadcast(message);
    };
    for round in 0..8 {
        let text = format!("before {round}");
        submit(&engines, round % 4, &text);
        eventually(|| logs.iter().all(|log| log.has(text.as_bytes())));
    }
    // One is away while the others go on, and is brought up to date while all are at rest.
    engines[3].take().unwrap().stop().unwrap();
    for round in 0..8 {
        let text = format!("without the last {round}");
        submit(&engines, round % 3, &text);
        eventually(|| logs[..3].iter().all(|log| log.has(text.as_bytes())));
    }
    engines[3] = Some(launch(3));
    eventually(|| logs[3].texts() == logs[0].texts());
    // All are away at once.
    engines
        .iter_mut()
        .for_each(|engine| engine.take().unwrap().stop().unwrap());
    engines = (0..4).map(|index| Some(launch(index))).collect();
    eventually(|| connected(&engines));
    submit(&engines, 2, "after");
    eventually(|| logs.iter().all(|log| log.has(b"after")));
    for engine in engines.into_iter().flatten() {
        assert!(engine.metrics().contains("runtime_"));
        assert!(engine.failure().is_none());
        engine.stop().unwrap();
    }
    let texts = logs[0].texts();
    assert!(logs.iter().all(|log| log.texts() == texts));
}

#[test]
fn an_engine_that_cannot_write_says_so_and_the_others_go_on() {
    let (genesis, keys) = network(4);
    let addresses = addresses(4);
    let directory = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..4).map(|_| Log::new(&genesis)).collect();
    let engines = (0..4).map(|index| {
        let config = config(&genesis, &keys, &addresses, directory.path(), index);
        start(config, logs[index].clone(), logs[index].demand.clone()).unwrap()
    });
    let mut engines: Vec<_> = engines.collect();
    eventually(|| {
        engines
            .iter()
            .all(|engine| engine.status().connected.len() == 3)
    });
    let files = directory.path().join("3/files");
    std::fs::remove_dir_all(&files).unwrap();
    std::fs::write(&files, b"a file where a directory was").unwrap();
    engines[0].broadcast(logs[0].submit(b"text"));
    let failed = engines[3].failed();
    let error = futures::executor::block_on(failed);
    assert!(matches!(error, EngineError::Stopped(_)), "{error}");
    assert!(engines[3].failure().is_some());
    engines.pop().unwrap().stop().unwrap_err();
    eventually(|| logs[..3].iter().all(|log| log.has(b"text")));
    engines
        .into_iter()
        .for_each(|engine| engine.stop().unwrap());
}

/// A disk that is full for whoever tries it; what the engine itself meets is a file in its way.
#[cfg(target_os = "linux")]
#[test]
fn an_engine_on_a_full_disk_says_what_to_do() {
    let (genesis, keys) = network(4);
    let addresses = addresses(4);
    let directory = tempfile::tempdir().unwrap();
    let config = config(&genesis, &keys, &addresses, directory.path(), 0);
    let own = config.directory.clone();
    std::fs::create_dir_all(&own).unwrap();
    std::os::unix::fs::symlink("/dev/full", own.join("probe")).unwrap();
    std::fs::write(own.join("files"), b"a file where a directory would be").unwrap();
    let log = Log::new(&genesis);
    let error = start(config, log.clone(), log.demand.clone()).unwrap_err();
    assert!(matches!(error, EngineError::Full { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("free some, then start the node again"),
        "{text}"
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_a_reason() {
    let (genesis, keys) = network(4);
    let addresses = addresses(4);
    let directory = tempfile::tempdir().unwrap();
    let good = || config(&genesis, &keys, &addresses, directory.path(), 0);
    let log = Log::new(&genesis);
    let refused = |config| start(config, log.clone(), log.demand.clone()).unwrap_err();

    let key = PrivateKey::from_seed([99; 32]);
    let error = refused(Config { key, ..good() });
    assert!(matches!(error, EngineError::NotValidator(_)), "{error}");

    let peers = good().peers[..3].to_vec();
    let error = refused(Config { peers, ..good() });
    assert!(matches!(error, EngineError::NoAddress { .. }), "{error}");

    let (other, _) = network(5);
    let error = refused(Config {
        genesis_block: genesis_block(&other),
        ..good()
    });
    assert!(matches!(error, EngineError::GenesisBlock), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = refused(Config { listen, ..good() });
    assert!(matches!(error, EngineError::Listen { .. }), "{error}");

    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let directory = file.join("below");
    let error = refused(Config {
        directory,
        ..good()
    });
    assert!(matches!(error, EngineError::Directory { .. }), "{error}");
}

#[test]
fn files_of_another_network_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = addresses(5);
    let launch = |n| {
        let (genesis, keys) = network(n);
        let log = Log::new(&genesis);
        let config = config(&genesis, &keys, &addresses, directory.path(), 0);
        start(config, log.clone(), log.demand.clone())
    };
    launch(4).unwrap().stop().unwrap();
    let error = launch(5).unwrap_err();
    assert!(matches!(error, EngineError::OtherNetwork { .. }), "{error}");
    launch(4).unwrap().stop().unwrap();
}
