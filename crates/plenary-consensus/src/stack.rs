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
    convert::{self, EPOCH, EngineScheme},
    delivery::{self, Delivery},
    failure::Failure,
    gossip::{self, Broadcaster, Gossip},
    observer::{Observations, Observer, election},
    store::{self, Ledger},
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
    certificate::ConstantProvider,
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
use std::{sync::Arc, time::Duration};
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
const MAX_REPAIR: usize = 64;
/// Buffers of the engine's files.
const BUFFER: usize = 64 * 1024;
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
    Quota::per_second(NZU32!(512)),
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

/// What a validator's engine is made of.
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

/// A running engine.
pub(crate) struct Stack {
    pub(crate) broadcaster: Broadcaster,
    pub(crate) observations: Arc<Observations>,
    /// The engine's parts by name; it has failed as soon as one of them ends.
    pub(crate) tasks: Vec<(&'static str, Handle<()>)>,
}

/// Builds an engine and starts it.
pub(crate) async fn launch<E, P, B, S, R>(context: E, parts: Parts<P, B, S, R>) -> Stack
where
    E: CryptoRng + Spawner + Metrics + Clock + Storage,
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
    let me = key.public_key();
    let participants = convert::participants(&genesis);
    let namespace = plenary_types::certificate::namespace(&genesis.hash());
    let scheme = EngineScheme::signer(&namespace, participants.clone(), key)
        .expect("the key was checked to be a validator's");
    let hello = gossip::hello(&scheme);
    let genesis_block = EngineBlock::new(Arc::new(genesis_block))
        .expect("the genesis block was checked")
        .digested();
    let genesis_digest = genesis_block.digest();
    let clock = Arc::new(context.child("clock"));
    let gate = Gate::closed(clock.current());
    let observations = Observations::new(application.clone(), genesis.clone(), gate.clone());
    let cache = CacheRef::new(NZU16!(4096), NZUsize!(512));
    let epocher = FixedEpocher::new(NZU64!(EPOCH_HEIGHTS));
    let mut tasks = Vec::new();

    let (buffer, buffer_mailbox) = buffered::Engine::new(
        context.child("buffer"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: NZUsize!(1024),
            deque_size: 16,
            priority: true,
            codec_config: (),
            peer_provider: provider.clone(),
            strategy: Sequential,
        },
    );
    tasks.push(("block broadcast", buffer.start(blocks)));
    let resolver = backfill::init(
        context.child("backfill"),
        backfill::Config {
            public_key: me.clone(),
            peer_provider: provider,
            blocker: blocker.clone(),
            mailbox_size: NZUsize!(1024),
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        },
        requests,
    );
    let ledger = Ledger {
        application: application.clone(),
        genesis: genesis_block.inner_shared(),
        validators: genesis.validators.len(),
    };
    let files = store::Files {
        prefix: &prefix,
        window,
        cache: &cache,
    };
    let (finalizations, final_blocks) = store::open(&context, &files, &ledger).await;
    // Where the engine's files are older than the ledger, or lost, it goes on from the ledger.
    let (start, floor) = match ledger.latest() {
        Some(last) => (Start::Floor(last.clone()), Floor::Finalized(last)),
        None => (
            Start::Genesis(genesis_block),
            Floor::Genesis(genesis_digest),
        ),
    };
    let (actor, marshal, _) = Actor::init(
        context.child("marshal"),
        finalizations,
        final_blocks,
        marshal::Config {
            provider: ConstantProvider::<_, Epoch>::new(scheme.clone()),
            epocher: epocher.clone(),
            start,
            partition_prefix: format!("{prefix}-marshal"),
            mailbox_size: NZUsize!(1024),
            view_retention: VIEWS,
            prunable_items_per_section: NZU64!(64),
            page_cache: cache.clone(),
            replay_buffer: NZUsize!(BUFFER),
            key_write_buffer: NZUsize!(BUFFER),
            value_write_buffer: NZUsize!(BUFFER),
            block_codec_config: (),
            max_repair: NZUsize!(MAX_REPAIR),
            max_pending_acks: NZUsize!(MAX_UNACKNOWLEDGED),
            strategy: Sequential,
        },
    )
    .await;

    let paced = Paced::new(context.child("simplex"), gate.clone());
    let adapter = Adapter {
        application: application.clone(),
        demand: demand.clone(),
        genesis: genesis.hash(),
        gate: gate.clone(),
        clock: Arc::new(paced.child("patience")),
    };
    let deferred = Deferred::new(context.child("deferred"), adapter, marshal.clone(), epocher);
    let observer = Observer {
        observations: observations.clone(),
        clock: clock.clone(),
    };
    let engine = simplex::Engine::new(
        paced,
        simplex::Config {
            scheme,
            elector: election(),
            blocker,
            automaton: deferred.clone(),
            relay: deferred.clone(),
            reporter: Reporters::from((observer, deferred)),
            strategy: Sequential,
            partition: format!("{prefix}-simplex"),
            mailbox_size: NZUsize!(1024),
            epoch: Epoch::new(EPOCH),
            floor,
            replay_buffer: NZUsize!(BUFFER),
            write_buffer: NZUsize!(BUFFER),
            page_cache: cache,
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
        },
    );

    let (sink, queue) = delivery::queue();
    let delivery = Delivery {
        application: application.clone(),
        observations: observations.clone(),
        failure,
        window,
    };
    tasks.push((
        "delivery",
        context
            .child("delivery")
            .dedicated()
            .spawn(|_| delivery.run(marshal, queue)),
    ));
    tasks.push(("block store", actor.start(sink, buffer_mailbox, resolver)));
    let certificate_sender = certificates.0.clone();
    let vote_sender = votes.0.clone();
    tasks.push(("consensus", engine.start(votes, certificates, fetches)));

    let (broadcaster, broadcasts) = Broadcaster::new();
    let peers = participants.into_iter().filter(|peer| *peer != me);
    let talk = Gossip {
        application,
        observations: observations.clone(),
        gate: gate.clone(),
        peers: peers.collect(),
        me,
    };
    tasks.push((
        "broadcast",
        context.child("broadcast").spawn({
            let (talk, sender) = (talk.clone(), gossip.0.clone());
            move |clock| talk.send_broadcasts(clock, broadcasts, sender)
        }),
    ));
    tasks.push((
        "announcements",
        context.child("announce").spawn({
            let (talk, sender) = (talk.clone(), gossip.0.clone());
            move |clock| talk.announce(clock, sender)
        }),
    ));
    tasks.push((
        "greetings",
        context.child("greet").spawn({
            let (talk, sender) = (talk.clone(), gossip.0.clone());
            move |clock| talk.greet(clock, met, hello, vote_sender, sender)
        }),
    ));
    tasks.push((
        "receiver",
        context
            .child("receive")
            .spawn(move |_| talk.receive(gossip, certificate_sender)),
    ));
    tasks.push((
        "demand",
        context
            .child("demand")
            .spawn(move |clock| follow(demand, clock, gate)),
    ));
    Stack {
        broadcaster,
        observations,
        tasks,
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
