//! What is kept of a key when the program ends.
//!
//! Above all this replica's own votes: one that forgot how it voted might vote otherwise, and be taken for Byzantine
//! by all. Only what is verified is kept; the rest comes again by gossip.

use super::{Output, Replica};
use crate::{
    Entry, Scheme,
    evidence::Signed,
    instance::{Decision, Instance, State},
    wire::{self, KeyState, WireError},
};

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error(
        "{0}; it was written by another version or damaged: remove it, and this replica fetches the key again. If it voted on the key since, others may take it for Byzantine"
    )]
    Wire(#[from] WireError),
    /// A record of another key or network.
    #[error("it belongs to another key or network")]
    Foreign,
}

impl<S: Scheme> Replica<S> {
    /// Keeps the keys that changed in a way that must not be forgotten: before anything is sent, for a neighbour may
    /// have been answered already with what is only now kept.
    pub(super) fn save(&mut self) {
        let (scheme, instances) = (&self.scheme, &self.instances);
        let record = |key: Vec<u8>| {
            let kept = instances.get(&key)?.kept(scheme);
            let record = wire::encode(&KeyState::new(&key, kept, true));
            Some(Output::Persist { key, record })
        };
        let records = std::mem::take(&mut self.unsaved)
            .into_iter()
            .filter_map(record);
        self.outputs.splice(0..0, records);
    }

    /// Goes on with a key from what was kept of it.
    pub(super) fn restore(&mut self, key: &[u8], record: &[u8]) -> Result<(), RecordError> {
        let (of, state) = wire::decode::<KeyState>(record)?.into_state()?;
        let members = self.members.len();
        let fits = |vote: &Signed| vote.signers.members() == members;
        let decided = |decision: &Decision| decision.certificate.signers.members() == members;
        if of != key || !state.votes.iter().all(fits) || !state.decision.iter().all(decided) {
            return Err(RecordError::Foreign);
        }
        let (cx, instances) = self.split(0);
        let instance =
            Instance::restored(&cx, key, state).ok_or(RecordError::Wire(WireError::Malformed))?;
        instances.insert(key.into(), instance);
        self.touch(key);
        Ok(())
    }
}

impl<S: Scheme> Instance<S> {
    /// What the last view decided, as others are told.
    pub(super) fn decision(&self) -> Option<Decision> {
        let Entry {
            value, certificate, ..
        } = self.entry()?.clone();
        Some(Decision {
            certificate,
            value: Some(value),
        })
    }

    /// What is to be kept: all that is verified.
    fn kept(&self, scheme: &S) -> State {
        let votes = self.tallies().iter().flat_map(|(&ballot, tally)| {
            tally.kept(scheme).map(move |(signers, signature)| Signed {
                ballot,
                signers,
                signature,
            })
        });
        let proposals = self
            .proposals()
            .values()
            .map(|proposal| proposal.value.clone());
        State {
            view: self.view(),
            whole: true,
            decision: self.decision(),
            proposals: proposals.collect(),
            votes: votes.collect(),
        }
    }
}
