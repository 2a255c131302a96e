//! One run of the paper's evaluation (section 5): every replica submits transactions, and what its user waits for them
//! is measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Agreement, Costs, Micros, Network, Notice, Random, SECOND, Setup, SiteId, Tamper, Usage, World,
    forgery::{Forgery, Lie},
};
use crate::Settings;

/// How often the Byzantine replica looks at how the others are.
const GLANCE: Micros = SECOND / 10;
/// How long after one failure the next one comes.
const BETWEEN_FAILURES: Micros = 5 * SECOND;

/// What happens to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Nothing.
    Optimistic,
    /// A quarter of the replicas fails, one every five seconds: all packets to and from them are dropped.
    Failing,
    /// A replica spoils signatures as long as a neighbour takes them unverified, and withholds its votes otherwise.
    Byzantine,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Optimistic, Self::Failing, Self::Byzantine];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Optimistic => "optimistic",
            Self::Failing => "failing",
            Self::Byzantine => "byzantine",
        }
    }
}

/// What the replicas' users do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// How long after one transaction of a replica its next one comes.
    pub period: Micros,
    /// How many keys each replica sets, in turn. Nobody else sets these.
    pub keys: u64,
    /// How many bytes a value has.
    pub value: usize,
    /// When transactions begin; connections are set up before.
    pub start: Micros,
    /// When measurement begins.
    pub warm: Micros,
    /// How long is measured, at least.
    pub measured: Micros,
    /// How long transactions have after the last one to settle.
    pub drain: Micros,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            period: SECOND,
            keys: 10,
            value: 100,
            start: 3 * SECOND,
            warm: 6 * SECOND,
            measured: 30 * SECOND,
            drain: 20 * SECOND,
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What happens.
    pub scenario: Scenario,
    /// How many replicas there are.
    pub members: usize,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// What users do.
    pub load: Load,
    /// All links.
    pub network: Network,
    /// What cryptography costs.
    pub costs: Costs,
    /// How long storing takes.
    pub store: Micros,
    /// The replicas' settings.
    pub replica: Settings,
}

/// What a replica used while it was measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Use {
    /// Mbit/s sent, with all headers.
    pub sent: f64,
    /// Mbit/s received, with all headers.
    pub received: f64,
    /// Messages sent a second.
    pub messages: f64,
    /// The part of the time in which its processor was busy.
    pub busy: f64,
    /// Milliseconds that an input waited for the processor, on average.
    pub waited: f64,
    /// Milliseconds that a message waited for the line out, its own transmission included, on average.
    pub waited_up: f64,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Milliseconds from each measured submission until its replica told that it is decided.
    pub latencies: Vec<f64>,
    /// How many of these did not win: another value was decided in their view.
    pub overruled: usize,
    /// Measured submissions that were not decided until the end.
    pub unsettled: usize,
    /// Measured submissions that were refused at once.
    pub refused: usize,
    /// What each replica used that was there until the end and honest.
    pub used: Vec<Use>,
    /// Pieces of evidence found.
    pub evidence: usize,
    /// Stands for everything that was delivered, and when.
    pub trace: [u8; 32],
}

/// What a run did so far.
struct Run<'a> {
    trial: &'a Trial,
    world: World,
    random: Random,
    agreement: Agreement,
    /// When each measured submission that is not settled was made, and where.
    pending: BTreeMap<u64, (Micros, SiteId)>,
    submitted: u64,
    failed: Vec<bool>,
    outcome: Outcome,
}

impl Trial {
    /// The paper's evaluation in a scenario, with a browser's costs.
    pub fn new(scenario: Scenario, members: usize, seed: u64) -> Self {
        Self {
            scenario,
            members,
            seed,
            load: Load::default(),
            network: Network::default(),
            costs: Costs::wasm(),
            store: 2000,
            replica: Settings::default(),
        }
    }

    /// When measurement ends: all that fail have failed by then.
    pub fn end(&self) -> Micros {
        let failures = match self.scenario {
            Scenario::Failing => BETWEEN_FAILURES * (self.failing() as u64 + 1),
            _ => 0,
        };
        self.load.warm + self.load.measured.max(failures)
    }

    fn failing(&self) -> usize {
        self.members / 4
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// Where replicas disagree: the numbers would mean nothing.
    pub fn run(&self) -> Outcome {
        let world = World::new(Setup {
            seed: self.seed,
            members: self.members,
            twins: Vec::new(),
            network: self.network,
            costs: Some(self.costs),
            store: self.store,
            replica: self.replica.clone(),
        });
        let run = Run {
            trial: self,
            world,
            random: Random::new(!self.seed),
            agreement: Agreement::default(),
            pending: BTreeMap::new(),
            submitted: 0,
            failed: vec![false; self.members],
            outcome: Outcome {
                latencies: Vec::new(),
                overruled: 0,
                unsettled: 0,
                refused: 0,
                used: Vec::new(),
                evidence: 0,
                trace: [0; 32],
            },
        };
        run.run()
    }
}

/// What is done at a time.
#[derive(Clone, Copy)]
enum Action {
    Submit(SiteId),
    Fail(SiteId),
    Glance,
    Measure,
}

impl Run<'_> {
    fn run(mut self) -> Outcome {
        let end = self.trial.end();
        let mut before = Vec::new();
        for (at, action) in self.plan(end) {
            self.world.run_until(at);
            self.listen();
            match action {
                Action::Submit(site) => self.submit(site),
                Action::Fail(site) => self.fail(site),
                Action::Glance => self.misbehave(),
                Action::Measure => before = self.usage(),
            }
        }
        self.world.run_until(end);
        let after = self.usage();
        self.world.run_until(end + self.trial.load.drain);
        self.listen();
        let honest = (0..self.trial.members).filter(|&site| self.is_measured(site));
        let seconds = seconds(end - self.trial.load.warm);
        self.outcome.used = honest
            .map(|site| used(before[site], after[site], seconds))
            .collect();
        self.outcome.unsettled = self.pending.len();
        self.outcome.trace = self.world.trace();
        self.outcome
    }

