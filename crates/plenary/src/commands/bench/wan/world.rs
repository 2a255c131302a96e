//! Both layers over a matrix, in one deterministic run: the engine's simulated network with the
//! validators' real nodes, and real session nodes beside them, one at each site. Messages take what
//! the matrix says; computing and disks take nothing (a turn of the event loop takes a nanosecond).
//!
//! Between the layers it is as over HTTP, on connections that are open already: a transaction goes to
//! the validator that the session node's own rule names, and on to the next where nobody listens;
//! final blocks come as a stream from the nearest validator, and are verified before they are
//! believed.

use super::{
    matrix::Matrix,
    wire::{End, Wire},
};
use bytes::Bytes;
use futures::future::{FutureExt as _, pending, select_all};
use parking_lot::Mutex;
use plenary_consensus::{
    Demand,
    simulation::{Link, Network, Node as Process, Settings},
};
use plenary_service::{Executor, Options, Service};
use plenary_session::{
    follow::{
        Leaders,
        verify::{Link as Tip, Verifier},
    },
    log::Log,
    node::{Bounds, Node as SessionCore, Outside, Parts as SessionParts},
    participation::Participation,
};
use plenary_store::{Entry, Files, Store};
use plenary_types::{
    Digest, Genesis, PrivateKey, PublicKey, Timestamp, Transaction,
    genesis::{ClientSignatures, Member},
};
use plenary_validator::{
    evidence::EvidenceLog,
    flush::Flusher,
    node::{Node as ValidatorCore, Parts as ValidatorParts},
};
use redb::backends::InMemoryBackend;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// The genesis' time, in milliseconds.
const START: u64 = 1_700_000_000_000;
/// What computing costs: the least that the runtime can do.
const TURN: Duration = Duration::from_nanos(1);
/// How often a session node looks through what it has; as its server does.
const TICK: Duration = Duration::from_millis(250);
/// How often a validator broadcasts again what waits; as a running one does.
const REBROADCAST: Duration = Duration::from_secs(1);
/// How long a block may take in real time: the machine may be busy.
const BLOCK_LIMIT: Duration = Duration::from_secs(600);
/// How long validators have to meet, in virtual time.
const MEET: Duration = Duration::from_secs(2);

/// What is simulated.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) service: Arc<Service>,
    pub(super) matrix: Matrix,
    pub(super) validators: usize,
    /// How many of the validators, the last ones, crash before it begins.
    pub(super) crashed: usize,
    pub(super) participation: Participation,
    pub(super) jitter: Duration,
    pub(super) seed: u64,
}

impl Setup {
    /// A key that the seed does not change.
    fn key(kind: &str, index: usize) -> PrivateKey {
        PrivateKey::from_seed(
            Digest::of("plenary bench wan key", &[kind.as_bytes(), &[index as u8]]).0,
        )
    }

    /// Keys in the order that leaders and genesis have them in.
    fn keys(kind: &str, count: usize) -> Vec<PrivateKey> {
        let keys = (0..count).map(|index| Self::key(kind, index));
        let mut keys: Vec<_> = keys.collect();
        keys.sort_by_key(PrivateKey::public_key);
        keys
    }

    fn link(&self, from: usize, to: usize) -> Link {
        // The engine's network cuts each delay to whole milliseconds: with half of one more, that is
        // rounding.
        let rounding = match self.jitter.is_zero() {
            true => Duration::ZERO,
            false => Duration::from_micros(500),
        };
        Link::reliable(self.matrix.delay(from, to) + rounding, self.jitter)
    }
}

/// What arrives at a node.
enum Event {
    /// At a session node, from another one.
    Message {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    /// At the first of the validators that are to be tried.
    Submission(Submission),
    /// Back at the session node: nobody listens at the validator.
    Refused(Submission),
    /// At a session node, from the validator that it follows.
    Block {
        to: usize,
        entry: Box<Entry>,
    },
    Tick,
    Rebroadcast,
}

/// A transaction that a session node sends.
struct Submission {
    from: usize,
    transaction: Transaction,
    /// The validators to try.
    order: Vec<usize>,
}

/// What a session node has let go of.
enum Sent {
    Message(PublicKey, Bytes),
    Transaction(Transaction, usize),
}

#[derive(Clone, Default)]
struct Port(Arc<Mutex<Vec<Sent>>>);

impl Outside for Port {
    fn send(&self, to: &PublicKey, message: Bytes) {
        self.0.lock().push(Sent::Message(*to, message));
    }

