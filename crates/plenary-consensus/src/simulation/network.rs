//! The network of a run, as the script sees it.

use super::{Link, Misbehaviour, Node, Settings, byzantine};
use crate::{
    Status, convert,
    failure::Failure,
    gossip::Broadcaster,
    observer::Observations,
    stack::{self, CHANNELS, Parts},
    store::WINDOW,
};
use bytes::Bytes;
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use commonware_p2p::{
    Receiver, Recipients, Sender,
    simulated::{self, Oracle, SplitOrigin, SplitTarget},
};
use commonware_runtime::{
    Clock as _, Handle, Metrics as _, Spawner as _, Supervisor as _, deterministic::Context,
};
use commonware_utils::{NZUsize, Probability};
use futures::future::select_all;
use plenary_types::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{mpsc, oneshot};

/// An engine that runs, of a validator.
struct Running {
    broadcaster: Broadcaster,
    observations: Arc<Observations>,
    failure: Failure,
    met: mpsc::UnboundedSender<PublicKey>,
}

/// A validator's place in the network.
struct Place {
    key: PrivateKey,
    /// Its engines: one where it is correct, two where it is twins, none where it lies by hand.
    engines: Vec<Running>,
    task: Option<Handle<()>>,
    /// How often its files were lost.
    lives: u32,
}

impl Place {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }
}

/// A simulated network, and what a script can do with it.
pub struct Network {
    context: Context,
    settings: Settings,
    oracle: Oracle<PublicKey, Context>,
    places: Vec<Place>,
    links: BTreeMap<(usize, usize), Link>,
    cut: BTreeSet<(usize, usize)>,
    window: u64,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("settings", &self.settings)
            .field("links", &self.links)
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

type Channel = (
    simulated::Sender<PublicKey, Context>,
    simulated::Receiver<PublicKey>,
);

impl Network {
    pub(super) async fn new(context: Context, settings: Settings) -> Self {
        let mut keys: Vec<_> = settings.keys.iter().map(convert::signing_key).collect();
        keys.sort_by_key(PrivateKey::public_key);
        let validators = u32::try_from(keys.len()).expect("few validators");
        let config = simulated::Config {
            max_size: stack::max_message_size(validators),
            max_peers_per_set: NonZeroUsize::new(keys.len()).expect("a validator"),
            // A liar who is found out can go on, which is the harder case.
            disconnect_on_block: false,
            tracked_peer_sets: NZUsize!(1),
        };
        let peers: Vec<_> = keys.iter().map(PrivateKey::public_key).collect();
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, peers).await;
        network.start();
        let places = keys.into_iter().map(|key| Place {
            key,
            engines: Vec::new(),
            task: None,
            lives: 0,
        });
        let mut network = Self {
            places: places.collect(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            window: WINDOW,
            context,
            settings,
            oracle,
        };
        for (from, to) in network.pairs() {
            network.links.insert((from, to), network.settings.link);
            network.add_link(from, to).await;
        }
        network
    }

    /// Every two validators, in both directions.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let all = 0..self.places.len();
        let pairs = all
            .clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    async fn add_link(&mut self, from: usize, to: usize) {
        const PARTS: u64 = 1_000_000;
        let Link {
            latency,
            jitter,
            loss,
        } = self.links[&(from, to)];
        let arriving = ((1.0 - loss.clamp(0.0, 1.0)) * PARTS as f64) as u64;
        let link = simulated::Link {
            latency,
            jitter,
            success_rate: Probability::new(arriving, PARTS).expect("at most one"),
        };
        let (from, to) = (self.places[from].public_key(), self.places[to].public_key());
        let added = self.oracle.add_link(from, to, link).await;
        added.expect("the simulated network runs as long as the script");
    }

    async fn remove_link(&mut self, from: usize, to: usize) {
        let (from, to) = (self.places[from].public_key(), self.places[to].public_key());
        let removed = self.oracle.remove_link(from, to).await;
        removed.expect("the simulated network runs as long as the script");
    }

