//! A client that goes to another node with a step that was not acknowledged: two answers to one
//! request come to be one, and none that it may have heard is lost.

use crate::{
    support::Client,
    world::{Envelope, World, code, stepped},
};
use plenary_service::{Session, Simulation};
use plenary_session::{
    participation::Participation,
    session::Step,
    step::{Asked, Ran},
};
use plenary_store::testing::Random;
use plenary_types::{Commitment, Digest, Transaction, session::chain_digest};
use plenary_validator::testing::{bank::deposit_request, world::executor};

/// Somebody else changes the account that all is about. Nodes that are not told of it go on from
/// what it was before.
fn change(world: &mut World, name: &str, told: impl IntoIterator<Item = usize>) {
    let mut other = Client::new(200, name);
    let now = world.now();
    let Asked {
        request, author, ..
    } = other.ask(now, deposit_request("shared", 5));
    let mut session = Session::open(author.operation().into());
    let (_, view) = world.layer1.store.state().latest();
    let ran = session.simulate(&executor(), view, request, author, now);
    let Simulation::Answered(operation) = ran.unwrap() else {
        panic!("a deposit is not refused");
    };
    let genesis = world.layer1.genesis.clone();
    let (hash, service) = (genesis.hash(), genesis.service.clone());
    let commitment = Commitment::sign(&other.key, &hash, &chain_digest([&operation]));
    let (key, operations) = (&world.places[0].key, vec![operation]);
    let transaction = Transaction::sign(
        key,
        &hash,
        service,
        operations,
        Some(commitment),
        Vec::new(),
    );
    world.layer1.submit(transaction.unwrap());
    world.layer1.ratify(now);
    told.into_iter().for_each(|node| world.feed(node));
}

/// A request, answered differently at each of the nodes that nothing was lost at but the messages.
fn forked(world: &mut World, client: &mut Client, nodes: &[usize]) -> (Asked, Vec<Step>) {
    let asked = client.ask(world.now(), deposit_request("shared", 1));
    let mut steps: Vec<Step> = Vec::new();
    for node in nodes {
        let step = stepped(world.ask(*node, client, asked.clone()));
        let chain = step.promise.chain;
        assert!(steps.iter().all(|other| other.promise.chain != chain));
        steps.push(step);
        let all = 0..world.places.len();
        change(world, &format!("change at {node}"), all);
    }
    world.intercept();
    (asked, steps)
}

#[test]
fn two_nodes_that_must_agree_come_to_one_answer_whichever_is_asked_again() {
    for seed in 1..9 {
        for again in [0, 1] {
            for restarted in [false, true] {
                let mut world = World::participating(2, Participation::All);
                let mut client = Client::new(seed, "a");
                let (asked, steps) = forked(&mut world, &mut client, &[0, 1]);
                if restarted {
                    world.restart(0);
                    world.restart(1);
                }
                let before = stepped(world.ask(again, &client, asked.clone()));
                world.settle();
                let step = stepped(world.ask(again, &client, asked));
                world.settle();
                assert!(step.agreement.holds());
                assert_ne!(before.agreement.holds(), before.agreement.is_void());
                let smaller = steps.iter().map(|step| step.promise.chain).min();
                assert_eq!(Some(step.promise.chain), smaller);
                client.saw(&step);
                for node in [0, 1] {
                    world.restart(node);
                    assert_eq!(world.chain(node, &client), client.chain());
                    assert!(world.node(node).evidence.all().is_empty());
                }
                world.step(again, &mut client, deposit_request("shared", 1));
                world.settle();
                // The other node has heard of no endorsement yet, and asks for it.
                let _ = world.try_commit(1 - again, &client);
                world.settle();
                world.commit(1 - again, &client);
                world.ratify();
                assert_eq!(world.layer1.blocks.last().unwrap().0.transactions.len(), 1);
            }
        }
    }
}

