//! A client next to a session node, who plays the author's workflow as a client over HTTP does: signed
//! requests, each step when the one before is answered, what the routes declare to be a session as
//! one, and the clock read on its own side.

use super::world::{Stuck, World};
use crate::demo::{Answers, Demo, Step};
use plenary_service::SessionRole;
use plenary_session::{
    commit::Word,
    error::Refusal,
    node::Node,
    session::{Entry, Status},
    step::{Asked, Ran, Stepped},
};
use plenary_store::Location;
use plenary_types::{
    Author, ClientSignature, Commitment, Digest, Operation, Outcome, PrivateKey, Request, Response,
    TransactionHash,
    session::{EMPTY_CHAIN, chain_digest},
};
use plenary_validator::direct::{Originated, Originator, originate};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Where clients believe the service to be.
const ORIGIN: &str = "http://session.simulated";
/// How long a client waits for an answer, in virtual time.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A step as it was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) step: String,
    /// From the request's leaving to the answer's arrival.
    pub(super) latency: Duration,
    /// The validator, by index, that proposed the block that has it; for a step that layer 1 decided.
    pub(super) leader: Option<usize>,
}

/// Why a workflow did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("step `{step}`: {reason}")]
pub(super) struct PlayError {
    /// The step.
    step: String,
    /// What it lacks, or what it was answered.
    reason: String,
}

/// What came of a request.
type Sent = (Response, Option<Location>);

/// Why there is no answer.
enum Unsent {
    Refusal(String),
    Answer(Response),
}

impl From<Stuck> for Unsent {
    fn from(stuck: Stuck) -> Self {
        Self::Refusal(stuck.to_string())
    }
}

fn refusal(error: impl std::fmt::Display) -> Unsent {
    Unsent::Refusal(error.to_string())
}

/// One client, at one site.
pub(super) struct Client {
    key: PrivateKey,
    site: usize,
    /// How long a message takes between it and its session node.
    near: Duration,
    asked: u64,
    session: Option<(Arc<Entry>, Vec<Operation>)>,
}

impl Client {
    pub(super) fn new(site: usize, near: Duration) -> Self {
        let seed = Digest::of("plenary bench wan client", &[&[site as u8]]);
        Self {
            key: PrivateKey::from_seed(seed.0),
            site,
            near,
            asked: 0,
            session: None,
        }
    }

    /// Plays the whole workflow once.
    pub(super) async fn play(
        &mut self,
        world: &mut World,
        demo: &Demo,
    ) -> Result<Vec<Played>, PlayError> {
        let mut answers = Answers::default();
        let mut played = Vec::with_capacity(demo.steps.len());
        for step in &demo.steps {
            played.push(self.step(world, step, &mut answers).await?);
        }
        Ok(played)
    }

    async fn step(
        &mut self,
        world: &mut World,
        step: &Step,
        answers: &mut Answers,
    ) -> Result<Played, PlayError> {
        let name = step.name.clone();
        let call = (step.call)(answers).map_err(|error| PlayError {
            step: name.clone(),
            reason: error.to_string(),
        })?;
        let sent = world.now();
        world.pass(self.near).await;
        let done = self.send(world, call.request).await;
        world.pass(self.near).await;
        let latency = world.now().duration_since(sent).unwrap_or_default();
        match done {
            Ok((response, location)) if response.status < 400 => {
                answers.add(&name, response.body);
                Ok(Played {
                    step: name,
                    latency,
                    leader: location.and_then(|at| self.leader(world, at)),
                })
            }
            Ok((response, _)) | Err(Unsent::Answer(response)) => {
                let (status, body) = (response.status, String::from_utf8_lossy(&response.body));
                Err(PlayError {
                    step: name,
                    reason: format!("answered with status {status}: {body}"),
                })
            }
            Err(Unsent::Refusal(reason)) => Err(PlayError { step: name, reason }),
        }
    }

    /// Who proposed the block at a place.
    fn leader(&self, world: &World, at: Location) -> Option<usize> {
        let block = world.node(self.site).store.block(at.height).ok()??;
        let mut validators = world.genesis.validators.iter();
        validators.position(|member| member.key == block.header.proposer)
    }

    async fn send(&mut self, world: &mut World, request: Request) -> Result<Sent, Unsent> {
        let node = world.node(self.site).clone();
        let route = node.executor.route(&request).map_err(refusal)?;
        if !route.is_operation() {
            return self.read(world, &node, request);
        }
        match route.role() {
            Some(SessionRole::Opens) => {
                let asked = self.ask(world, request, EMPTY_CHAIN)?;
                let stepped = stepped(node.open(asked))?;
                self.session = Some((stepped.entry.clone(), Vec::new()));
                self.agreed(world, stepped).await
            }
            Some(SessionRole::Commits { .. }) if self.session.is_some() => {
                self.commit(world, &node, request).await
            }
            _ if self.session.is_some() => {
                let (entry, chain) = self.chain()?;
                let asked = self.ask(world, request, chain)?;
                self.agreed(world, stepped(node.step(&entry, asked))?).await
            }
            _ => self.alone(world, &node, request).await,
        }
    }

