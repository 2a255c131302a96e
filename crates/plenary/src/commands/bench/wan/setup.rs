//! A world before it begins: keys, genesis, stores in memory, validators that have met, and of which
//! some have crashed, and the session nodes.

use super::{
    matrix::Matrix,
    wire::Wire,
    world::{Clock, Port, SessionNode, Validator, World},
};
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
    node::{Bounds, Node as SessionCore, Parts as SessionParts},
    participation::Participation,
};
use plenary_store::{Files, Store};
use plenary_types::{
    Digest, Genesis, PrivateKey, Timestamp,
    genesis::{ClientSignatures, Member},
};
use plenary_validator::{
    evidence::EvidenceLog,
    flush::Flusher,
    node::{Node as ValidatorCore, Parts as ValidatorParts},
};
use redb::backends::InMemoryBackend;
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// The genesis' time, in milliseconds.
const START: u64 = 1_700_000_000_000;
/// What computing costs: the least that the runtime can do.
const TURN: Duration = Duration::from_nanos(1);
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
        Ok(World {
            genesis: self.genesis.clone(),
            matrix: setup.matrix.clone(),
            wire: Wire::new(setup.jitter, setup.seed),
            network,
            clock,
            validators,
            sessions,
        }
        .begin())
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