    async fn channels(&self, validator: usize) -> [Channel; 6] {
        let control = self.oracle.control(self.places[validator].public_key());
        let mut channels = Vec::new();
        for (channel, quota) in (0..).zip(CHANNELS) {
            let registered = control.register(channel, quota).await;
            channels.push(registered.expect("the simulated network runs as long as the script"));
        }
        let channels = <[_; 6]>::try_from(channels);
        channels.unwrap_or_else(|_| unreachable!("as many as there are quotas"))
    }

    /// Sets how many final blocks engines keep beside the application's ledger, for those that
    /// are started from now on; the same for all of a validator's starts.
    pub fn keep(&mut self, blocks: u64) {
        self.window = blocks;
    }

    /// Starts, or after a crash restarts, a correct validator; its engine's files are those it
    /// had before.
    ///
    /// # Panics
    ///
    /// Where the validator runs.
    pub async fn start(&mut self, validator: usize, node: Node) {
        let channels = self.channels(validator).await;
        let prefix = format!("v{validator}-{}", self.places[validator].lives);
        let (ready, engine) = oneshot::channel();
        let context = self.validator_context(validator);
        let launch = self.launch(validator, node, channels, prefix, ready);
        self.enter(validator, context.spawn(launch), vec![engine])
            .await;
    }

    /// Starts two engines with the same key. Both hear everything; the first speaks to validators
    /// with an even index, the second to the others. Where they have different things to commit,
    /// this is a leader who equivocates, and a voter who does, as well as they possibly can.
    ///
    /// # Panics
    ///
    /// Where the validator runs.
    pub async fn start_twins(&mut self, validator: usize, nodes: [Node; 2]) {
        let keys: Vec<_> = self.places.iter().map(Place::public_key).collect();
        let parity =
            move |key: &PublicKey| keys.iter().position(|other| other == key).unwrap_or(0) % 2;
        let all: Vec<_> = self.places.iter().map(Place::public_key).collect();
        let forward = move |origin: SplitOrigin, recipients: &Recipients<PublicKey>, _: &_| {
            let side = usize::from(origin == SplitOrigin::Secondary);
            let named = match recipients {
                Recipients::All => all.clone(),
                Recipients::Some(keys) => keys.clone(),
                Recipients::One(key) => vec![key.clone()],
            };
            let named: Vec<_> = named
                .into_iter()
                .filter(|key| parity(key) == side)
                .collect();
            (!named.is_empty()).then_some(Recipients::Some(named))
        };
        let [first, second] = nodes;
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        let context = self.validator_context(validator);
        for (sender, receiver) in self.channels(validator).await {
            let (send_first, send_second) = sender.split_with(forward.clone());
            let split = context.child("split");
            let (hear_first, hear_second) = receiver.split_with(split, |_| SplitTarget::Both);
            firsts.push((send_first, hear_first));
            seconds.push((send_second, hear_second));
        }
        let pair = |channels: Vec<_>| {
            <[_; 6]>::try_from(channels).unwrap_or_else(|_| unreachable!("as many as before"))
        };
        let (ready_first, engine_first) = oneshot::channel();
        let (ready_second, engine_second) = oneshot::channel();
        let prefix = |twin| format!("v{validator}-{twin}");
        let first = self.launch(validator, first, pair(firsts), prefix("a"), ready_first);
        let second = self.launch(validator, second, pair(seconds), prefix("b"), ready_second);
        let task = context.spawn(move |context| async move {
            let first = context.child("first").spawn(first);
            let second = context.child("second").spawn(second);
            // Either's end is the end of both.
            let _ = select_all([first, second]).await;
        });
        self.enter(validator, task, vec![engine_first, engine_second])
            .await;
    }

