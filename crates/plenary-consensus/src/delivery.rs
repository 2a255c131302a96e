//! Final blocks, from the engine's store to the application, one after the other.
//!
//! The engine has a block on disk before it hands it over, and notes that it is delivered once
//! the application has acknowledged it. What is not noted is delivered again after a restart. An
//! application that has less than it had acknowledged gets the rest from the engine's store,
//! where that still has it.

use crate::{
    Acknowledgement, Application, MAX_UNACKNOWLEDGED,
    block::{EngineBlock, hash},
    convert::{self, EngineScheme},
    failure::Failure,
    observer::Observations,
    store::FILES,
};
use commonware_actor::Feedback;
use commonware_consensus::{
    Heightable as _, Reporter,
    marshal::{Update, core::Mailbox, standard::Standard},
    types::Height,
};
use commonware_cryptography::Digested;
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact};
use futures::future::join_all;
use plenary_types::Certificate;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Most blocks whose certificates are looked up at a time.
const BATCH: usize = 64;

/// The engine's store of final blocks.
pub(crate) type Marshal = Mailbox<EngineScheme, Standard<EngineBlock>>;

type Delivered = (Digested<EngineBlock>, Exact);

/// Where the engine puts final blocks.
#[derive(Clone)]
pub(crate) struct Sink(mpsc::Sender<Delivered>);

/// Takes them out again.
pub(crate) struct Delivery {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) observations: Arc<Observations>,
    pub(crate) failure: Failure,
    /// How many blocks the store keeps below the last that is acknowledged.
    pub(crate) window: u64,
}

/// A queue as long as what the engine delivers unacknowledged.
pub(crate) fn queue() -> (Sink, mpsc::Receiver<Delivered>) {
    let (sender, receiver) = mpsc::channel(MAX_UNACKNOWLEDGED + 1);
    (Sink(sender), receiver)
}

impl Reporter for Sink {
    type Activity = Update<EngineBlock>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        let Update::Block(block, acknowledgement) = update else {
            return Feedback::Ok;
        };
        // It is never full: the engine waits for acknowledgements. A block that finds it closed
        // is dropped with its acknowledgement, which stops the engine.
        match self.0.try_send((block, acknowledgement)) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

/// Completes the engine's acknowledgement, or says why the engine stops.
struct Pending {
    height: u64,
    engine: Option<Exact>,
    failure: Failure,
}

impl Pending {
    fn complete(mut self) {
        if let Some(engine) = self.engine.take() {
            engine.acknowledge();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.engine.is_some() {
            let height = self.height;
            self.failure.set(format!(
                "the application did not acknowledge block {height}"
            ));
        }
    }
}

impl Delivery {
    /// Delivers until the engine ends. Blocks its thread while the application applies.
    pub(crate) async fn run(self, marshal: Marshal, mut queue: mpsc::Receiver<Delivered>) {
        if let Err(reason) = self.restore(&marshal).await {
            self.failure.set(reason);
            return;
        }
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            // All at once: the store answers between other work, and a validator that catches up
            // would wait for it at every block.
            let blocks = batch.iter().map(|(block, _)| block);
            let certificates = blocks.map(|block| self.certificate(&marshal, block));
            let certificates = join_all(certificates).await;
            for ((block, engine), certificate) in batch.drain(..).zip(certificates) {
                self.deliver(&marshal, &block, certificate, engine);
            }
        }
    }

    fn deliver(
        &self,
        marshal: &Marshal,
        block: &Digested<EngineBlock>,
        certificate: Option<Certificate>,
        engine: Exact,
    ) {
        let height = block.height().get();
        if height == 0 {
            engine.acknowledge();
            return;
        }
        let pending = Pending {
            height,
            engine: Some(engine),
            failure: self.failure.clone(),
        };
        let acknowledgement = Acknowledgement::new(move || pending.complete());
        let block = block.inner().block().clone();
        self.application
            .finalize(block, certificate, acknowledgement);
        if height.is_multiple_of(self.window.div_ceil(FILES)) {
            // Nothing that is not acknowledged goes, whatever the height.
            marshal.prune(Height::new(height.saturating_sub(self.window)));
        }
    }

    /// Delivers what the application had acknowledged and does not have.
    async fn restore(&self, marshal: &Marshal) -> Result<(), String> {
        let processed = marshal.get_processed().await;
        let processed = processed.map_or(0, |processed| processed.height().get());
        for height in self.application.height() + 1..=processed {
            let Some(block) = marshal.get_block(Height::new(height)).await else {
                return Err(format!(
                    "the application needs block {height}, which it had acknowledged and the \
                     engine no longer has; restore a later copy of the application's ledger"
                ));
            };
            let certificate = self.certificate(marshal, &block).await;
            let block = block.inner().block().clone();
            self.application
                .finalize(block, certificate, Acknowledgement::new(|| ()));
        }
        Ok(())
    }

    /// The block's own certificate, where it has one.
    async fn certificate(
        &self,
        marshal: &Marshal,
        block: &Digested<EngineBlock>,
    ) -> Option<Certificate> {
        let hash = hash(block);
        let header = &block.inner().block().header;
        let recent = self.observations.finalization(header.round.view, &hash);
        let finalization = match recent {
            Some(finalization) => finalization,
            None => {
                let height = Height::new(header.height);
                let stored = marshal.get_finalization(height).await;
                stored.filter(|stored| convert::block_hash(&stored.proposal.payload) == hash)?
            }
        };
        convert::certificate(&finalization)
    }
}