    fn submit(&self, transaction: &Transaction, attempt: usize) {
        let sent = Sent::Transaction(transaction.clone(), attempt);
        self.0.lock().push(sent);
    }
}

struct Validator {
    site: usize,
    /// Nothing where it has crashed.
    running: Option<(Arc<ValidatorCore>, watch::Receiver<u64>)>,
}

struct SessionNode {
    node: Arc<SessionCore>,
    port: Port,
    leaders: Leaders,
    verifier: Verifier,
    /// The validator that it follows, and the height of the last block that came from there.
    source: usize,
    streamed: u64,
}

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The run.
pub(super) struct World {
    pub(super) genesis: Arc<Genesis>,
    matrix: Matrix,
    network: Network,
    clock: Clock,
    validators: Vec<Validator>,
    sessions: Vec<SessionNode>,
    wire: Wire<Event>,
}

/// What takes longer than anything should.
#[derive(Debug, thiserror::Error)]
#[error("nothing came of it in {} s of virtual time", .0.as_secs())]
pub(super) struct Stuck(Duration);

/// Runs a script in a world.
pub(super) fn run<T>(setup: &Setup, script: impl AsyncFnOnce(World) -> T) -> Result<T, String> {
    let (keys, session_keys) = (
        Setup::keys("validator", setup.validators),
        Setup::keys("session node", setup.matrix.sites.len()),
    );
    let genesis = genesis(setup, &keys, &session_keys)?;
    let builder = Builder {
        executor: Arc::new(Executor::new(setup.service.clone(), Options::default()).map_err(text)?),
        genesis: Arc::new(genesis),
        setup,
    };
    let settings = Settings {
        seed: setup.seed,
        genesis: builder.genesis.clone(),
        genesis_block: builder.store()?.genesis_block().as_ref().clone(),
        keys: keys.clone(),
        link: Link::reliable(Duration::ZERO, Duration::ZERO),
        turn: TURN,
    };
    plenary_consensus::simulation::run(settings, |network| async move {
        let world = builder.build(network, &keys, &session_keys).await?;
        Ok(script(world).await)
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn genesis(
    setup: &Setup,
    validators: &[PrivateKey],
    sessions: &[PrivateKey],
) -> Result<Genesis, String> {
    let members = |kind: &str, keys: &[PrivateKey]| {
        let keys = keys.iter().enumerate();
        let members = keys.map(|(index, key)| Member {
            name: format!("{kind}-{index}"),
            key: key.public_key(),
        });
        members.collect()
    };
    Genesis::new(
        setup.service.id().name.as_str(),
        Timestamp(START),
        ClientSignatures::Required,
        setup.service.id().clone(),
        members("validator", validators),
        members("session", sessions),
        setup.service.config().clone(),
    )
    .map_err(text)
}

struct Builder<'a> {
    setup: &'a Setup,
    genesis: Arc<Genesis>,
    executor: Arc<Executor>,
}

impl Builder<'_> {
    fn store(&self) -> Result<Arc<Store>, String> {
        let changes = self.executor.genesis(&self.genesis).map_err(text)?;
        let files = Files {
            ledger: InMemoryBackend::new(),
            state: InMemoryBackend::new(),
        };
        let store = Store::open(files, &self.genesis, || Ok::<_, String>(changes));
        Ok(Arc::new(store.map_err(text)?))
    }

    async fn build(
        &self,
        mut network: Network,
        keys: &[PrivateKey],
        session_keys: &[PrivateKey],
    ) -> Result<World, String> {
        let (setup, clock) = (self.setup, Arc::new(network.clock()) as Clock);
        let sites = setup.matrix.place(setup.validators);
        for (from, site) in sites.iter().enumerate() {
            for (to, other) in sites.iter().enumerate().filter(|(to, _)| *to != from) {
                network.set_link(from, to, setup.link(*site, *other)).await;
            }
        }
        let mut validators = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let node = self.validator(&mut network, index, *key, &clock).await?;
            let heights = node.finality.heights();
            validators.push(Validator {
                site: sites[index],
                running: Some((node, heights)),
            });
        }
        network.sleep(MEET).await;
        for index in setup.validators - setup.crashed..setup.validators {
            network.crash(index).await;
            validators[index].running = None;
        }
        let mut sessions = Vec::new();
        for (site, key) in session_keys.iter().enumerate() {
            let source = nearest(&setup.matrix, &validators, site);
            sessions.push(self.session_node(*key, source, &clock)?);
        }
        let mut world = World {
            genesis: self.genesis.clone(),
            matrix: setup.matrix.clone(),
            wire: Wire::new(setup.jitter, setup.seed),
            network,
            clock,
            validators,
            sessions,
        };
        let now = world.now();
        world.wire.at(now + TICK, Event::Tick);
        world.wire.at(now + REBROADCAST, Event::Rebroadcast);
        Ok(world)
    }

    async fn validator(
        &self,
        network: &mut Network,
        index: usize,
        key: PrivateKey,
        clock: &Clock,
    ) -> Result<Arc<ValidatorCore>, String> {
        let (store, demand) = (self.store()?, Demand::new());
        let node = ValidatorCore::new(ValidatorParts {
            genesis: self.genesis.clone(),
            key,
            executor: self.executor.clone(),
            flusher: Flusher::inline(store.clone()),
            store,
            evidence: EvidenceLog::default(),
            demand: demand.clone(),
            block_limit: BLOCK_LIMIT,
            clock: milliseconds(clock),
        });
        let node = Arc::new(node.map_err(text)?);
        let process = Process {
            application: node.clone(),
            demand,
        };
        network.start(index, process).await;
        node.connect(Box::new(network.broadcaster(index)));
        Ok(node)
    }

    fn session_node(
        &self,
        key: PrivateKey,
        source: usize,
        clock: &Clock,
    ) -> Result<SessionNode, String> {
        let (store, port) = (self.store()?, Port::default());
        let failed = |reason| tracing::error!(%reason, "the session log failed");
        let (log, recovered) = Log::inline(InMemoryBackend::new(), failed).map_err(text)?;
        let block = store.genesis_block().clone();
        let node = SessionCore::new(SessionParts {
            genesis: self.genesis.clone(),
            key,
            executor: self.executor.clone(),
            flusher: Flusher::inline(store.clone()),
            store,
            log,
            recovered,
            evidence: Default::default(),
            bounds: Bounds {
                participation: self.setup.participation,
                ..Bounds::default()
            },
            clock: milliseconds(clock),
            outside: Box::new(port.clone()),
        });
        let validators = self.genesis.validators.iter();
        let validators = validators.map(|member| member.key).collect();
        Ok(SessionNode {
            node: Arc::new(node.map_err(text)?),
            leaders: Leaders::new(validators, &block.header),
            verifier: Verifier::new(self.genesis.clone(), Tip::from(&block.header)),
            port,
            source,
            streamed: 0,
        })
    }
}

fn milliseconds(clock: &Clock) -> Box<dyn Fn() -> Timestamp + Send + Sync> {
    let clock = clock.clone();
    Box::new(move || {
        let since = clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis() as u64)
    })
}