    /// Starts a validator that lies with the engine's messages.
    ///
    /// # Panics
    ///
    /// Where the validator runs.
    pub async fn start_byzantine(&mut self, validator: usize, misbehaviour: Misbehaviour) {
        let [votes, certificates, rest @ ..] = self.channels(validator).await;
        let genesis = &self.settings.genesis;
        let namespace = plenary_types::certificate::namespace(&genesis.hash());
        let key = self.places[validator].key.clone();
        let participants = convert::participants(genesis);
        let scheme = convert::EngineScheme::signer(&namespace, participants, key)
            .expect("the keys are the genesis'");
        let task = self
            .validator_context(validator)
            .spawn(move |_| async move {
                byzantine::misbehave(misbehaviour, scheme, votes, certificates).await;
                drop(rest);
            });
        self.enter(validator, task, Vec::new()).await;
    }

    fn validator_context(&self, validator: usize) -> Context {
        self.context
            .child("validator")
            .with_attribute("index", validator)
    }

    /// An engine's task: starts it, and runs until a part of it ends.
    fn launch<S, R>(
        &self,
        validator: usize,
        node: Node,
        channels: [(S, R); 6],
        prefix: String,
        ready: oneshot::Sender<Running>,
    ) -> impl FnOnce(Context) -> futures::future::BoxFuture<'static, ()> + Send + 'static
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let (news, met) = mpsc::unbounded_channel();
        let failure = Failure::none();
        let key = self.places[validator].key.clone();
        let parts = Parts {
            blocker: self.oracle.control(key.public_key()),
            key,
            genesis: self.settings.genesis.clone(),
            genesis_block: self.settings.genesis_block.clone(),
            application: node.application,
            demand: node.demand,
            failure: failure.clone(),
            provider: self.oracle.manager(),
            channels,
            met,
            prefix,
            window: self.window,
        };
        move |context: Context| {
            Box::pin(async move {
                let stack = stack::launch(context, parts).await;
                let running = Running {
                    broadcaster: stack.broadcaster,
                    observations: stack.observations,
                    failure: failure.clone(),
                    met: news,
                };
                // The script waits for it.
                let _ = ready.send(running);
                let tasks = stack.tasks.into_iter();
                let ends = tasks.map(|(name, task)| Box::pin(async move { (name, task.await) }));
                let ((name, result), ..) = select_all(ends).await;
                failure.set(format!("its {name} ended ({result:?})"));
            })
        }
    }

    /// Waits until a validator's engines run, and connects them.
    async fn enter(
        &mut self,
        validator: usize,
        task: Handle<()>,
        engines: Vec<oneshot::Receiver<Running>>,
    ) {
        assert!(
            self.places[validator].task.is_none(),
            "validator {validator} runs already"
        );
        self.places[validator].task = Some(task);
        for engine in engines {
            let engine = engine.await.expect("an engine starts or panics");
            self.places[validator].engines.push(engine);
        }
        for other in 0..self.places.len() {
            if other != validator && !self.cut.contains(&(validator, other)) {
                self.meet(validator, other);
                self.meet(other, validator);
            }
        }
    }

    /// As TCP does when a connection is made.
    fn meet(&self, validator: usize, other: usize) {
        if self.places[other].task.is_some() {
            for engine in &self.places[validator].engines {
                // An engine that has failed meets nobody.
                let _ = engine.met.send(self.places[other].public_key());
            }
        }
    }

    /// Kills a validator's process, at whatever it is doing. Everything it wrote stays.
    pub async fn crash(&mut self, validator: usize) {
        for engine in self.places[validator].engines.drain(..) {
            engine.failure.stop();
        }
        if let Some(task) = self.places[validator].task.take() {
            task.abort();
            // However it ended, it has.
            let _ = task.await;
            // Its parts are dropped when they are next looked at.
            self.context.sleep(Duration::from_millis(1)).await;
        }
    }

    /// Loses the engine's files of a validator that does not run.
    pub fn lose_files(&mut self, validator: usize) {
        self.places[validator].lives += 1;
    }

    /// Whether a validator runs.
    pub fn is_running(&self, validator: usize) -> bool {
        self.places[validator].task.is_some()
    }

    /// Sets every link that is not cut.
    pub async fn set_links(&mut self, link: Link) {
        for (from, to) in self.pairs() {
            self.set_link(from, to, link).await;
        }
    }

