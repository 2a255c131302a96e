//! One validator's engine, put together, over any runtime and any network.
//!
//! Five parts of Commonware: *simplex* agrees on digests, *buffered* sends the blocks behind
//! them, *marshal* keeps what is final and hands it out in order, a *resolver* fetches what a
//! peer has and this validator has not, and *deferred* joins them to the application.

use crate::{
    Application, Demand, MAX_UNACKNOWLEDGED,
    adapter::Adapter,
    block::EngineBlock,
    clock::{Gate, Paced},
    convert::{self, EPOCH, EngineFinalization, EngineScheme},
    delivery::{self, Delivery, Marshal},
    failure::Failure,
    gossip::{self, Broadcaster, Gossip},
    observer::{Observations, Observer, election},
    store::{self, Ledger, Window},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporters,
    marshal::{
        self, Start,
        core::Actor,
        resolver::p2p as backfill,
        standard::{Deferred, Standard},
    },
    simplex::{
        self, Floor,
        config::{ForwardPolicy, SkipBudget, SkipPolicy},
    },
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    Digestible as _, Signer as _,
    certificate::{ConstantProvider, Scheme as _},
    ed25519::{PrivateKey, PublicKey},
    sha256::Digest,
};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle, Metrics, Quota, Spawner, Storage, Supervisor as _, buffer::paged::CacheRef,
};
use commonware_utils::{NZDuration, NZU16, NZU32, NZU64, NZUsize};
use plenary_types::{Block, Genesis};
use rand_core::CryptoRng;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How long a leader may take to propose before the others give up its view, in engine time.
const LEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a view may take to be certified before it is given up.
const CERTIFICATION_TIMEOUT: Duration = Duration::from_millis(1500);
/// How often a vote to give up a view is repeated.
const RETRY: Duration = Duration::from_millis(800);
/// After how long without a word a leader is skipped at once; so crashed validators cost
/// nothing, once noticed.
const SKIP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer may take to answer a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait after a fetch that brought nothing.
const FETCH_RETRY: Duration = Duration::from_millis(100);
/// How many views behind the last final one votes and certificates are kept: what late votes are
/// compared with, and what slow peers may ask for.
const VIEWS: ViewDelta = ViewDelta::new(32);
/// Most blocks that are fetched at a time.
const MAX_REPAIR: NonZeroUsize = NZUsize!(64);
/// Buffers of the engine's files, in bytes.
const BUFFER: NonZeroUsize = NZUsize!(64 * 1024);
/// Most messages that wait for one of the engine's parts.
const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// The longest height a block can have: the epoch never ends.
const EPOCH_HEIGHTS: u64 = 1 << 62;

/// The network's channels. Quotas are per peer; queues and memory are proportional to them.
pub(crate) const CHANNELS: [Quota; 6] = [
    // Votes: two a view.
    Quota::per_second(NZU32!(1024)),
    // Certificates: two a view, and one for each tip.
    Quota::per_second(NZU32!(1024)),
    // Certificates that are asked for.
    Quota::per_second(NZU32!(256)),
    // Blocks.
    Quota::per_second(NZU32!(256)),
    // Blocks that are asked for.
    Quota::per_second(NZU32!(2048)),
    // Broadcasts of the application, gathered, and tips.
    Quota::per_second(NZU32!(1024)),
];

/// The largest message that any channel carries.
pub(crate) fn max_message_size(validators: u32) -> u32 {
    commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<EngineScheme, Digest>(validators),
        marshal::max_payload_size::<Standard<EngineBlock>, EngineScheme>(validators, &()),
        gossip::MAX_MESSAGE_BYTES,
    ])
}

/// What an engine is given by whoever starts it.
pub(crate) struct Parts<P, B, S, R> {
    pub(crate) key: PrivateKey,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) genesis_block: Block,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) demand: Demand,
    pub(crate) failure: Failure,
    /// Who the peers are.
    pub(crate) provider: P,
    /// Cuts off peers that misbehave.
    pub(crate) blocker: B,
    /// One pair for each of [`CHANNELS`].
    pub(crate) channels: [(S, R); 6],
    /// Peers with which a connection was made.
    pub(crate) met: mpsc::UnboundedReceiver<PublicKey>,
    /// Distinguishes the files of engines that share a directory.
    pub(crate) prefix: String,
    /// How many final blocks are kept outside the application's ledger.
    pub(crate) window: u64,
}

