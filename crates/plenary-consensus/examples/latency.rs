//! Measures the engine over TCP on loopback, with files and fsync: from submitting a text at one
//! validator until it is final there; what a network at rest costs; what memory it takes.
//!
//! `cargo run --release -p plenary-consensus --example latency -- [validators] [commits]`
//!
//! Every validator runs in this one process, on a thread of its own. Linux only: it reads
//! `/proc/self`.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../tests/engine/log.rs"]
mod log;

use log::{Log, genesis_block, network};
use plenary_consensus::{Config, Engine, start};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

struct Validator {
    config: Config,
    log: Arc<Log>,
    engine: Engine,
}

impl Validator {
    fn start(config: Config) -> Self {
        let log = Log::new(&config.genesis);
        let engine = start(config.clone(), log.clone(), log.demand.clone()).unwrap();
        Self {
            config,
            log,
            engine,
        }
    }
}

/// CPU time of this process, in milliseconds.
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10
}

/// Resident memory of this process, in kilobytes.
fn memory_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn wait(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index].as_secs_f64() * 1000.0
}

/// Takes the last validator away while the others commit, and brings it back with nothing.
fn catch_up(validators: &mut Vec<Validator>, commits: usize) {
    let last = validators.pop().unwrap();
    let config = last.config.clone();
    last.engine.stop().unwrap();
    let (before, started) = (validators[0].log.blocks(), Instant::now());
    sequential(validators, commits, 990);
    let (grown, time) = (validators[0].log.blocks() - before, started.elapsed());
    fs::remove_dir_all(&config.directory).unwrap();
    let started = Instant::now();
    let last = Validator::start(config);
    wait(|| last.log.blocks() > 0);
    let first = started.elapsed();
    wait(|| last.log.blocks() >= validators[0].log.blocks());
    let (all, rest) = (last.log.blocks(), started.elapsed() - first);
    println!(
        "catching up: {grown} blocks had taken {time:.1?}; all {all} came in {rest:.1?}, {first:.1?} after the start"
    );
    validators.push(last);
}

/// Commits one text after the other, each at the next validator.
fn sequential(validators: &[Validator], commits: usize, size: usize) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for commit in 0..commits {
        let mut text = format!("{size} {commit} ").into_bytes();
        text.resize(size, b'.');
        let validator = &validators[commit % validators.len()];
        let started = Instant::now();
        let message = validator.log.submit(&text);
        validator.engine.broadcast(message);
        wait(|| validator.log.has(&text));
        latencies.push(started.elapsed());
    }
    latencies.sort();
    latencies
}

/// Keeps `window` texts open at validator 0 until `count` are final; texts per second.
fn closed_loop(validators: &[Validator], count: usize, window: usize, size: usize) -> f64 {
    let validator = &validators[0];
    let before = validator.log.len();
    let started = Instant::now();
    for text in 0..count {
        let mut text = format!("closed {window} {text} ").into_bytes();
        text.resize(size, b'.');
        wait(|| validator.log.open() < window);
        let message = validator.log.submit(&text);
        validator.engine.broadcast(message);
    }
    wait(|| validator.log.len() >= before + count);
    count as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    let (n, commits) = (number(4), number(500));
    let directory = std::env::current_dir()
        .unwrap()
        .join("plenary-data/latency");
    let _ = fs::remove_dir_all(&directory);
    let (genesis, keys) = network(u8::try_from(n).unwrap());
    let listeners: Vec<_> = (0..n)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    drop(listeners);
    let validators = (0..n).map(|index| {
        let public = keys.iter().map(|key| key.public_key());
        Validator::start(Config {
            key: keys[index],
            genesis: genesis.clone(),
            genesis_block: genesis_block(&genesis),
            listen: addresses[index],
            peers: public.zip(addresses.iter().copied()).collect(),
            directory: directory.join(index.to_string()),
            threads: 1,
        })
    });
    let mut validators: Vec<_> = validators.collect();
    let started = Instant::now();
    let connected = |validator: &Validator| validator.engine.status().connected.len() == n - 1;
    wait(|| validators.iter().all(connected));
    println!("{n} validators connected after {:?}", started.elapsed());
    std::thread::sleep(Duration::from_secs(2));

    sequential(&validators, 20, 900);
    let before = cpu_ms();
    let started = Instant::now();
    let latencies = sequential(&validators, commits, 1000);
    println!(
        "one after the other: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, CPU {:.1} ms a commit",
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.9),
        percentile(&latencies, 0.99),
        (cpu_ms() - before) as f64 / commits as f64,
    );
    println!(
        "  {:.0} commits/s",
        commits as f64 / started.elapsed().as_secs_f64()
    );
    for window in [1, 100, 400] {
        let rate = closed_loop(&validators, commits.max(window * 20), window, 1000);
        println!("closed loop of {window}: {rate:.0} texts/s");
    }
    catch_up(&mut validators, commits);
    println!("memory: {} MB a validator", memory_kb() / 1024 / n as u64);
    std::thread::sleep(Duration::from_secs(5));
    let (before, started) = (cpu_ms(), Instant::now());
    std::thread::sleep(Duration::from_secs(20));
    let share = (cpu_ms() - before) as f64 / started.elapsed().as_millis() as f64;
    println!("at rest: {:.2} % of one core in all", share * 100.0);
    for validator in validators {
        validator.engine.stop().unwrap();
    }
}
