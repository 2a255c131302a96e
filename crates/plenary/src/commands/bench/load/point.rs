//! One point of a measurement: one load on one fresh network, and what it comes to.

use super::{
    generator::{Generator, Load},
    tally::{Done, Failed, Latency},
    verdict::{self, Offered},
};
use crate::{
    app::App,
    commands::{
        Failure,
        bench::{
            lab::{Lab, Size},
            usage::{Disk, Processes, Used},
            wire::{Carried, Wire},
        },
    },
    config::Role,
    signals::Stop,
};
use plenary_types::genesis::ClientSignatures;
use serde::Serialize;
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

/// How often connections are looked at, and progress is shown.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long what is being played when the time is over may take. A client gives up after 30 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);

/// The same, when someone waits for the end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What one load came to.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    /// `session` or `direct`.
    pub(super) mode: &'static str,
    pub(super) clients: usize,
    /// Workflows that arrived a second; nothing in a closed loop.
    pub(super) rate: Option<f64>,
    /// How long it was measured.
    pub(super) seconds: f64,
    /// Whether someone stopped it before its time.
    pub(super) interrupted: bool,
    pub(super) done: Done,
    pub(super) workflows_per_s: f64,
    pub(super) steps_per_s: f64,
    /// By kind: `step`, `commit`, `alone`, `receipt`, `workflow`.
    pub(super) latencies: Vec<Latency>,
    /// By step of the workflow.
    pub(super) steps: Vec<Latency>,
    pub(super) failures: Vec<Failed>,
    /// Workflows that had arrived and were not over when the time was.
    pub(super) backlog: Option<u64>,
    /// Why the network is saturated, where it is.
    pub(super) saturated: Option<String>,
    pub(super) nodes: Vec<NodeUse>,
    /// Processor time of all nodes for a workflow.
    pub(super) processor_ms_per_workflow: Option<f64>,
    /// Growth of all of a role's files from the start to the end, warm-up included, for a workflow.
    pub(super) disk_bytes_per_workflow: Option<PerRole>,
    /// What connections carried for a transaction.
    pub(super) wire_bytes_per_transaction: Option<PerLink>,
    pub(super) generator: verdict::Generator,
    pub(super) warnings: Vec<String>,
    pub(super) startup_ms: u128,
}

/// What one node used.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NodeUse {
    pub(super) node: String,
    pub(super) role: Role,
    pub(super) processor_s: f64,
    pub(super) processor_ms_per_workflow: Option<f64>,
    pub(super) memory_before_mib: f64,
    pub(super) memory_after_mib: f64,
    /// The largest of all samples.
    pub(super) memory_largest_mib: f64,
}

/// Bytes at all nodes of a role together.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PerRole {
    pub(super) validators: f64,
    pub(super) session_nodes: f64,
}

/// Bytes by who talks with whom.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PerLink {
    pub(super) between_validators: f64,
    pub(super) between_session_nodes: f64,
    pub(super) between_layers: f64,
    pub(super) with_clients: f64,
}

/// A look at the nodes' memory.
pub(super) struct Sample<'a> {
    /// Since the network was ready.
    pub(super) seconds: f64,
    pub(super) workflows: u64,
    /// The nodes, and how much each has.
    pub(super) nodes: Vec<(&'a str, u64)>,
}

/// What is asked of every point.
pub(super) struct Plan<'a> {
    pub(super) app: &'a App,
    pub(super) size: Size,
    pub(super) load: Load,
    /// How often memory is looked at.
    pub(super) sample: Duration,
    /// Where the p99 of a workflow says that the network is saturated.
    pub(super) limit: Duration,
}

/// Who is told how it goes.
pub(super) trait Watch {
    /// So many workflows are done, in this time.
    fn progress(&mut self, workflows: u64, elapsed: Duration);
    /// Nodes have so much memory.
    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), Failure>;
}

/// What nodes, generator and connections had used at one moment.
struct Mark {
    at: Instant,
    used: Vec<Used>,
    own: Duration,
    carried: Option<Carried>,
}

/// Measures one point on a network of its own.
pub(super) async fn measure(
    plan: &Plan<'_>,
    stop: &mut Stop,
    watch: &mut impl Watch,
) -> Result<Point, Failure> {
    let signatures = match plan.load.signed {
        true => ClientSignatures::Required,
        false => ClientSignatures::Optional,
    };
    let mut lab = tokio::select! {
        lab = Lab::start(plan.app, plan.size, signatures) => lab?,
        by = stop.asked() => return Err(Failure::Stopped(by)),
    };
    match observe(plan, &mut lab, stop, watch).await {
        Err(error) => {
            lab.abandon().await;
            Err(error)
        }
        point => {
            lab.stop().await;
            point
        }
    }
}

