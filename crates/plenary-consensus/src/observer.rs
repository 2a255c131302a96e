//! What the engine tells of itself: which view it is in, what became final, who misbehaved.

use crate::{
    Application,
    clock::Gate,
    convert::{self, EngineActivity, EngineFinalization, EngineScheme},
    signal::{Follower, Signal},
};
use commonware_actor::Feedback;
use commonware_consensus::{
    Reporter, Viewable as _,
    simplex::{
        elector::{Config as _, Elector as _, RoundRobin, RoundRobinElector},
        types::Activity,
    },
};
use commonware_cryptography::{Sha256, ed25519};
use commonware_runtime::Clock;
use commonware_utils::ordered::{Quorum as _, Set};
use parking_lot::Mutex;
use plenary_types::{BlockHash, Genesis};
use std::{collections::BTreeMap, sync::Arc};
use tracing::warn;

/// How many of the latest finalizations are at hand for delivery; older ones are on disk.
const RECENT: usize = 64;

/// Who leads which view.
pub(crate) fn election() -> RoundRobin<Sha256> {
    RoundRobin::default()
}

#[derive(Debug, Default)]
struct Seen {
    /// The view the engine is in.
    view: u64,
    /// The highest view with a notarization.
    notarized: u64,
    /// Finalizations by view.
    finalizations: BTreeMap<u64, (BlockHash, EngineFinalization)>,
}

/// What has been seen so far.
pub(crate) struct Observations {
    application: Arc<dyn Application>,
    genesis: Arc<Genesis>,
    participants: Set<ed25519::PublicKey>,
    elector: RoundRobinElector<EngineScheme>,
    gate: Arc<Gate>,
    seen: Mutex<Seen>,
    finalized: Signal<u64>,
}

impl Observations {
    pub(crate) fn new(
        application: Arc<dyn Application>,
        genesis: Arc<Genesis>,
        gate: Arc<Gate>,
    ) -> Arc<Self> {
        let participants = convert::participants(&genesis);
        Arc::new(Self {
            application,
            elector: election().build(&participants),
            participants,
            genesis,
            gate,
            seen: Mutex::default(),
            finalized: Signal::new(0),
        })
    }

    /// The view the engine is in; the first is 1.
    pub(crate) fn view(&self) -> u64 {
        self.seen.lock().view.max(1)
    }

    /// Who leads the view the engine is in.
    pub(crate) fn leader(&self) -> Option<ed25519::PublicKey> {
        let leader = self.elector.elect(convert::engine_round(self.view()), ());
        self.participants.key(leader).cloned()
    }

    /// Follows the highest view that became final.
    pub(crate) fn follow(&self) -> Follower<u64> {
        self.finalized.follow()
    }

    /// The highest view that became final.
    pub(crate) fn finalized(&self) -> u64 {
        self.finalized.get()
    }

    /// The finalization of the highest view that has one.
    pub(crate) fn latest(&self) -> Option<EngineFinalization> {
        let seen = self.seen.lock();
        let (_, (_, finalization)) = seen.finalizations.last_key_value()?;
        Some(finalization.clone())
    }

    /// The finalization of the block proposed in `view`, where it was among the last.
    pub(crate) fn finalization(&self, view: u64, block: &BlockHash) -> Option<EngineFinalization> {
        let seen = self.seen.lock();
        let (hash, finalization) = seen.finalizations.get(&view)?;
        (hash == block).then(|| finalization.clone())
    }

    fn finalization_seen(&self, finalization: EngineFinalization) {
        let view = finalization.view().get();
        let mut seen = self.seen.lock();
        seen.view = seen.view.max(view + 1);
        let hash = convert::block_hash(&finalization.proposal.payload);
        seen.finalizations.insert(view, (hash, finalization));
        while seen.finalizations.len() > RECENT {
            seen.finalizations.pop_first();
        }
    }

    fn misbehaviour(&self, activity: &EngineActivity) {
        let Some(evidence) = convert::evidence(activity) else {
            return;
        };
        // The engine reports conflicts before it has checked the signatures of both votes.
        if evidence.verify(&self.genesis) {
            warn!(validator = evidence.validator, "a validator misbehaved");
            self.application.evidence(evidence);
        }
    }

    /// The highest final view, and whether a later one has a proposal that is not decided.
    fn decided(&self) -> (u64, bool) {
        let seen = self.seen.lock();
        let finalized = seen.finalizations.last_key_value();
        let finalized = finalized.map_or(0, |(view, _)| *view);
        (finalized, seen.notarized > finalized)
    }
}

/// Feeds [`Observations`] from the engine.
pub(crate) struct Observer<E> {
    pub(crate) observations: Arc<Observations>,
    pub(crate) clock: Arc<E>,
}

impl<E> Clone for Observer<E> {
    fn clone(&self) -> Self {
        Self {
            observations: self.observations.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl<E: Clock> Reporter for Observer<E> {
    type Activity = EngineActivity;

    fn report(&mut self, activity: EngineActivity) -> Feedback {
        let observations = &self.observations;
        match activity {
            // Votes: not checked yet, and of no interest one by one.
            Activity::Notarize(_) | Activity::Nullify(_) | Activity::Finalize(_) => {
                return Feedback::Ok;
            }
            Activity::ConflictingNotarize(_)
            | Activity::ConflictingFinalize(_)
            | Activity::NullifyFinalize(_) => {
                observations.misbehaviour(&activity);
                return Feedback::Ok;
            }
            Activity::Notarization(notarization) => {
                let mut seen = observations.seen.lock();
                seen.notarized = seen.notarized.max(notarization.view().get());
            }
            Activity::Certification(notarization) => {
                let mut seen = observations.seen.lock();
                seen.view = seen.view.max(notarization.view().get() + 1);
            }
            Activity::Nullification(nullification) => {
                let mut seen = observations.seen.lock();
                seen.view = seen.view.max(nullification.view().get() + 1);
            }
            Activity::Finalization(finalization) => observations.finalization_seen(finalization),
        }
        let (finalized, undecided) = observations.decided();
        observations
            .gate
            .set_undecided(self.clock.current(), undecided);
        observations
            .finalized
            .update(|known| std::mem::replace(known, finalized) != finalized);
        Feedback::Ok
    }
}
