//! The clients: many of one process, each plays the workflow over and over, each with a key of its
//! own. They share connections, and nothing else.
//!
//! In a **closed loop** a client begins anew when its workflow is over. In an **open loop**
//! workflows arrive at fixed times (`schedule`); a client takes the next one when it is free, and the
//! latency counts from when the workflow was meant to begin. A thread of its own keeps the times,
//! for the timers of the event loop are no finer than a millisecond.

use super::{
    schedule::{Lateness, Schedule},
    tally::{self, Part, Tally},
};
use crate::{
    app::App,
    commands::{Failure, system},
    config::Role,
    demo::Demo,
    keys,
    network::{Network, NetworkError},
    player::{Layer, Player},
    supervise::Cluster,
};
use plenary_client::Client;
use plenary_service::{Executor, Options};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// How often the event loop is asked how late it is.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// What clients are to do.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) layer: Layer,
    /// How many there are.
    pub(crate) clients: usize,
    /// Whether they sign.
    pub(crate) signed: bool,
    /// Whether they fetch and check each session's receipt.
    pub(crate) receipts: bool,
    /// Workflows a second of an open loop.
    pub(crate) rate: Option<f64>,
    /// How long they play before it counts.
    pub(crate) warm_up: Duration,
    pub(crate) until: Until,
}

/// How long it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Until {
    /// So long.
    Time(Duration),
    /// Until so many workflows have begun.
    Workflows(u64),
}

/// Clients at work.
pub(crate) struct Generator {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
    probe: JoinSet<()>,
    /// Holds the connections that clients share: what one has carried can be read while it is open only, and
    /// the last client may be gone before that is done.
    _connections: Option<Client>,
}

/// What they share.
struct Shared {
    demo: Arc<Demo>,
    executor: Executor,
    load: Load,
    start: Instant,
    /// When it begins to count.
    from: Instant,
    arrivals: Option<Arrivals>,
    /// How many workflows of a closed loop have begun that count.
    begun: AtomicU64,
    /// No workflow is to begin any more.
    over: AtomicBool,
    tally: Mutex<Tally>,
    lateness: Mutex<Lateness>,
}

/// The workflows of an open loop that are due.
struct Arrivals {
    schedule: Schedule,
    /// How many there will be.
    total: u64,
    /// How many clients have taken.
    taken: AtomicU64,
    /// One permit for each that is due and not taken.
    due: Semaphore,
}

impl Generator {
    /// Sets clients to work on a network that is ready.
    pub(crate) async fn start(
        load: Load,
        app: &App,
        network: &Network,
        cluster: &Cluster,
    ) -> Result<Self, Failure> {
        let demo = app.workflow()?;
        let executor = Executor::new(app.service.clone(), Options::default());
        let executor = executor.map_err(NetworkError::Service)?;
        let clients = clients(&load, network, cluster)?;
        if let Some(client) = clients.first() {
            let player = Player::of(client.clone(), &executor, load.layer, load.receipts);
            rehearse(&player, demo).await?;
        }
        let start = Instant::now();
        let from = start + load.warm_up;
        let steps = demo.steps.iter().map(|step| step.name.clone());
        let shared = Arc::new(Shared {
            demo: demo.clone(),
            executor,
            arrivals: load.rate.map(|rate| Arrivals::of(rate, &load)),
            start,
            from,
            begun: AtomicU64::new(0),
            over: AtomicBool::new(false),
            tally: Mutex::new(Tally::new(from, steps)),
            lateness: Mutex::new(Lateness::new()),
            load,
        });
        if shared.arrivals.is_some() {
            let shared = shared.clone();
            let timer = thread::Builder::new().name("arrivals".into());
            timer
                .spawn(move || shared.release())
                .map_err(system("a thread"))?;
        }
        let (mut workers, mut probe) = (JoinSet::new(), JoinSet::new());
        let connections = clients.first().cloned();
        for client in clients {
            workers.spawn(work(shared.clone(), client));
        }
        if shared.arrivals.is_none() {
            let shared = shared.clone();
            probe.spawn(async move { shared.probe().await });
        }
        Ok(Self {
            shared,
            workers,
            probe,
            _connections: connections,
        })
    }

    /// When it begins to count.
    pub(crate) fn from(&self) -> Instant {
        self.shared.from
    }

    /// Waits until what is to be measured is over.
    pub(crate) async fn finished(&mut self) {
        match self.shared.load.until {
            Until::Time(time) => tokio::time::sleep_until((self.shared.from + time).into()).await,
            Until::Workflows(_) => self.all_done().await,
        }
    }

    async fn all_done(&mut self) {
        // A worker that panics is one that does nothing more.
        while self.workers.join_next().await.is_some() {}
    }

    /// Ends what is measured. In a closed loop, no workflow is begun any more; in an open one, all
    /// that were due are still played. Says how many workflows wait or are played.
    pub(crate) fn close(&self) -> u64 {
        self.shared.over.store(true, Ordering::Relaxed);
        self.tally().close(Instant::now());
        let ended = self.tally().ended();
        let arrived = self.shared.arrivals.as_ref().map(|arrivals| {
            let due = arrivals.schedule.before(self.shared.start.elapsed());
            due.min(arrivals.total)
        });
        arrived.map_or(0, |arrived| arrived.saturating_sub(ended))
    }

    /// No workflow is begun any more, not even one that is due.
    pub(crate) fn stop(&self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(arrivals) = &self.shared.arrivals {
            arrivals.due.close();
        }
    }