    fn plan(&mut self, end: Micros) -> Vec<(Micros, Action)> {
        let Load {
            period,
            start,
            warm,
            ..
        } = self.trial.load;
        let mut plan = vec![(warm, Action::Measure)];
        for site in 0..self.trial.members {
            let first = start + self.random.below(period);
            plan.extend(
                (first..end)
                    .step_by(period.max(1) as usize)
                    .map(|at| (at, Action::Submit(site))),
            );
        }
        match self.trial.scenario {
            Scenario::Optimistic => {}
            Scenario::Failing => {
                let mut sites: Vec<_> = (0..self.trial.members).collect();
                self.random.shuffle(&mut sites);
                let times = (warm + BETWEEN_FAILURES..).step_by(BETWEEN_FAILURES as usize);
                let failing = sites.into_iter().take(self.trial.failing());
                plan.extend(times.zip(failing.map(Action::Fail)));
            }
            Scenario::Byzantine => {
                plan.extend(
                    (warm..end)
                        .step_by(GLANCE as usize)
                        .map(|at| (at, Action::Glance)),
                );
            }
        }
        plan.sort_by_key(|&(at, _)| at);
        plan
    }

    fn is_byzantine(&self, site: SiteId) -> bool {
        self.trial.scenario == Scenario::Byzantine && site == 0
    }

    fn is_measured(&self, site: SiteId) -> bool {
        !self.failed[site] && !self.is_byzantine(site)
    }

    fn usage(&self) -> Vec<Usage> {
        (0..self.trial.members)
            .map(|site| self.world.usage(site))
            .collect()
    }

    fn submit(&mut self, site: SiteId) {
        if !self.is_measured(site) {
            return;
        }
        let submission = self.submitted;
        self.submitted += 1;
        let turn = self.world.now() / self.trial.load.period;
        let key = format!("{site}/{}", turn % self.trial.load.keys.max(1)).into_bytes();
        let mut value = submission.to_be_bytes().to_vec();
        value.resize(self.trial.load.value.max(value.len()), 0x2e);
        if self.world.now() >= self.trial.load.warm {
            self.pending.insert(submission, (self.world.now(), site));
        }
        self.world.submit(site, submission, key, Some(value));
    }

    fn fail(&mut self, site: SiteId) {
        self.failed[site] = true;
        self.pending.retain(|_, (_, submitter)| *submitter != site);
        self.world.isolate(site);
    }

    /// Spoils signatures while a neighbour takes them unverified; where none does, does not vote instead.
    fn misbehave(&mut self) {
        let fast = self.world.is_trusted(0);
        let spoil = Forgery::new(&self.world, 0, self.random.fork(), Lie::Signature, 1.0);
        self.world
            .tamper(0, fast.then(|| Box::new(spoil) as Box<dyn Tamper>));
        self.world.site(0).votes.set(fast);
    }

    fn listen(&mut self) {
        for (at, site, notice) in self.world.notices() {
            if self.is_byzantine(site) {
                continue;
            }
            match notice {
                Notice::Committed { key, entry } => {
                    if let Err(violation) = self.agreement.decided(site, &key, &entry) {
                        panic!("{violation} (seed {})", self.trial.seed);
                    }
                }
                Notice::Settled {
                    submission, won, ..
                } => {
                    if let Some((since, _)) = self.pending.remove(&submission) {
                        self.outcome.latencies.push((at - since) as f64 / 1000.0);
                        self.outcome.overruled += usize::from(!won);
                    }
                }
                Notice::Refused { submission, .. } => {
                    self.outcome.refused += usize::from(self.pending.remove(&submission).is_some());
                }
                Notice::Evidence(_) => self.outcome.evidence += 1,
            }
        }
    }
}

fn seconds(time: Micros) -> f64 {
    time as f64 / SECOND as f64
}

fn used(before: Usage, after: Usage, seconds: f64) -> Use {
    let megabits = |before: u64, after: u64| (after - before) as f64 * 8.0 / 1e6 / seconds;
    let mean = |total: Micros, times: u64| total as f64 / 1000.0 / times.max(1) as f64;
    let messages = after.messages - before.messages;
    Use {
        sent: megabits(before.sent, after.sent),
        received: megabits(before.received, after.received),
        messages: messages as f64 / seconds,
        busy: self::seconds(after.busy - before.busy) / seconds,
        waited: mean(after.waited - before.waited, after.inputs - before.inputs),
        waited_up: mean(after.waited_up - before.waited_up, messages),
    }
}