async fn observe(
    plan: &Plan<'_>,
    lab: &mut Lab,
    stop: &mut Stop,
    watch: &mut impl Watch,
) -> Result<Point, Failure> {
    let mut observer = Observer::new(lab);
    let disk = Disk::of(&lab.network);
    let load = plan.load.clone();
    let mut generator = Generator::start(load, plan.app, &lab.network, &lab.cluster).await?;
    let (from, interrupted) = tokio::select! {
        going = go_on(plan.sample, &mut generator, &mut observer, stop, watch) => going?,
        ended = lab.cluster.ended() => return Err(ended.into()),
    };
    let backlog = generator.close();
    let until = observer.mark();
    let patience = match interrupted {
        true => STOP_WITHIN,
        false => DRAIN_WITHIN,
    };
    if interrupted {
        generator.stop();
    }
    tokio::select! {
        () = generator.drain(patience) => {}
        ended = lab.cluster.ended() => return Err(ended.into()),
    }
    let all = generator.tally().all();
    watch.sample(&observer.sample(all))?;
    let grown = Disk::of(&lab.network).since(disk);
    let from = from.ok_or(Failure::Stopped("Ctrl-C, before anything was measured"))?;
    let nodes = observer.nodes(&from, &until);
    let mut point = Point::of(plan, &generator, &from, &until, nodes);
    point.disk_bytes_per_workflow = per(all, |share| PerRole {
        validators: share(grown.validators),
        session_nodes: share(grown.session_nodes),
    });
    point.interrupted = interrupted;
    point.startup_ms = lab.startup.as_millis();
    point.judge(plan.limit, backlog);
    Ok(point)
}

/// Watches until the time that is measured is over, or someone stops it: what was used when it began,
/// and whether it was stopped.
async fn go_on(
    sample: Duration,
    generator: &mut Generator,
    observer: &mut Observer,
    stop: &mut Stop,
    watch: &mut impl Watch,
) -> Result<(Option<Mark>, bool), Failure> {
    let mut look = interval(LOOK_EVERY.min(sample));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begins = tokio::time::sleep_until(generator.from().into());
    tokio::pin!(begins);
    let (mut from, mut sampled) = (None, None::<Instant>);
    loop {
        tokio::select! {
            biased;
            _ = stop.asked() => return Ok((from, true)),
            () = &mut begins, if from.is_none() => from = Some(observer.mark()),
            () = generator.finished() => return Ok((from, false)),
            _ = look.tick() => {
                let workflows = generator.tally().all();
                watch.progress(workflows, observer.start.elapsed());
                if sampled.is_none_or(|at| at.elapsed() >= sample) {
                    sampled = Some(Instant::now());
                    watch.sample(&observer.sample(workflows))?;
                }
                observer.wire.carried();
            }
        }
    }
}

/// Watches nodes and connections of a network.
struct Observer {
    start: Instant,
    processes: Processes,
    wire: Wire,
    before: Vec<Used>,
    after: Vec<Used>,
    largest: Vec<u64>,
}

impl Observer {
    fn new(lab: &Lab) -> Self {
        let mut processes = Processes::of(&lab.cluster.nodes);
        let before = processes.used();
        Self {
            start: Instant::now(),
            wire: Wire::of(&lab.network),
            largest: before.iter().map(|used| used.memory).collect(),
            after: before.clone(),
            before,
            processes,
        }
    }

    fn mark(&mut self) -> Mark {
        Mark {
            at: Instant::now(),
            used: self.processes.used(),
            own: self.processes.own(),
            carried: self.wire.carried(),
        }
    }