#[test]
fn what_was_answered_never_gives_way() {
    for seed in 1..9 {
        let mut world = World::participating(3, Participation::Majority);
        let mut client = Client::new(seed, "a");
        let (asked, _) = forked(&mut world, &mut client, &[2, 0]);
        let ran = stepped(world.ask(0, &client, asked.clone()));
        let proposals = world.intercept();
        let to = |node: usize| proposals.iter().find(|one| one.to == node).unwrap();
        world.deliver(to(1));
        world.settle();
        assert!(ran.agreement.holds(), "node 1 has endorsed it");
        // Node 2 has not heard of it, and tells both of its own.
        stepped(world.ask(2, &client, asked));
        world.settle();
        assert!(ran.agreement.holds());
        client.saw(&ran);
        for node in 0..2 {
            world.restart(node);
            assert_eq!(world.chain(node, &client), client.chain());
        }
    }
}

/// One record takes the one step away and writes the other down.
#[test]
fn a_crash_finds_the_one_step_or_the_other() {
    let mut world = World::participating(2, Participation::All);
    let mut client = Client::new(1, "a");
    let (asked, steps) = forked(&mut world, &mut client, &[0, 1]);
    let begun = [0, 1].map(|node| world.places[node].log.events());
    stepped(world.ask(0, &client, asked.clone()));
    world.settle();
    let gave_way = |node: &usize| world.places[*node].log.events() > begun[*node];
    let node = [0, 1].into_iter().find(gave_way).unwrap();
    let (disk, chains) = (
        world.places[node].log.clone(),
        [0, 1].map(|at| steps[at].promise.chain),
    );
    let mut found = Vec::new();
    for event in begun[node]..=disk.events() {
        world.crash(node);
        world.places[node].log = disk.crash(event, event as u64);
        world.start(node);
        world.feed(node);
        let entry = world.find(node, asked.author.operation().into()).unwrap();
        found.push(entry.live.lock().chain());
        assert!(chains.contains(found.last().unwrap()), "event {event}");
        assert_eq!(entry.live.lock().steps.len(), 1);
    }
    assert_eq!(
        (found.first(), found.last()),
        (chains.get(node), chains.get(1 - node))
    );
}

#[test]
fn a_node_that_is_alone_with_its_step_takes_the_one_that_was_answered() {
    for seed in 1..9 {
        let mut world = World::participating(3, Participation::Majority);
        let mut client = Client::new(seed, "a");
        let asked = client.ask(world.now(), deposit_request("shared", 1));
        stepped(world.ask(2, &client, asked.clone()));
        world.intercept();
        change(&mut world, "a change", 0..3);
        let step = stepped(world.ask(0, &client, asked));
        let proposals = world.intercept();
        world.deliver(proposals.iter().find(|one| one.to == 1).unwrap());
        world.settle();
        assert!(step.agreement.holds());
        client.saw(&step);
        // Its next step finds node 2 with another one before it.
        let next = world.step(1, &mut client, deposit_request("ann", 1));
        world.settle();
        world.advance(1_000);
        world.settle();
        assert!(next.agreement.holds());
        world.step(1, &mut client, deposit_request("ann", 1));
        world.settle();
        assert_eq!(world.chain(2, &client), client.chain(), "seed {seed}");
    }
}

#[test]
fn another_request_in_the_same_place_does_not_take_it() {
    let mut world = World::participating(2, Participation::All);
    let mut client = Client::new(1, "a");
    world.step(0, &mut client, deposit_request("shared", 1));
    world.settle();
    let mut twin = client.clone();
    let one = world.step(0, &mut client, deposit_request("shared", 1));
    world.intercept();
    twin.ask(world.now(), deposit_request("shared", 1));
    let other = world.step(1, &mut twin, deposit_request("shared", 2));
    world.settle();
    assert!(!one.agreement.is_void() && !other.agreement.is_void());
    let refused = world.try_step(0, &mut twin, deposit_request("shared", 1));
    assert_eq!(code(refused), "chain-differs");
}