/// The running validator that answers a site first; as a session node finds out when it begins.
fn nearest(matrix: &Matrix, validators: &[Validator], site: usize) -> usize {
    let running = validators.iter().enumerate();
    let running = running.filter(|(_, validator)| validator.running.is_some());
    let trip = |validator: &Validator| {
        matrix.delay(site, validator.site) + matrix.delay(validator.site, site)
    };
    let nearest = running.min_by_key(|(_, validator)| trip(validator));
    nearest.map_or(0, |(index, _)| index)
}

impl World {
    /// The time now.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// The session node at a site.
    pub(super) fn node(&self, site: usize) -> &Arc<SessionCore> {
        &self.sessions[site].node
    }

    /// Whether everybody has everything, and nothing is to be done.
    pub(super) fn is_quiet(&self) -> bool {
        let running = self.validators.iter();
        let running = running.filter_map(|validator| validator.running.as_ref());
        let nodes: Vec<_> = running.map(|(node, _)| node).collect();
        let idle = nodes.iter().all(|node| node.pending() == 0);
        let heights = nodes.iter().map(|node| node.store.tip().height);
        let sessions = self.sessions.iter();
        let sessions = sessions.map(|session| session.node.store.tip().height);
        let heights: BTreeSet<_> = heights.chain(sessions).collect();
        idle && heights.len() == 1
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            self.turn(end).await;
        }
    }

    /// Lets time pass until `condition` gives something, but no longer than `limit`.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, Stuck> {
        let end = self.now() + limit;
        loop {
            self.settle();
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            if self.now() >= end {
                return Err(Stuck(limit));
            }
            self.turn(end).await;
        }
    }

    /// Does what there is to do now, and lets time pass until there is more, or until `end`.
    async fn turn(&mut self, end: SystemTime) {
        self.settle();
        let next = self.wire.next().map_or(end, |next| next.min(end));
        let left = next.duration_since(self.now()).unwrap_or_default();
        let running = self.validators.iter_mut();
        let running = running.filter_map(|validator| validator.running.as_mut());
        let grown = running.map(|(_, heights)| {
            let grown = heights.changed().then(|changed| async move {
                if changed.is_err() {
                    pending::<()>().await;
                }
            });
            grown.boxed()
        });
        let sleep = self.network.sleep(left).boxed_local();
        futures::future::select(sleep, select_all(grown)).await;
    }

    /// Does what there is to do now.
    fn settle(&mut self) {
        loop {
            (0..self.sessions.len()).for_each(|from| self.collect(from));
            (0..self.sessions.len()).for_each(|to| self.stream(to));
            match self.wire.arrived(self.now()) {
                Some(event) => self.take(event),
                None => return,
            }
        }
    }

    /// Puts on the wire what a session node has let go of.
    fn collect(&mut self, from: usize) {
        let sent: Vec<Sent> = self.sessions[from].port.0.lock().drain(..).collect();
        for sent in sent {
            match sent {
                Sent::Message(key, bytes) => {
                    let mut nodes = self.sessions.iter();
                    let to = nodes.position(|other| other.node.key.public_key() == key);
                    // Nodes know those of the genesis only, and all of them are here.
                    let Some(to) = to else { continue };
                    let ends = (End::Session(from), End::Session(to));
                    self.send(ends, Event::Message { from, to, bytes });
                }
                Sent::Transaction(transaction, attempt) => {
                    let order = self.sessions[from].leaders.order(attempt);
                    self.submit(Submission {
                        from,
                        transaction,
                        order,
                    });
                }
            }
        }
    }

    /// Sends a transaction to the next validator that is to be tried.
    fn submit(&mut self, submission: Submission) {
        if let Some(first) = submission.order.first() {
            let ends = (End::Session(submission.from), End::Validator(*first));
            self.send(ends, Event::Submission(submission));
        }
    }

    /// Puts on the wire what the validator that a session node follows has made final.
    fn stream(&mut self, to: usize) {
        let source = self.sessions[to].source;
        let Some((node, heights)) = &mut self.validators[source].running else {
            return;
        };
        let (node, tip) = (node.clone(), *heights.borrow_and_update());
        while self.sessions[to].streamed < tip {
            self.sessions[to].streamed += 1;
            let height = self.sessions[to].streamed;
            let entry = node.store.entry(height);
            let entry = entry.expect("a ledger in memory is read");
            let entry = Box::new(entry.expect("what is below the tip is there"));
            let ends = (End::Validator(source), End::Session(to));
            self.send(ends, Event::Block { to, entry });
        }
    }

    fn send(&mut self, ends: (End, End), event: Event) {
        let site = |end| match end {
            End::Session(site) => site,
            End::Validator(index) => self.validators[index].site,
        };
        let delay = self.matrix.delay(site(ends.0), site(ends.1));
        self.wire.send(self.now(), ends, delay, event);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Message { from, to, bytes } => {
                let sender = self.sessions[from].node.key.public_key();
                self.sessions[to].node.receive(sender, bytes);
            }
            Event::Submission(submission) => self.arrive(submission),
            Event::Refused(mut submission) => {
                let validator = submission.order.remove(0);
                self.sessions[submission.from].leaders.failed(validator);
                self.submit(submission);
            }
            Event::Block { to, entry } => self.follow(to, *entry),
            Event::Tick => {
                self.sessions.iter().for_each(|session| session.node.tick());
                self.wire.at(self.now() + TICK, Event::Tick);
            }
            Event::Rebroadcast => {
                let running = self.validators.iter();
                let running = running.filter_map(|validator| validator.running.as_ref());
                running.for_each(|(node, _)| node.rebroadcast());
                self.wire.at(self.now() + REBROADCAST, Event::Rebroadcast);
            }
        }
    }

    fn arrive(&mut self, submission: Submission) {
        let Some(validator) = submission.order.first().copied() else {
            return;
        };
        match &self.validators[validator].running {
            Some((node, _)) => {
                // What is in a block or in the queue already is sent again now and then.
                let _ = node.submit(submission.transaction);
            }
            None => {
                let ends = (End::Validator(validator), End::Session(submission.from));
                self.send(ends, Event::Refused(submission));
            }
        }
    }

    fn follow(&mut self, to: usize, entry: Entry) {
        let SessionNode {
            node,
            leaders,
            verifier,
            ..
        } = &mut self.sessions[to];
        let block = entry.block.as_ref().clone();
        let finals = verifier.push(block, entry.certificate);
        for entry in finals.expect("nobody lies here") {
            leaders.followed(&entry.block.header);
            let taken = node.final_block(&entry.block, entry.certificate);
            taken.expect("all run the same service");
        }
    }
}
