//! The plan of a seed: who fails when, who lies how, and what the clients want.

use crate::{
    checks,
    clients::Actor,
    liar::{Liar, Lie},
    net::{Net, session_keys},
};
use plenary_consensus::simulation::Misbehaviour;
use plenary_session::{node::Bounds, participation::Participation};
use plenary_store::testing::Random;
use plenary_types::BlockHash;
use plenary_validator::testing::world::{link, run_with};

/// How long the faults last, in turns of 20 ms.
const FAULTS: u64 = 400;
/// How long the clients may take after that, in turns of 20 ms.
const MOST: u64 = 15_000;

/// What goes on in a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    seed: u64,
    session_nodes: usize,
    participation: Participation,
    lie: Option<Lie>,
    misbehaviour: Option<Misbehaviour>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x9_1a4);
        let session_nodes = 1 + random.below(3) as usize;
        let participations = [
            Participation::Own,
            Participation::Any(2),
            Participation::Majority,
            Participation::All,
        ];
        let mut pick = |count: usize| random.below(count as u64) as usize;
        let lies = session_nodes > 1 && pick(2) == 0;
        let mut participation = participations[pick(4)];
        if participation == Participation::Any(2) && session_nodes == 1 {
            participation = Participation::Own;
        }
        Self {
            seed,
            session_nodes,
            participation,
            lie: lies.then(|| Lie::ALL[pick(Lie::ALL.len())]),
            misbehaviour: (pick(3) == 0).then(|| Misbehaviour::ALL[pick(5)]),
        }
    }
}

/// Runs a plan and checks everything at its end; gives the chain's tip.
pub fn run(plan: Plan) -> BlockHash {
    println!("{plan:?}");
    let keys = session_keys(plan.session_nodes);
    let public: Vec<_> = keys.iter().map(|key| key.public_key()).collect();
    run_with(plan.seed, 4, &public, link(), async |world| {
        let bounds = Bounds {
            participation: plan.participation,
            ..Bounds::default()
        };
        let mut net = Net::new(world, plan.seed, keys.clone(), bounds);
        let honest = match plan.misbehaviour {
            Some(misbehaviour) => {
                let network = &mut net.world.network;
                network.start_byzantine(3, misbehaviour).await;
                net.byzantine = Some(3);
                3
            }
            None => 4,
        };
        net.world.start_all(0..honest).await;
        (0..plan.session_nodes).for_each(|node| net.start(node));
        if let Some(lie) = plan.lie {
            let node = plan.session_nodes - 1;
            let genesis = net.world.genesis.clone();
            net.liar = Some(Liar::new(node, lie, keys[node], genesis, plan.seed));
        }
        let clients = 3 + net.random.below(4) as usize;
        let actors = (0..clients).map(|index| Actor::new(&mut net, index, 3));
        let mut actors: Vec<Actor> = actors.collect();
        let mut faults = Faults { honest, down: None };
        for _ in 0..FAULTS {
            faults.happen(&mut net).await;
            turn(&mut net, &mut actors).await;
        }
        faults.end(&mut net).await;
        let mut turns = 0;
        while !actors.iter().all(Actor::is_finished) {
            assert!(turns < MOST, "the clients do not get done: {plan:?}");
            turn(&mut net, &mut actors).await;
            turns += 1;
        }
        checks::settle(&mut net).await;
        checks::check(&net, &actors);
        net.world.node(0).store.tip().hash
    })
}

async fn turn(net: &mut Net, actors: &mut [Actor]) {
    actors.iter_mut().for_each(|actor| actor.turn(net));
    net.sleep(20).await;
}

/// What is out of order at the moment.
struct Faults {
    /// How many validators are honest: the first ones.
    honest: usize,
    down: Option<usize>,
}

impl Faults {
    /// Perhaps something fails, or comes back.
    async fn happen(&mut self, net: &mut Net) {
        let nodes = net.count();
        let node = net.random.below(nodes as u64) as usize;
        match net.random.below(100) {
            0 | 1 if net.is_running(node) => net.crash(node),
            2..6 if !net.is_running(node) => net.start(node),
            6 => drop(net.cut.insert(node)),
            7..10 => drop(net.cut.remove(&node)),
            10 if self.down.is_none() => {
                let validator = net.random.below(self.honest as u64) as usize;
                net.world.crash(validator).await;
                self.down = Some(validator);
            }
            11 | 12 => self.restart(net).await,
            13 => {
                let groups: [&[usize]; 2] = match net.random.below(3) {
                    0 => [&[0, 1, 2], &[3]],
                    1 => [&[0, 1], &[2, 3]],
                    _ => [&[0, 3, 2], &[1]],
                };
                net.world.network.partition(&groups).await;
            }
            14 | 15 => net.world.network.heal().await,
            _ => {}
        }
    }

    async fn restart(&mut self, net: &mut Net) {
        if let Some(validator) = self.down.take() {
            net.world.start(validator).await;
        }
    }

    /// From here on everything works again, but for who lies.
    async fn end(&mut self, net: &mut Net) {
        net.cut.clear();
        for node in 0..net.count() {
            if !net.is_running(node) {
                net.start(node);
            }
        }
        self.restart(net).await;
        net.world.network.heal().await;
        net.peace = true;
    }
}
