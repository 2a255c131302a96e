//! What is measured: the workflow, again and again, by a client at each site in turn, at random times
//! after one another, so that leaders and offsets vary; and beside each commit what it would take at
//! least through the leader that it had.
//!
//! Alone, a client begins when what others did has reached everybody. Overlapping, it begins whenever
//! it likes, and what its session node knows may be out of date.

use super::{
    client::{Client, PATIENCE, Played},
    matrix::Matrix,
    minimum::Minimum,
    setup::{self, Setup},
    wire::Chance,
    world::World,
};
use crate::demo::Demo;
use serde::Serialize;
use std::{fmt, time::Duration};

/// How often the workflow is played from each site before it counts: until then it is not known who
/// has crashed.
pub(super) const WARM_UP: u32 = 2;
/// How many units, at most, a client waits between two workflows.
const PAUSE: u32 = 4;

/// A step that layer 1 decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Commit {
    /// The client's site.
    pub(super) site: String,
    /// The site of the leader whose block has it.
    pub(super) leader: String,
    /// Whether both are the same.
    pub(super) near: bool,
    pub(super) step: String,
    pub(super) latency_ms: f64,
    pub(super) minimum_ms: f64,
}

impl Commit {
    /// How many times the minimum it took; 1 where both are nothing.
    pub(super) fn ratio(&self) -> f64 {
        match self.minimum_ms > 0.0 {
            true => self.latency_ms / self.minimum_ms,
            false => 1.0,
        }
    }
}

/// A step that layer 2 answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Answered {
    pub(super) site: String,
    pub(super) step: String,
    pub(super) latency_ms: f64,
    pub(super) minimum_ms: f64,
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) matrix: Matrix,
    pub(super) validators: usize,
    /// The validators' sites, those that crashed included.
    pub(super) placed: Vec<String>,
    pub(super) crashed: usize,
    pub(super) participation: String,
    /// The slowest quorum's one-way delay.
    pub(super) unit_ms: f64,
    pub(super) commits: Vec<Commit>,
    pub(super) answered: Vec<Answered>,
}

/// What a run is.
pub(super) struct Plan<'a> {
    pub(super) setup: Setup,
    pub(super) demo: &'a Demo,
    /// The sites of clients.
    pub(super) sites: Vec<usize>,
    /// How often the workflow is played from each site.
    pub(super) rounds: u32,
    /// Whether a client begins before all have heard of what was done before.
    pub(super) overlapping: bool,
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup {
            matrix,
            validators,
            crashed,
            participation,
            ..
        } = &self.setup;
        let matrix = &matrix.name;
        write!(
            f,
            "{matrix}, {validators} validators, {crashed} crashed, participation {participation}"
        )
    }
}

impl Plan<'_> {
    /// How many workflows count.
    pub(super) fn workflows(&self) -> u64 {
        self.sites.len() as u64 * u64::from(self.rounds)
    }

    /// Runs it. `played` is told after each workflow that counts.
    pub(super) fn run(&self, played: impl Fn()) -> Result<Measured, String> {
        let setup = &self.setup;
        let places = setup.matrix.place(setup.validators);
        let minimum = Minimum::new(&setup.matrix, &places, setup.validators - setup.crashed);
        let mut measured = Measured {
            placed: places.iter().map(|site| self.name(*site)).collect(),
            matrix: setup.matrix.clone(),
            validators: setup.validators,
            crashed: setup.crashed,
            participation: setup.participation.to_string(),
            unit_ms: milliseconds(minimum.slowest_quorum()),
            commits: Vec::new(),
            answered: Vec::new(),
        };
        let pause = PAUSE * minimum.slowest_quorum();
        let played = setup::run(setup, async |world| self.play(world, pause, played).await)??;
        for (site, step) in played {
            match step.leader {
                Some(leader) => {
                    let least = minimum.commit(site, leader);
                    measured.commits.push(Commit {
                        site: self.name(site),
                        leader: self.name(places[leader]),
                        near: places[leader] == site,
                        step: step.step,
                        latency_ms: milliseconds(step.latency),
                        minimum_ms: milliseconds(least),
                    });
                }
                None => measured.answered.push(Answered {
                    site: self.name(site),
                    step: step.step,
                    latency_ms: milliseconds(step.latency),
                    minimum_ms: milliseconds(minimum.step(site, self.needed())),
                }),
            }
        }
        Ok(measured)
    }

    fn name(&self, site: usize) -> String {
        self.setup.matrix.sites[site].clone()
    }

    /// How many other session nodes a step needs.
    fn needed(&self) -> usize {
        let others = self.setup.matrix.sites.len() - 1;
        self.setup.participation.needed(others)
    }

    /// Plays all rounds, and gives the steps of those that count, each with its client's site.
    async fn play(
        &self,
        mut world: World,
        pause: Duration,
        played: impl Fn(),
    ) -> Result<Vec<(usize, Played)>, String> {
        let mut chance = Chance::new(self.setup.seed);
        let near = |site: &usize| self.setup.matrix.delay(*site, *site);
        let clients = self
            .sites
            .iter()
            .map(|site| (*site, Client::new(*site, near(site))));
        let mut clients: Vec<_> = clients.collect();
        let mut steps = Vec::new();
        for round in 0..WARM_UP + self.rounds {
            for (site, client) in &mut clients {
                if !self.overlapping {
                    let quiet = world.until(PATIENCE, |world| world.is_quiet().then_some(()));
                    quiet.await.map_err(|stuck| stuck.to_string())?;
                }
                world.pass(chance.below(pause)).await;
                let done = client.play(&mut world, self.demo).await;
                let done = done.map_err(|error| error.to_string())?;
                if round >= WARM_UP {
                    steps.extend(done.into_iter().map(|step| (*site, step)));
                    played();
                }
            }
        }
        Ok(steps)
    }
}

fn milliseconds(time: Duration) -> f64 {
    // To the microsecond: what is below is turns of the event loop.
    time.as_micros() as f64 / 1000.0
}