    fn sample(&mut self, workflows: u64) -> Sample<'_> {
        self.after = self.processes.used();
        for (largest, now) in self.largest.iter_mut().zip(&self.after) {
            *largest = now.memory.max(*largest);
        }
        let nodes = self.processes.nodes.iter().zip(&self.after);
        Sample {
            seconds: self.start.elapsed().as_secs_f64(),
            workflows,
            nodes: nodes
                .map(|(node, used)| (node.name.as_str(), used.memory))
                .collect(),
        }
    }

    /// What each node used between two moments.
    fn nodes(&self, from: &Mark, until: &Mark) -> Vec<NodeUse> {
        let nodes = self.processes.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, node)| {
            let spent = until.used[index].processor - from.used[index].processor;
            NodeUse {
                node: node.name.clone(),
                role: node.role,
                processor_s: spent.as_secs_f64(),
                processor_ms_per_workflow: None,
                memory_before_mib: mib(self.before[index].memory),
                memory_after_mib: mib(self.after[index].memory),
                memory_largest_mib: mib(self.largest[index]),
            }
        });
        nodes.collect()
    }
}

impl Point {
    fn of(
        plan: &Plan<'_>,
        generator: &Generator,
        from: &Mark,
        until: &Mark,
        mut nodes: Vec<NodeUse>,
    ) -> Self {
        let (tally, load) = (generator.tally(), &plan.load);
        let (done, seconds) = (tally.done(), (until.at - from.at).as_secs_f64());
        let rate = |count: u64| count as f64 / seconds.max(f64::EPSILON);
        for node in &mut nodes {
            let spent = node.processor_s * 1000.0;
            node.processor_ms_per_workflow = per(done.workflows, |share| spent * share(1));
        }
        let spent: f64 = nodes.iter().map(|node| node.processor_s).sum();
        let carried = until.carried.zip(from.carried);
        let carried = carried.map(|(until, from)| until.since(from));
        let mut point = Self {
            mode: super::mode_name(load.layer),
            clients: load.clients,
            rate: load.rate,
            seconds,
            interrupted: false,
            done,
            workflows_per_s: rate(done.workflows),
            steps_per_s: rate(done.steps),
            latencies: tally.kinds(),
            steps: tally.steps(),
            failures: tally.failures(),
            backlog: None,
            saturated: None,
            processor_ms_per_workflow: per(done.workflows, |share| spent * 1000.0 * share(1)),
            nodes,
            disk_bytes_per_workflow: None,
            wire_bytes_per_transaction: carried.and_then(|carried| {
                per(done.transactions, |share| PerLink {
                    between_validators: share(carried.validators),
                    between_session_nodes: share(carried.session_nodes),
                    between_layers: share(carried.layers),
                    with_clients: share(carried.clients),
                })
            }),
            generator: own_use(generator, until.own - from.own, spent, seconds),
            warnings: Vec::new(),
            startup_ms: 0,
        };
        let workflow_ms = point.latency("workflow").map(|it| it.p50_ms);
        point.warnings = point.generator.warnings(workflow_ms, load.clients);
        point
    }

    /// Says whether an open loop saturated the network, with so many workflows not over at the end.
    fn judge(&mut self, limit: Duration, backlog: u64) {
        let Some(rate) = self.rate else {
            return;
        };
        let p99 = self.latency("workflow").map(|it| it.p99_ms / 1000.0);
        let offered = Offered {
            rate,
            backlog,
            p99: p99.map(Duration::from_secs_f64),
        };
        self.backlog = Some(backlog);
        self.saturated = offered.saturated(limit);
    }

    /// The latencies of one kind, where there are any.
    pub(super) fn latency(&self, kind: &str) -> Option<&Latency> {
        self.latencies.iter().find(|latency| latency.what == kind)
    }

    /// How many workflows failed.
    pub(super) fn failed(&self) -> u64 {
        self.failures.iter().map(|failed| failed.count).sum()
    }
}

/// What the generator did, in a time in which nodes used so many seconds of processor time.
fn own_use(generator: &Generator, own: Duration, nodes: f64, seconds: f64) -> verdict::Generator {
    let lateness = generator.lateness();
    let ms = |late: Duration| late.as_secs_f64() * 1000.0;
    verdict::Generator {
        cores_used: own.as_secs_f64() / seconds,
        nodes_cores_used: nodes / seconds,
        cores: thread::available_parallelism().map_or(1, Into::into),
        timers_late_p50_ms: ms(lateness.at(0.5)),
        timers_late_p99_ms: ms(lateness.at(0.99)),
        arrivals_waited_share: generator
            .arrivals()
            .map(|arrivals| lateness.waited() as f64 / arrivals.max(1) as f64),
    }
}

/// What falls to each of `count`, where there are any.
fn per<T>(count: u64, of: impl FnOnce(&dyn Fn(u64) -> f64) -> T) -> Option<T> {
    (count > 0).then(|| of(&|total| total as f64 / count as f64))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