/// A part of an engine that runs, with its name.
pub(crate) type Task = (&'static str, Handle<()>);

/// A running engine.
pub(crate) struct Stack {
    pub(crate) broadcaster: Broadcaster,
    pub(crate) observations: Arc<Observations>,
    /// The engine has failed as soon as one of them ends.
    pub(crate) tasks: Vec<Task>,
}

/// Builds an engine and starts it.
pub(crate) async fn launch<E, P, B, S, R>(context: E, parts: Parts<P, B, S, R>) -> Stack
where
    E: Runtime,
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let Parts {
        key,
        genesis,
        genesis_block,
        application,
        demand,
        failure,
        provider,
        blocker,
        channels,
        met,
        prefix,
        window,
    } = parts;
    let [votes, certificates, fetches, blocks, requests, gossip] = channels;
    let namespace = plenary_types::certificate::namespace(&genesis.hash());
    let scheme = EngineScheme::signer(&namespace, convert::participants(&genesis), key.clone())
        .expect("the key was checked to be a validator's");
    let clock = Arc::new(context.child("clock"));
    let gate = Gate::closed(clock.current());
    let core = Core {
        observations: Observations::new(application.clone(), genesis.clone(), gate.clone()),
        cache: CacheRef::new(NZU16!(4096), NZUsize!(512)),
        epocher: FixedEpocher::new(NZU64!(EPOCH_HEIGHTS)),
        me: key.public_key(),
        genesis,
        application,
        demand,
        scheme,
        clock,
        gate,
        prefix,
        context,
    };
    let (actor, marshal, floor) = core.open_store(genesis_block, window).await;
    let delivery = Delivery {
        application: core.application.clone(),
        observations: core.observations.clone(),
        failure,
        window,
    };
    let senders = Senders {
        votes: votes.0.clone(),
        certificates: certificates.0.clone(),
    };
    let mut tasks = core.start_store(
        actor, &marshal, delivery, provider, &blocker, blocks, requests,
    );
    tasks.push(core.start_consensus(marshal, floor, blocker, votes, certificates, fetches));
    let (broadcaster, talk) = core.start_gossip(gossip, senders, met);
    tasks.extend(talk);
    let (demand, gate) = (core.demand, core.gate);
    let follow = move |clock| follow(demand, clock, gate);
    tasks.push(("demand", core.context.child("demand").spawn(follow)));
    Stack {
        broadcaster,
        observations: core.observations,
        tasks,
    }
}

/// What an engine needs of its runtime.
pub(crate) trait Runtime: CryptoRng + Spawner + Metrics + Clock + Storage {}
impl<E: CryptoRng + Spawner + Metrics + Clock + Storage> Runtime for E {}

type Store<E> = Actor<
    E,
    Standard<EngineBlock>,
    ConstantProvider<EngineScheme, Epoch>,
    Window<E, EngineFinalization>,
    Window<E, Arc<EngineBlock>>,
    FixedEpocher,
    Sequential,
>;

/// Ways into the engine's own channels, for gossip.
struct Senders<S> {
    votes: S,
    certificates: S,
}

/// What the parts of an engine share.
struct Core<E> {
    context: E,
    me: PublicKey,
    genesis: Arc<Genesis>,
    application: Arc<dyn Application>,
    demand: Demand,
    scheme: EngineScheme,
    clock: Arc<E>,
    gate: Arc<Gate>,
    observations: Arc<Observations>,
    cache: CacheRef,
    epocher: FixedEpocher,
    prefix: String,
}

impl<E: Runtime> Core<E> {
    /// Opens the store of final blocks, and says from where consensus goes on.
    async fn open_store(
        &self,
        genesis_block: Block,
        window: u64,
    ) -> (Store<E>, Marshal, Floor<EngineScheme, Digest>) {
        let genesis_block = EngineBlock::new(Arc::new(genesis_block))
            .expect("the genesis block was checked")
            .digested();
        let ledger = Ledger {
            application: self.application.clone(),
            genesis: genesis_block.inner_shared(),
            validators: self.genesis.validators.len(),
        };
        let files = store::Files {
            prefix: &self.prefix,
            window,
            cache: &self.cache,
        };
        let (certificates, blocks) = store::open(&self.context, &files, &ledger).await;
        // Where the engine's files are older than the ledger, or lost, it goes on from the ledger.
        let (start, floor) = match ledger.latest() {
            Some(last) => (Start::Floor(last.clone()), Floor::Finalized(last)),
            None => {
                let digest = genesis_block.digest();
                (Start::Genesis(genesis_block), Floor::Genesis(digest))
            }
        };
        let config = marshal::Config {
            provider: ConstantProvider::new(self.scheme.clone()),
            epocher: self.epocher.clone(),
            start,
            partition_prefix: format!("{}-marshal", self.prefix),
            mailbox_size: MAILBOX,
            view_retention: VIEWS,
            prunable_items_per_section: NZU64!(64),
            page_cache: self.cache.clone(),
            replay_buffer: BUFFER,
            key_write_buffer: BUFFER,
            value_write_buffer: BUFFER,
            block_codec_config: (),
            max_repair: MAX_REPAIR,
            max_pending_acks: NZUsize!(MAX_UNACKNOWLEDGED),
            strategy: Sequential,
        };
        let context = self.context.child("marshal");
        let (actor, marshal, _) = Actor::init(context, certificates, blocks, config).await;
        (actor, marshal, floor)
    }