    /// Waits until what is being played is over, but no longer than this. What is not over then counts
    /// as failed.
    pub(crate) async fn drain(&mut self, patience: Duration) {
        let in_time = timeout(patience, self.all_done()).await.is_ok();
        if !in_time {
            let left = self.workers.len() as u64;
            let waiting = self.shared.arrivals.as_ref().map_or(0, |arrivals| {
                arrivals
                    .total
                    .saturating_sub(arrivals.taken.load(Ordering::Relaxed))
            });
            self.stop();
            self.workers.shutdown().await;
            self.tally().unfinished(left + waiting);
        }
        self.probe.shutdown().await;
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.shared.tally)
    }

    /// How many workflows an open loop has in all.
    pub(super) fn arrivals(&self) -> Option<u64> {
        self.shared.arrivals.as_ref().map(|arrivals| arrivals.total)
    }

    /// How late the generator was.
    pub(super) fn lateness(&self) -> MutexGuard<'_, Lateness> {
        lock(&self.shared.lateness)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // The thread that keeps the times ends as well.
        self.stop();
    }
}

/// A lock that was held by who panicked guards counters that are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients with keys of their own, spread over the nodes.
fn clients(load: &Load, network: &Network, cluster: &Cluster) -> Result<Vec<Client>, Failure> {
    let first = Client::new(cluster.urls(Role::Validator))?.with_genesis(network.genesis.clone());
    let first = match load.layer {
        Layer::Direct => first,
        Layer::Sessions => first.with_session_nodes(cluster.urls(Role::Session))?,
    };
    let clients = (0..load.clients).map(|number| {
        let client = first.another(number);
        Ok(match load.signed {
            true => client.with_key(keys::generate()?),
            false => client,
        })
    });
    clients.collect()
}

/// Plays the workflow once, before any load: what fails now would only fail more often then.
async fn rehearse(player: &Player<'_>, demo: &Demo) -> Result<(), Failure> {
    let mut playing = player.begin(demo);
    while let Some((_, done)) = playing.next().await? {
        done?;
    }
    Ok(())
}

/// One client, until there is nothing more to play.
async fn work(shared: Arc<Shared>, client: Client) {
    let load = &shared.load;
    let player = Player::of(client, &shared.executor, load.layer, load.receipts);
    while let Some(intended) = shared.next().await {
        let played = play(&player, &shared.demo, intended).await;
        lock(&shared.tally).add(&played);
    }
}

/// Plays the workflow once.
async fn play(player: &Player<'_>, demo: &Demo, intended: Instant) -> tally::Played {
    let mut playing = player.begin(demo);
    let mut played = tally::Played {
        intended,
        ended: intended,
        steps: Vec::with_capacity(demo.steps.len()),
        receipt: None,
        failure: None,
    };
    // The first step was meant to be sent when the workflow was meant to begin.
    let mut late = intended.elapsed();
    loop {
        match playing.next().await {
            Ok(None) => break,
            Ok(Some((step, Ok(done)))) => {
                played.receipt = played.receipt.or(step.receipt);
                let part = match (step.at_layer2, step.commits) {
                    (true, _) => Part::Step,
                    (false, true) => Part::Commit,
                    (false, false) => Part::Alone,
                };
                played.steps.push(tally::Step {
                    part,
                    latency: step.latency + std::mem::take(&mut late),
                    ended: Instant::now(),
                    transaction: done.transaction.is_some(),
                });
            }
            Ok(Some((step, Err(failure)))) => {
                played.failure = Some((step.step, failure.kind()));
                break;
            }
            Err(unplayable) => {
                played.failure = Some((unplayable.step, "missing-answer".into()));
                break;
            }
        }
    }
    played.ended = Instant::now();
    played
}

impl Shared {
    /// When the next workflow was meant to begin, once there is one.
    async fn next(&self) -> Option<Instant> {
        let Some(arrivals) = &self.arrivals else {
            return self.next_of_closed_loop();
        };
        arrivals.due.acquire().await.ok()?.forget();
        let number = arrivals.taken.fetch_add(1, Ordering::Relaxed);
        let is_one = number < arrivals.total;
        is_one.then(|| self.start + arrivals.schedule.at(number))
    }

    fn next_of_closed_loop(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        match self.load.until {
            Until::Workflows(count) if now >= self.from => {
                (self.begun.fetch_add(1, Ordering::Relaxed) < count).then_some(now)
            }
            _ => Some(now),
        }
    }

    /// Releases the workflows of an open loop, each at its time.
    fn release(&self) {
        let Some(arrivals) = &self.arrivals else {
            return;
        };
        for number in 0..arrivals.total {
            let due = arrivals.schedule.at(number);
            thread::sleep(due.saturating_sub(self.start.elapsed()));
            if arrivals.due.is_closed() {
                return;
            }
            let mut lateness = lock(&self.lateness);
            lateness.went_off(due, self.start.elapsed());
            if arrivals.due.available_permits() > 0 {
                lateness.has_to_wait();
            }
            drop(lateness);
            arrivals.due.add_permits(1);
        }
        // Whoever waits for another one is told that there is none.
        arrivals.due.add_permits(self.load.clients);
    }

    /// Measures how late the event loop is, for as long as it is polled.
    async fn probe(&self) {
        loop {
            let due = self.start.elapsed() + PROBE_EVERY;
            tokio::time::sleep_until((self.start + due).into()).await;
            lock(&self.lateness).went_off(due, self.start.elapsed());
        }
    }
}

impl Arrivals {
    fn of(rate: f64, load: &Load) -> Self {
        let schedule = Schedule::new(rate);
        let total = match load.until {
            Until::Time(time) => schedule.before(load.warm_up + time),
            Until::Workflows(count) => schedule.before(load.warm_up) + count,
        };
        Self {
            schedule,
            total,
            taken: AtomicU64::new(0),
            due: Semaphore::new(0),
        }
    }
}
