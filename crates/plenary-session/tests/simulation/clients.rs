//! Clients with plans: sessions of a few steps on few accounts, at whichever session node serves
//! them, and where none does, at a validator.

use crate::{liar::name, net::Net, support::Client};
use plenary_service::{Session, Simulation};
use plenary_session::{
    error::Refusal,
    node::Node,
    session::{Entry, Status},
    step::{Asked, Ran, Stepped},
};
use plenary_types::{
    Commitment, Method, Operation, OperationId, Outcome, Request, SessionId, Transaction,
    TransactionHash,
};
use plenary_validator::testing::bank::{deposit_request, request, transfer_request};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How many accounts there are to meet at.
const ACCOUNTS: u64 = 4;
/// How long a client waits for a commit at one node before it asks another, in turns of 20 ms.
const PATIENCE: u64 = 75;
/// How long for a step: so short that nodes often run the same request without knowing.
const HURRY: u64 = 10;
/// After how many turns of asking everybody a client gives a session up.
const MOST: u64 = 900;

/// What a client was told and relies on: an operation of a session, and by which node.
#[derive(Debug, Clone)]
pub struct Told {
    pub node: usize,
    pub session: SessionId,
    pub operation: Operation,
}

enum Doing {
    /// Between two sessions, or two steps of one.
    Thinking,
    Asking {
        asked: Box<Asked>,
        waited: u64,
        stepped: Option<Box<Stepped>>,
    },
    Committing {
        waited: u64,
    },
    Finished,
}

/// One client of the simulation.
pub struct Actor {
    seed: u8,
    client: Client,
    doing: Doing,
    /// The node that it asks.
    node: usize,
    /// How long, in turns, it has tried others for what it is doing.
    tried: u64,
    sessions: u64,
    steps: u64,
    /// Whether its session began after the last fault.
    in_peace: bool,
    /// What honest nodes have acknowledged, and nothing since has made void.
    pub told: BTreeMap<OperationId, Told>,
    /// The sessions that it was told are committed.
    pub committed: BTreeSet<SessionId>,
    /// The sessions that it signed a commitment for: every chain.
    pub signed: BTreeMap<SessionId, Vec<Vec<Operation>>>,
}

impl Actor {
    /// A client that wants that many sessions.
    pub fn new(net: &mut Net, index: usize, sessions: u64) -> Self {
        let seed = 50 + index as u8;
        Self {
            seed,
            client: Client::new(seed, &format!("{sessions}")),
            doing: Doing::Thinking,
            node: net.random.below(net.count() as u64) as usize,
            tried: 0,
            sessions,
            steps: 1 + net.random.below(4),
            in_peace: false,
            told: BTreeMap::new(),
            committed: BTreeSet::new(),
            signed: BTreeMap::new(),
        }
    }

    pub fn is_finished(&self) -> bool {
        matches!(self.doing, Doing::Finished)
    }

    /// Does what there is to do now.
    pub fn turn(&mut self, net: &mut Net) {
        self.doing = match std::mem::replace(&mut self.doing, Doing::Thinking) {
            Doing::Thinking => self.think(net),
            Doing::Asking {
                asked,
                waited,
                stepped,
            } => self.ask(net, asked, waited, stepped),
            Doing::Committing { waited } => self.commit(net, waited),
            Doing::Finished => Doing::Finished,
        };
    }

    fn think(&mut self, net: &mut Net) -> Doing {
        if self.sessions == 0 {
            return Doing::Finished;
        }
        if net.random.below(3) > 0 {
            return Doing::Thinking;
        }
        self.tried = 0;
        if self.client.seen.len() as u64 >= self.steps {
            return Doing::Committing { waited: 0 };
        }
        let request = some_request(net);
        let asked = self.client.ask(net.now(), request);
        Doing::Asking {
            asked: asked.into(),
            waited: 0,
            stepped: None,
        }
    }