    /// Starts everything about blocks: their broadcast, their store, and their delivery.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is used once, and for another thing"
    )]
    fn start_store<S, R>(
        &self,
        actor: Store<E>,
        marshal: &Marshal,
        delivery: Delivery,
        provider: impl Provider<PublicKey = PublicKey>,
        blocker: &impl Blocker<PublicKey = PublicKey>,
        blocks: (S, R),
        requests: (S, R),
    ) -> Vec<Task>
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let (buffer, buffered) = buffered::Engine::new(
            self.context.child("buffer"),
            buffered::Config {
                public_key: self.me.clone(),
                mailbox_size: MAILBOX,
                deque_size: 16,
                priority: true,
                codec_config: (),
                peer_provider: provider.clone(),
                strategy: Sequential,
            },
        );
        let resolver = backfill::init(
            self.context.child("backfill"),
            backfill::Config {
                public_key: self.me.clone(),
                peer_provider: provider,
                blocker: blocker.clone(),
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                priority_requests: false,
                priority_responses: false,
            },
            requests,
        );
        let (sink, queue) = delivery::queue();
        let marshal = marshal.clone();
        // On a thread of its own, since it blocks while the application applies.
        let deliver = self.context.child("delivery").dedicated();
        vec![
            ("block broadcast", buffer.start(blocks)),
            ("block store", actor.start(sink, buffered, resolver)),
            ("delivery", deliver.spawn(|_| delivery.run(marshal, queue))),
        ]
    }

    /// Starts the agreement itself.
    fn start_consensus<S, R>(
        &self,
        marshal: Marshal,
        floor: Floor<EngineScheme, Digest>,
        blocker: impl Blocker<PublicKey = PublicKey>,
        votes: (S, R),
        certificates: (S, R),
        fetches: (S, R),
    ) -> Task
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let paced = Paced::new(self.context.child("simplex"), self.gate.clone());
        let adapter = Adapter {
            application: self.application.clone(),
            demand: self.demand.clone(),
            genesis: self.genesis.hash(),
            gate: self.gate.clone(),
            clock: Arc::new(paced.child("patience")),
        };
        let context = self.context.child("deferred");
        let deferred = Deferred::new(context, adapter, marshal, self.epocher.clone());
        let observer = Observer {
            observations: self.observations.clone(),
            clock: self.clock.clone(),
        };
        let config = simplex::Config {
            scheme: self.scheme.clone(),
            elector: election(),
            blocker,
            automaton: deferred.clone(),
            relay: deferred.clone(),
            reporter: Reporters::from((observer, deferred)),
            strategy: Sequential,
            partition: format!("{}-simplex", self.prefix),
            mailbox_size: MAILBOX,
            epoch: Epoch::new(EPOCH),
            floor,
            replay_buffer: BUFFER,
            write_buffer: BUFFER,
            page_cache: self.cache.clone(),
            leader_timeout: LEADER_TIMEOUT,
            certification_timeout: CERTIFICATION_TIMEOUT,
            timeout_retry: RETRY,
            view_retention: VIEWS,
            skip: SkipPolicy::Enabled {
                timeout: SKIP_TIMEOUT,
                budget: SkipBudget::Participants,
            },
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            forward: ForwardPolicy::Disabled,
            // Late votes are compared too, so that misbehaviour shows whenever it comes.
            track_historical_votes: true,
        };
        let engine = simplex::Engine::new(paced, config);
        ("consensus", engine.start(votes, certificates, fetches))
    }

    /// Starts what validators say beside the agreement.
    fn start_gossip<S, R>(
        &self,
        network: (S, R),
        senders: Senders<S>,
        met: mpsc::UnboundedReceiver<PublicKey>,
    ) -> (Broadcaster, Vec<Task>)
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let participants = self.scheme.participants().iter();
        let gossip = Gossip {
            application: self.application.clone(),
            observations: self.observations.clone(),
            gate: self.gate.clone(),
            peers: participants
                .filter(|peer| **peer != self.me)
                .cloned()
                .collect(),
            me: self.me.clone(),
        };
        let (broadcaster, broadcasts) = Broadcaster::new();
        let hello = gossip::hello(&self.scheme);
        let [broadcast, announce, greet, receive] = [(); 4].map(|()| gossip.clone());
        let [to_all, to_announce, to_greet] = [(); 3].map(|()| network.0.clone());
        let context = &self.context;
        let tasks = vec![
            (
                "broadcast",
                context
                    .child("broadcast")
                    .spawn(move |clock| broadcast.send_broadcasts(clock, broadcasts, to_all)),
            ),
            (
                "announcements",
                context
                    .child("announce")
                    .spawn(move |clock| announce.announce(clock, to_announce)),
            ),
            (
                "greetings",
                context
                    .child("greet")
                    .spawn(move |clock| greet.greet(clock, met, hello, senders.votes, to_greet)),
            ),
            (
                "receiver",
                context
                    .child("receive")
                    .spawn(move |_| receive.receive(network, senders.certificates)),
            ),
        ];
        (broadcaster, tasks)
    }
}

/// Opens and closes the gate with the demand.
async fn follow<E: Clock>(demand: Demand, clock: E, gate: Arc<Gate>) {
    let mut changes = demand.follow();
    let mut raised = changes.get();
    loop {
        gate.set_demand(clock.current(), raised);
        raised = changes.changed().await;
    }
}