/// What the client of a random run knows.
#[derive(Default)]
struct Heard {
    /// Steps whose answers it waits for, by node.
    waiting: Vec<(usize, Step)>,
    /// Where it was answered, and with which chain.
    answered: Vec<(usize, Digest)>,
}

impl Heard {
    /// Looks for answers: all are the same, and those that gave them still have the step.
    fn look(&mut self, world: &World, client: &Client, asked: &Asked) {
        for (node, step) in &self.waiting {
            if step.agreement.holds() {
                self.answered.push((*node, step.promise.chain));
            }
        }
        let id = asked.author.operation();
        let session = client.seen.first().map_or(id, |first| first.id()).into();
        for (node, chain) in &self.answered {
            assert_eq!(*chain, self.answered[0].1, "one request has one answer");
            let entry = world.find(*node, session).unwrap();
            let live = entry.live.lock();
            let kept = live.step_of(&id).map(|step| step.promise.chain);
            assert_eq!(kept, Some(*chain), "node {node} keeps what it answered");
        }
    }
}

/// Messages get lost, come late or twice, nodes crash, layer 1 goes on, and the client asks one node
/// after the other. Its request has one answer, which nobody who gave it loses; and once all is well
/// again, it gets it.
#[test]
fn whatever_happens_a_request_has_one_answer() {
    for seed in 0..60 {
        random_run(seed);
    }
}

fn random_run(seed: u64) {
    let mut random = Random::new(seed);
    let nodes = 2 + random.below(4) as usize;
    let participation = match random.below(2) {
        0 => Participation::Majority,
        _ => Participation::All,
    };
    let mut world = World::participating(nodes, participation);
    let mut client = Client::new(1 + (seed % 99) as u8, "a");
    if random.below(2) == 0 {
        let opening = world.step(0, &mut client, deposit_request("ann", 1));
        world.settle();
        assert!(opening.agreement.holds());
    }
    let asked = client.ask(world.now(), deposit_request("shared", 1));
    let mut heard = Heard::default();
    let mut on_their_way: Vec<Envelope> = Vec::new();
    for turn in 0..60 {
        let node = random.below(nodes as u64) as usize;
        match random.below(12) {
            0..2 => {
                if let Ok(Ran::Stepped(it)) = world.ask(node, &client, asked.clone()) {
                    heard.waiting.push((node, it.step));
                }
            }
            2 => {
                let told = (0..nodes).filter(|_| random.below(2) == 0);
                let told: Vec<usize> = told.collect();
                change(&mut world, &format!("turn {turn}"), told);
            }
            3 => world.feed(node),
            4 => {
                world.restart(node);
                heard.waiting.retain(|(at, _)| *at != node);
            }
            _ => {}
        }
        on_their_way.extend(world.intercept());
        for _ in 0..random.below(4) {
            if on_their_way.is_empty() {
                break;
            }
            let at = random.below(on_their_way.len() as u64) as usize;
            let envelope = on_their_way.swap_remove(at);
            match random.below(4) {
                0 => {}
                1 => {
                    world.deliver(&envelope);
                    world.deliver(&envelope);
                }
                _ => world.deliver(&envelope),
            }
            on_their_way.extend(world.intercept());
        }
        heard.look(&world, &client, &asked);
    }
    (0..nodes).for_each(|node| world.feed(node));
    for _ in 0..6 {
        for node in 0..nodes {
            if let Ok(Ran::Stepped(it)) = world.ask(node, &client, asked.clone()) {
                heard.waiting.push((node, it.step));
            }
            world.settle();
            heard.look(&world, &client, &asked);
        }
        world.advance(2_000);
    }
    assert!(!heard.answered.is_empty(), "seed {seed}: no answer at all");
    for node in 0..nodes {
        assert!(world.node(node).evidence.all().is_empty(), "seed {seed}");
    }
}