    fn ask(
        &mut self,
        net: &mut Net,
        asked: Box<Asked>,
        waited: u64,
        stepped: Option<Box<Stepped>>,
    ) -> Doing {
        if let Some(stepped) = stepped {
            if net.reach(self.node).is_some() && stepped.agreement().holds() {
                self.answered(net, &stepped);
                return Doing::Thinking;
            }
            if waited < HURRY {
                return Doing::Asking {
                    asked,
                    waited: waited + 1,
                    stepped: Some(stepped),
                };
            }
            return self.elsewhere(net, asked, waited);
        }
        let Some(node) = net.reach(self.node).cloned() else {
            return self.elsewhere(net, asked, 0);
        };
        match self.send(net, &node, Asked::clone(&asked)) {
            Ok(Ran::Stepped(stepped)) => Doing::Asking {
                asked,
                waited,
                stepped: Some(stepped.into()),
            },
            // The client asks for something else.
            Ok(Ran::Refused(_)) => Doing::Thinking,
            Err(Refusal::NotOpen { .. } | Refusal::Over { .. }) => self.give_up(net),
            Err(_) => self.elsewhere(net, asked, 0),
        }
    }

    fn send(&self, net: &Net, node: &Arc<Node>, mut asked: Asked) -> Result<Ran, Refusal> {
        let Some(first) = self.client.seen.first() else {
            return node.open(asked);
        };
        let session = first.id().into();
        // A liar's node does not hold it to the chain that it made up.
        if net
            .liar
            .as_ref()
            .is_some_and(|liar| liar.node == self.node && liar.lies_about(&session))
        {
            asked.seen = None;
        }
        let entry = node.sessions.get(&session);
        let entry = entry.ok_or(Refusal::UnknownSession(session))?;
        node.step(&entry, asked)
    }

    fn answered(&mut self, net: &mut Net, stepped: &Stepped) {
        let session = stepped.entry.id;
        let operation = Operation::clone(&stepped.step.operation);
        if let Some(liar) = net.liar.as_mut().filter(|liar| liar.node == self.node) {
            let told = liar.answer(session, &self.client.seen, &operation);
            self.client.seen.push(told);
            return;
        }
        self.client.saw(&stepped.step);
        assert_eq!(stepped.step.promise.chain, self.client.chain());
        let told = Told {
            node: self.node,
            session,
            operation,
        };
        self.told.insert(told.operation.id(), told);
    }

    /// Turns to the next node with the same request.
    fn elsewhere(&mut self, net: &mut Net, asked: Box<Asked>, waited: u64) -> Doing {
        self.node = (self.node + 1) % net.count();
        self.tried += 1 + waited;
        if self.tried > MOST {
            return self.despair(net);
        }
        Doing::Asking {
            asked,
            waited: 0,
            stepped: None,
        }
    }

    /// Gives up for no node ends it, which must not be where all nodes do as they should.
    fn despair(&mut self, net: &mut Net) -> Doing {
        let healthy = self.in_peace && net.liar.is_none();
        assert!(
            !healthy,
            "a client's session does not end: {:?}",
            self.client
        );
        self.give_up(net)
    }

    /// Leaves the session as it is, and begins another one.
    fn give_up(&mut self, net: &mut Net) -> Doing {
        self.sessions -= 1;
        self.client = Client::new(self.seed, &format!("{}", self.sessions));
        self.steps = 1 + net.random.below(4);
        self.in_peace = net.peace;
        self.tried = 0;
        Doing::Thinking
    }

    fn commit(&mut self, net: &mut Net, waited: u64) -> Doing {
        let session = self.client.session();
        if waited > PATIENCE {
            self.node = (self.node + 1) % net.count();
            self.tried += 1;
            return match self.tried {
                0..4 => Doing::Committing { waited: 0 },
                4 => self.take_to_layer_1(net),
                5..10 => Doing::Committing { waited: 0 },
                _ => self.despair(net),
            };
        }
        let again = Doing::Committing { waited: waited + 1 };
        let Some(node) = net.reach(self.node).cloned() else {
            return again;
        };
        if self.is_in_ledger(net, &node) {
            self.committed.insert(session);
            return self.give_up(net);
        }
        let Some(entry) = node.sessions.get(&session) else {
            return again;
        };
        let status = entry.live.lock().status.clone();
        match status {
            Status::Open => {
                self.sign();
                self.ask_to_commit(net, &node, &entry);
                again
            }
            Status::Decided(_, landed) => match landed.outcome {
                Outcome::Conflict { .. } if net.random.below(2) == 0 => self.rebase(net, &entry),
                _ => self.give_up(net),
            },
            Status::Over(_) => self.give_up(net),
            Status::Committing(_) => again,
            // No more validators lie than may.
            Status::Refused(reason) => panic!("{session} is given up: {reason:?}"),
        }
    }

