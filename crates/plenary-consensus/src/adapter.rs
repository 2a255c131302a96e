//! The application as the engine calls it: asynchronous, cancellable, and with its own blocks.

use crate::{
    Application, Demand, Proposal,
    block::{EngineBlock, EngineContext, hash},
    clock::Gate,
    convert,
};
use commonware_consensus::{
    self as engine, CertifiableBlock as _, Heightable as _, marshal::ancestry::Ancestry,
};
use commonware_cryptography::Digested;
use commonware_runtime::{Clock, Spawner};
use futures::{StreamExt as _, future::Either};
use plenary_types::{Block, GenesisHash, limits::MAX_CLOCK_DRIFT_MS};
use std::{pin::pin, sync::Arc, time::Duration};
use tracing::error;

/// How long a leader that has nothing to commit waits for what was proposed before to be decided
/// before it proposes an empty block on it. Votes to finalize are sent once; where enough of them
/// were lost, only a descendant can make a block final.
const PATIENCE: Duration = Duration::from_millis(300);

/// The application, for the engine. `C` is the engine's own clock.
pub(crate) struct Adapter<C> {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) demand: Demand,
    pub(crate) genesis: GenesisHash,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<C>,
}

impl<C> Clone for Adapter<C> {
    fn clone(&self) -> Self {
        Self {
            application: self.application.clone(),
            demand: self.demand.clone(),
            genesis: self.genesis,
            gate: self.gate.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// The blocks of `ancestry` that the application has not applied, ascending.
async fn pending(
    application: &dyn Application,
    mut ancestry: impl Ancestry<EngineBlock>,
) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    loop {
        let applied = application.height();
        let known = |block: &Digested<EngineBlock>| block.height().get() <= applied;
        // Looking ahead saves fetching an ancestor nobody needs.
        if ancestry.peek().is_some_and(known) {
            break;
        }
        match ancestry.next().await {
            Some(block) if !known(&block) => blocks.push(block.inner().block().clone()),
            _ => break,
        }
    }
    blocks.reverse();
    blocks
}

impl<C: Clock> Adapter<C> {
    /// Runs what may take long away from the engine's own tasks.
    async fn execute<E: Spawner, T: Send + 'static>(
        runtime: &E,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let task = runtime.child("execute").shared(true);
        match task.spawn(|_| async move { work() }).await {
            Ok(result) => result,
            // The engine is stopping: whoever waits for this is too.
            Err(_) => futures::future::pending().await,
        }
    }

    /// Whether what the application built can be proposed.
    fn acceptable(&self, block: &Block, proposal: &Proposal) -> bool {
        let header = &block.header;
        let matches = header.genesis == self.genesis
            && header.height == proposal.height
            && header.round == proposal.round
            && header.parent == proposal.parent
            && header.proposer == proposal.proposer;
        // Peers cut off who sends them what they cannot decode.
        let body = block.check_body();
        if !matches || body.is_err() {
            error!(
                ?header,
                ?proposal,
                ?body,
                "the application built a wrong block"
            );
            return false;
        }
        true
    }

    /// Whether the header says what the engine knows of the proposal.
    fn consistent(&self, block: &Digested<EngineBlock>, context: &EngineContext) -> bool {
        block.inner().block().header.genesis == self.genesis && block.context() == *context
    }
}

impl<E: Spawner + Clock, C: Clock> engine::Application<E> for Adapter<C> {
    type SigningScheme = convert::EngineScheme;
    type Context = EngineContext;
    type Block = EngineBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (runtime, context): (E, EngineContext),
        ancestry: impl Ancestry<EngineBlock>,
        (): (),
    ) -> Option<Digested<EngineBlock>> {
        let parent = ancestry.peek()?;
        let (parent_height, parent) = (parent.height().get(), hash(parent));
        let mut demand = self.demand.follow();
        let mut required = false;
        loop {
            if demand.get() || required {
                if self.application.height() > parent_height {
                    return None;
                }
                let ancestors = pending(self.application.as_ref(), ancestry.clone()).await;
                let proposal = Proposal {
                    height: parent_height + 1,
                    round: convert::round(&context),
                    parent,
                    proposer: convert::public_key(&context.leader),
                    now: convert::timestamp(runtime.current()),
                    required,
                };
                let application = self.application.clone();
                let (proposal, block) = Self::execute(&runtime, move || {
                    let block = application.propose(&proposal, &ancestors);
                    (proposal, block)
                })
                .await;
                if let Some(block) = block {
                    if !self.acceptable(&block, &proposal) {
                        return None;
                    }
                    return Some(EngineBlock::new(Arc::new(block))?.digested());
                }
            }
            let changed = pin!(demand.changed());
            let patience = pin!(self.clock.sleep(PATIENCE));
            required = match futures::future::select(changed, patience).await {
                Either::Left(_) => false,
                Either::Right(_) => self.gate.is_undecided(),
            };
        }
    }

    async fn verify(
        &mut self,
        (runtime, context): (E, EngineContext),
        mut ancestry: impl Ancestry<EngineBlock>,
    ) -> bool {
        let Some(block) = ancestry.next().await else {
            return futures::future::pending().await;
        };
        if !self.consistent(&block, &context) {
            return false;
        }
        let height = block.height().get();
        if height <= self.application.height() {
            return self.application.height_of(&hash(&block)) == Some(height);
        }
        let block = block.inner().block().clone();
        // A clock that is behind says nothing about the block, so this waits, and a validator
        // whose clock is right refuses nothing.
        let time = block.header.time;
        let now = loop {
            let now = convert::timestamp(runtime.current());
            match time.0.checked_sub(now.plus_ms(MAX_CLOCK_DRIFT_MS).0) {
                None | Some(0) => break now,
                Some(ahead) => runtime.sleep(Duration::from_millis(ahead)).await,
            }
        };
        let ancestors = pending(self.application.as_ref(), ancestry).await;
        let application = self.application.clone();
        Self::execute(&runtime, move || {
            application.verify(&block, &ancestors, now)
        })
        .await
    }
}