    fn read(&mut self, world: &World, node: &Node, request: Request) -> Result<Sent, Unsent> {
        let execution = if self.session.is_some() {
            let (entry, chain) = self.chain()?;
            let asked = self.ask(world, request, chain)?;
            let read = node.read(&entry, &asked.request, &asked.author, None);
            read.map_err(refusal)?.1
        } else {
            let (_, view) = node.store.state().latest();
            let now = node.now();
            node.executor.read(view, &request, now).map_err(refusal)?
        };
        Ok((execution.response(), None))
    }

    /// The session, and the chain that this client has seen.
    fn chain(&self) -> Result<(Arc<Entry>, Digest), Unsent> {
        let (entry, seen) = self.session.as_ref().ok_or_else(|| refusal("no session"))?;
        Ok((entry.clone(), chain_digest(seen)))
    }

    /// A signed request in a session.
    fn ask(&mut self, world: &World, request: Request, seen: Digest) -> Result<Asked, Unsent> {
        let (nonce, seconds) = self.nonce(world);
        let sign = ClientSignature::sign_in_session;
        let signature = sign(&self.key, &request, ORIGIN, &nonce, seconds).map_err(refusal)?;
        Ok(Asked {
            request,
            author: Author::Signed(signature),
            token: None,
            seen: Some(seen),
            commitment: None,
        })
    }

    fn nonce(&mut self, world: &World) -> (String, u64) {
        self.asked += 1;
        let since = world.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (self.asked.to_string(), since.as_secs())
    }

    /// Waits until a step may be answered.
    async fn agreed(&mut self, world: &mut World, stepped: Stepped) -> Result<Sent, Unsent> {
        let holds = |_: &World| stepped.agreement().holds().then_some(());
        world.until(PATIENCE, holds).await?;
        if let Some((_, seen)) = &mut self.session {
            seen.push(Operation::clone(&stepped.step.operation));
        }
        Ok((stepped.response().clone(), None))
    }

    /// The last step and the commit in one.
    async fn commit(
        &mut self,
        world: &mut World,
        node: &Arc<Node>,
        request: Request,
    ) -> Result<Sent, Unsent> {
        let (entry, chain) = self.chain()?;
        let mut asked = self.ask(world, request, chain)?;
        let (genesis, last) = (world.genesis.hash(), asked.author.operation());
        let word = Commitment::sign_closing(&self.key, &genesis, &chain, last, &asked.request);
        asked.commitment = Some(word.signature);
        let stepped = stepped(node.step(&entry, asked))?;
        let (response, _) = self.agreed(world, stepped).await?;
        let word = Word::Closing(Some(word.signature));
        node.commit(&entry, word).map_err(refusal)?;
        let decided = |_: &World| match &entry.live.lock().status {
            Status::Decided(_, landed) => Some(landed.clone()),
            _ => None,
        };
        let landed = world.until(PATIENCE, decided).await?;
        self.session = None;
        match &landed.outcome {
            Outcome::Committed => Ok((response, Some(landed.location()))),
            other => Err(refusal(other)),
        }
    }

    /// A request outside of any session: a transaction of its own.
    async fn alone(
        &mut self,
        world: &mut World,
        node: &Arc<Node>,
        request: Request,
    ) -> Result<Sent, Unsent> {
        let (nonce, seconds) = self.nonce(world);
        let signature = ClientSignature::sign(&self.key, &request, ORIGIN, &nonce, seconds);
        let author = Author::Signed(signature.map_err(refusal)?);
        let transaction = match originate(&**node, request, author).map_err(refusal)? {
            Originated::Transaction(transaction) => transaction,
            Originated::Refused(response) => return Err(Unsent::Answer(response)),
        };
        let (hash, response) = (
            transaction.hash(),
            transaction.operations[0].response.clone(),
        );
        node.submit(transaction).map_err(refusal)?;
        let found = |_: &World| located(node, &hash);
        let location = world.until(PATIENCE, found).await?;
        Ok((response, Some(location)))
    }
}

fn located(node: &Node, hash: &TransactionHash) -> Option<Location> {
    node.store.transaction(hash).ok().flatten()
}

fn stepped(ran: Result<Ran, Refusal>) -> Result<Stepped, Unsent> {
    match ran.map_err(refusal)? {
        Ran::Stepped(stepped) => Ok(stepped),
        Ran::Refused(response) => Err(Unsent::Answer(response)),
    }
}
