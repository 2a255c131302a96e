//! A whole network of engines in one deterministic run: virtual time, a seeded network, crashes
//! and Byzantine validators. The same seed and the same script give the same run.
//!
//! The engines are the real ones, files and all; only the runtime and the network below them are
//! simulated. A script starts validators, does things to them, and lets time pass. See
//! [`Simulation`] for what survives what.

mod byzantine;
mod network;

use crate::{Application, Demand};
pub use byzantine::Misbehaviour;
use commonware_runtime::deterministic;
pub use network::Network;
use plenary_types::{Block, Genesis, PrivateKey};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// How the network between two validators is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Mean delay of a message. Each message's delay is cut to whole milliseconds.
    pub latency: Duration,
    /// Standard deviation of the delay.
    pub jitter: Duration,
    /// The share of messages that are lost, from 0 to 1.
    pub loss: f64,
}

impl Link {
    /// A link that loses nothing.
    pub const fn reliable(latency: Duration, jitter: Duration) -> Self {
        Self {
            latency,
            jitter,
            loss: 0.0,
        }
    }
}

/// The network that is simulated. Validators are named by their index in the genesis.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides every choice of the run.
    pub seed: u64,
    /// The network. Virtual time starts at its time.
    pub genesis: Arc<Genesis>,
    /// The keys of the genesis' validators, in any order.
    pub keys: Vec<PrivateKey>,
    /// The block at height 0.
    pub genesis_block: Block,
    /// The links at the start, between any two validators.
    pub link: Link,
    /// How much virtual time a turn of the event loop takes: all that computing costs. At least a
    /// nanosecond.
    pub turn: Duration,
}

/// The turn of a run that is about what happens, and not about how long it takes.
pub const TURN: Duration = Duration::from_millis(1);

/// An application and its demand, to be started as a validator.
#[derive(Clone)]
pub struct Node {
    /// The application.
    pub application: Arc<dyn Application>,
    /// Its demand.
    pub demand: Demand,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("demand", &self.demand)
            .finish_non_exhaustive()
    }
}

/// Runs scripts one after the other, on the same disks. Between two scripts the power fails
/// everywhere: of what the engines wrote, only what they had synced is there for the next.
/// [`Network::crash`] kills a process, and everything it wrote stays.
pub struct Simulation {
    settings: Settings,
    checkpoint: Option<deterministic::Checkpoint>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// A simulation with empty disks.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            checkpoint: None,
        }
    }

    /// Runs a script on a network in which no validator runs yet.
    ///
    /// # Panics
    ///
    /// Where the script, an application or an engine does, and where nothing can happen any more
    /// while the script waits.
    pub fn run<F, Fut>(&mut self, script: F) -> Fut::Output
    where
        F: FnOnce(Network) -> Fut,
        Fut: Future,
    {
        let runner = match self.checkpoint.take() {
            Some(checkpoint) => deterministic::Runner::from(checkpoint),
            None => {
                let start = Duration::from_millis(self.settings.genesis.time.0);
                deterministic::Runner::new(
                    deterministic::Config::new()
                        .with_seed(self.settings.seed)
                        .with_start_time(UNIX_EPOCH + start)
                        .with_cycle(self.settings.turn)
                        .with_timeout(None),
                )
            }
        };
        let settings = self.settings.clone();
        let (output, checkpoint) = runner.start_and_recover(|context| async move {
            let network = Network::new(context, settings).await;
            script(network).await
        });
        self.checkpoint = Some(checkpoint);
        output
    }
}

/// Runs one script; see [`Simulation::run`].
pub fn run<F, Fut>(settings: Settings, script: F) -> Fut::Output
where
    F: FnOnce(Network) -> Fut,
    Fut: Future,
{
    Simulation::new(settings).run(script)
}