    /// Sets the link from one validator to another, in this direction.
    pub async fn set_link(&mut self, from: usize, to: usize, link: Link) {
        self.links.insert((from, to), link);
        if !self.cut.contains(&(from, to)) {
            self.remove_link(from, to).await;
            self.add_link(from, to).await;
        }
    }

    /// Cuts every link between validators of different groups, and restores those within one. A
    /// validator in no group is alone.
    pub async fn partition(&mut self, groups: &[&[usize]]) {
        for (from, to) in self.pairs() {
            let together = groups
                .iter()
                .any(|group| group.contains(&from) && group.contains(&to));
            if together && self.cut.remove(&(from, to)) {
                self.add_link(from, to).await;
                self.meet(from, to);
            }
            if !together && self.cut.insert((from, to)) {
                self.remove_link(from, to).await;
            }
        }
    }

    /// Restores every link, and reconnects those that were cut.
    pub async fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.cut) {
            self.add_link(from, to).await;
            self.meet(from, to);
        }
    }

    /// Broadcasts a message of a validator's application.
    pub fn broadcast(&self, validator: usize, message: &Bytes) {
        for engine in &self.places[validator].engines {
            engine.broadcaster.broadcast(message.clone());
        }
    }

    /// Broadcasts messages of a running validator's application, from wherever it is called.
    pub fn broadcaster(&self, validator: usize) -> impl Fn(Bytes) + Send + Sync + use<> {
        let engines = self.places[validator].engines.iter();
        let broadcasters: Vec<_> = engines.map(|engine| engine.broadcaster.clone()).collect();
        move |message| {
            for broadcaster in &broadcasters {
                broadcaster.broadcast(message.clone());
            }
        }
    }

    /// A correct validator's engine now; nothing where it does not run.
    pub fn status(&self, validator: usize) -> Option<Status> {
        let engine = self.places[validator].engines.first()?;
        let others = 0..self.places.len();
        let connected = others.filter(|other| {
            *other != validator
                && self.places[*other].task.is_some()
                && !self.cut.contains(&(validator, *other))
        });
        let connected =
            connected.map(|other| convert::public_key(&self.places[other].public_key()));
        Some(Status::of(&engine.observations, connected.collect()))
    }

    /// Why a validator's engine stopped by itself, where it has.
    pub fn failure(&self, validator: usize) -> Option<String> {
        let engines = self.places[validator].engines.iter();
        engines.filter_map(|engine| engine.failure.get()).next()
    }

    /// Who has cut off whom, for breaking the rules.
    pub async fn blocked(&self) -> Vec<(usize, usize)> {
        let index = |key| {
            let place = self
                .places
                .iter()
                .position(|place| place.public_key() == key);
            place.expect("only validators are in the network")
        };
        let blocked = self.oracle.blocked().await;
        let blocked = blocked.expect("the simulated network runs as long as the script");
        blocked
            .into_iter()
            .map(|(by, whom)| (index(by), index(whom)))
            .collect()
    }

    /// How many messages validators have sent to each other so far.
    pub fn messages(&self) -> u64 {
        let metrics = self.context.encode();
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("network_messages_sent_total"));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    }

    /// A digest of everything that has happened, to compare two runs with.
    pub fn audit(&self) -> String {
        self.context.auditor().state()
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.context.sleep(duration).await;
    }

    /// Lets virtual time pass until `condition` holds; false where it does not within `limit`.
    pub async fn wait(&self, limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let deadline = self.context.current() + limit;
        while !condition() {
            if self.context.current() >= deadline {
                return false;
            }
            self.context.sleep(Duration::from_millis(1)).await;
        }
        true
    }

    /// The virtual clock.
    pub fn now(&self) -> Timestamp {
        convert::timestamp(self.context.current())
    }

    /// The virtual clock, to be read to the nanosecond, and from anywhere.
    pub fn clock(&self) -> impl Fn() -> SystemTime + Clone + Send + Sync + use<> {
        let clock = Arc::new(self.context.child("clock"));
        move || clock.current()
    }
}
