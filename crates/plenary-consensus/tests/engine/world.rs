//! A simulated network of logs, and the clients that use it.

use crate::log::{Disk, Log, genesis_block, network};
use plenary_consensus::simulation::{Link, Network, Node, Settings, TURN};
use plenary_types::Genesis;
use std::{sync::Arc, time::Duration};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

pub(crate) fn settings(seed: u64, n: u8) -> Settings {
    let (genesis, keys) = network(n);
    Settings {
        seed,
        genesis_block: genesis_block(&genesis),
        genesis,
        keys,
        link: Link::reliable(LATENCY, Duration::from_millis(5)),
        turn: TURN,
    }
}

pub(crate) fn node(log: &Arc<Log>) -> Node {
    Node {
        application: log.clone(),
        demand: log.demand.clone(),
    }
}

/// Every validator has a disk; those that run correctly have a log.
pub(crate) struct World {
    pub(crate) net: Network,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) logs: Vec<Option<Arc<Log>>>,
    /// How many blocks a log makes durable at a time.
    pub(crate) group: usize,
}

impl World {
    pub(crate) fn new(net: Network, genesis: &Arc<Genesis>) -> Self {
        let n = genesis.validators.len();
        Self {
            net,
            genesis: genesis.clone(),
            disks: (0..n).map(|_| Disk::default()).collect(),
            logs: vec![None; n],
            group: 1,
        }
    }

    /// A network in which all validators run.
    pub(crate) async fn all(net: Network, genesis: &Arc<Genesis>) -> Self {
        let mut world = Self::new(net, genesis);
        for validator in 0..world.logs.len() {
            world.start(validator).await;
        }
        world
    }

    /// Starts a correct validator with what its disk has.
    pub(crate) async fn start(&mut self, validator: usize) {
        let log = Log::with_disk(&self.genesis, &self.disks[validator], self.group);
        self.net.start(validator, node(&log)).await;
        self.logs[validator] = Some(log);
    }

    pub(crate) async fn crash(&mut self, validator: usize) {
        self.net.crash(validator).await;
        self.logs[validator] = None;
    }

    pub(crate) fn log(&self, validator: usize) -> &Arc<Log> {
        self.logs[validator].as_ref().unwrap()
    }

    /// The correct validators that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.logs.iter().flatten()
    }

    pub(crate) fn submit(&self, validator: usize, text: &str) {
        let message = self.log(validator).submit(text.as_bytes());
        self.net.broadcast(validator, &message);
    }

    /// Waits until every correct validator that runs has the text; meanwhile each sends again,
    /// now and then, what it has pending.
    pub(crate) async fn settle(&self, text: &str, limit: Duration) -> bool {
        let rounds = limit.as_millis() / 500;
        for _ in 0..rounds {
            let done = || self.running().all(|log| log.has(text.as_bytes()));
            if self.net.wait(SECOND / 2, done).await {
                return true;
            }
            for (validator, log) in self.logs.iter().enumerate() {
                for message in log.iter().flat_map(|log| log.pending()) {
                    self.net.broadcast(validator, &message);
                }
            }
        }
        false
    }

    /// Submits a text and waits until it is final everywhere; how long it took.
    pub(crate) async fn commit(&self, validator: usize, text: &str) -> Duration {
        let start = self.net.now().0;
        self.submit(validator, text);
        let settled = self.settle(text, 60 * SECOND).await;
        assert!(settled, "`{text}` is not final everywhere after a minute");
        Duration::from_millis(self.net.now().0 - start)
    }

    /// Whether every correct validator that runs has the same log.
    pub(crate) async fn converge(&self, limit: Duration) -> bool {
        let chains = || -> Vec<_> { self.running().map(|log| log.hashes()).collect() };
        let same = || chains().windows(2).all(|pair| pair[0] == pair[1]);
        self.net.wait(limit, same).await
    }

    /// No two logs disagree, on disks of validators that do not run either, and every text was
    /// submitted by somebody.
    pub(crate) fn assert_agreement(&self, submitted: impl Fn(&[u8]) -> bool) {
        let of_disks = self.disks.iter().map(|disk| disk.lock().clone());
        let chains: Vec<_> = self
            .running()
            .map(|log| log.chain())
            .chain(of_disks)
            .collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &chains {
            for ((ours, _), (theirs, _)) in chain.iter().zip(longest) {
                assert_eq!(ours, theirs, "two validators disagree on a final block");
            }
        }
        for (block, certificate) in longest {
            for transaction in &block.transactions {
                let text = &transaction.operations[0].request.body;
                assert!(submitted(text), "nobody submitted {text:?}");
            }
            if let Some(certificate) = certificate {
                certificate.verify(&block.header, &self.genesis).unwrap();
            }
        }
        let certified = longest
            .last()
            .is_none_or(|(_, certificate)| certificate.is_some());
        assert!(certified, "nothing makes the last block final");
    }
}