    fn sign(&mut self) {
        let chains = self.signed.entry(self.client.session()).or_default();
        if chains.last() != Some(&self.client.seen) {
            chains.push(self.client.seen.clone());
        }
    }

    fn commitment(&self, net: &Net) -> Commitment {
        let genesis = net.world.genesis.hash();
        Commitment::sign(&self.client.key, &genesis, &self.client.chain())
    }

    fn ask_to_commit(&self, net: &mut Net, node: &Arc<Node>, entry: &Arc<Entry>) {
        let commitment = self.commitment(net);
        if let Some(liar) = net.liar.as_ref().filter(|liar| liar.node == self.node)
            && let Some(transaction) = liar.commit(&entry.id, commitment)
        {
            net.send_to_layer_1(transaction);
            return;
        }
        // A refusal is noticed in that nothing comes of it.
        let _ = node.commit(entry, self.client.word(&net.world.genesis));
    }

    /// Whether the ledger of an honest node has the session.
    fn is_in_ledger(&self, net: &Net, node: &Node) -> bool {
        let first = self.client.seen[0].id();
        net.is_honest(self.node) && node.store.operation(&first).unwrap().is_some()
    }

    fn rebase(&mut self, net: &mut Net, entry: &Arc<Entry>) -> Doing {
        let node = net.reach(self.node).cloned();
        let rerun = node.map(|node| node.rebase(entry));
        let Some(Ok(rerun)) = rerun else {
            return self.give_up(net);
        };
        for operation in self.client.seen.drain(..) {
            self.told.remove(&operation.id());
        }
        rerun.iter().for_each(|rerun| self.client.saw(&rerun.step));
        Doing::Committing { waited: 0 }
    }

    /// No session node serves it: the client brings what it saw, signed, to a validator, which runs
    /// it again.
    fn take_to_layer_1(&mut self, net: &mut Net) -> Doing {
        self.sign();
        let commitment = self.commitment(net);
        let validator = net.random.below(4) as usize;
        if let Some(node) = net.world.running(validator)
            && let Some(transaction) = draft(node, &self.client.seen, commitment)
        {
            net.send_to_layer_1(transaction);
        }
        Doing::Committing { waited: 0 }
    }
}

/// A client's session as a validator runs and originates it; nothing where an answer differs.
fn draft(
    node: &plenary_validator::node::Node,
    seen: &[Operation],
    commitment: Commitment,
) -> Option<Transaction> {
    let mut session = Session::open(seen[0].id().into());
    let (_, view) = node.store.state().latest();
    let mut operations = Vec::new();
    for claimed in seen {
        let (request, author) = (claimed.request.clone(), claimed.author.clone());
        let executor = &node.executor;
        let ran = session.simulate(executor, view.clone(), request, author, claimed.time);
        match ran.unwrap() {
            Simulation::Answered(own) if name(&own) == name(claimed) => operations.push(own),
            _ => return None,
        }
    }
    let (genesis, service) = (node.genesis.hash(), node.genesis.service.clone());
    let (commitment, none) = (Some(commitment), Vec::new());
    Transaction::sign(&node.key, &genesis, service, operations, commitment, none).ok()
}

fn some_request(net: &mut Net) -> Request {
    let account = |net: &mut Net| format!("account-{}", net.random.below(ACCOUNTS));
    let (one, other) = (account(net), account(net));
    let amount = 1 + net.random.below(9);
    match net.random.below(4) {
        0 => transfer_request(&one, &other, amount),
        1 => request(Method::Post, &format!("/accounts/{one}/touches"), &()),
        _ => deposit_request(&one, amount),
    }
}

/// The transactions that are committed for a session.
pub fn transactions_of(net: &Net, session: SessionId) -> Vec<TransactionHash> {
    let node = net.world.nodes().next().unwrap();
    let mut found = Vec::new();
    for height in 1..=node.store.tip().height {
        let block = node.store.block(height).unwrap().unwrap();
        for (transaction, outcome) in block.transactions.iter().zip(&block.outcomes) {
            if transaction.session() == Some(session) && *outcome == Outcome::Committed {
                found.push(transaction.hash());
            }
        }
    }
    found
}
