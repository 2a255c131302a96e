//! A whole network of engines in one deterministic run: virtual time, a seeded network, crashes
//! and Byzantine validators. The same seed and script give the same run.

use crate::{Application, Demand, Status};
use bytes::Bytes;
use plenary_types::{Block, Genesis, PrivateKey, Timestamp};
use std::{sync::Arc, time::Duration};

/// How the network between two validators is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Mean delay of a message.
    pub latency: Duration,
    /// Standard deviation of the delay.
    pub jitter: Duration,
    /// The share of messages that are lost, from 0 to 1.
    pub loss: f64,
}

/// The network that is simulated. Validators are named by their index in the genesis.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides every choice of the run.
    pub seed: u64,
    /// The network.
    pub genesis: Arc<Genesis>,
    /// The keys of the genesis' validators, in any order.
    pub keys: Vec<PrivateKey>,
    /// The block at height 0.
    pub genesis_block: Block,
    /// The links at the start, each between two validators.
    pub link: Link,
}

/// What a Byzantine validator does at the level of the engine. It says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Votes for every proposal it sees and for one that nobody made.
    ConflictingVotes,
    /// Leads its views with two different blocks, shown to two halves of the others.
    EquivocatingLeader,
    /// Votes to give up and to finalize the same view.
    NullifyAndFinalize,
    /// Votes to give up every view, and nothing else.
    NullifyOnly,
}

/// The network of a run, as the script sees it.
#[derive(Debug)]
pub struct Network {}

/// Runs `script` on a network in which no validator runs yet.
pub fn run<F, Fut>(_settings: Settings, _script: F) -> Fut::Output
where
    F: FnOnce(Network) -> Fut,
    Fut: Future,
{
    unimplemented!()
}

impl Network {
    /// Starts, or after a crash restarts, a correct validator; its engine's files are those it
    /// had before.
    pub async fn start(
        &mut self,
        _validator: usize,
        _application: Arc<dyn Application>,
        _demand: Demand,
    ) {
    }

    /// Starts a Byzantine validator.
    pub async fn start_byzantine(&mut self, _validator: usize, _misbehaviour: Misbehaviour) {}

    /// Kills a validator's process, at whatever it is doing. What it wrote stays.
    pub async fn crash(&mut self, _validator: usize) {}

    /// Sets the links of all pairs of validators.
    pub async fn set_links(&mut self, _link: Link) {}

    /// Cuts every link between validators of different groups. A validator in no group is alone.
    pub async fn partition(&mut self, _groups: &[&[usize]]) {}

    /// Restores every link, and reconnects those that were cut.
    pub async fn heal(&mut self) {}

    /// Broadcasts a message of a validator's application.
    pub fn broadcast(&mut self, _validator: usize, _message: Bytes) {}

    /// A validator's engine now.
    pub fn status(&self, _validator: usize) -> Status {
        Status::default()
    }

    /// How many messages validators have sent to each other so far.
    pub fn messages(&self) -> u64 {
        0
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, _duration: Duration) {}

    /// The virtual clock.
    pub fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}
