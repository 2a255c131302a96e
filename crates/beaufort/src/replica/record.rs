//! What is kept when the program ends.
//!
//! Of a key above all this replica's own votes: one that forgot how it voted might vote otherwise, and be taken for
//! Byzantine by all. Only what is verified is kept; the rest comes again by gossip.
//!
//! Under the empty key, which no value has, the evidence against who voted twice is kept: their votes count for nothing
//! from the start. What a member did to this replica alone is forgotten.

use super::{Exclusion, Output, Replica};
use crate::{
    Entry, Evidence, Scheme,
    evidence::Signed,
    instance::{Decision, Instance, State},
    wire::{self, KeyState, WireError},
};

/// What evidence is kept under.
pub(super) const EVIDENCE: &[u8] = &[];

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
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        let records: Vec<_> = unsaved.filter_map(|key| self.record(key)).collect();
        self.outputs.splice(0..0, records);
    }

    fn record(&self, key: Vec<u8>) -> Option<Output> {
        let record = if key == EVIDENCE {
            wire::encode(&self.evidence().collect::<Vec<_>>())
        } else {
            let kept = self.instances.get(&key)?.kept(&self.scheme);
            wire::encode(&KeyState::new(&key, kept, true))
        };
        Some(Output::Persist { key, record })
    }

    /// What shows that members voted twice, of all that did as far as is known.
    pub(super) fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.excluded.values().filter_map(|why| match why {
            Exclusion::DoubleVote(evidence) => Some(&**evidence),
            _ => None,
        })
    }

    /// Goes on from what was kept under a key.
    pub(super) fn restore(&mut self, key: &[u8], record: &[u8]) -> Result<(), RecordError> {
        if key == EVIDENCE {
            self.restore_evidence(record)
        } else {
            self.restore_key(key, record)
        }
    }

    fn restore_evidence(&mut self, record: &[u8]) -> Result<(), RecordError> {
        for evidence in wire::decode_kept::<Vec<Evidence>>(record)? {
            let culprit = evidence.culprit;
            if culprit == self.me || self.members.key(culprit).is_none() {
                return Err(RecordError::Foreign);
            }
            self.banned.insert(culprit);
            self.outputs.push(Output::Evidence(evidence.clone()));
            let why = Exclusion::DoubleVote(Box::new(evidence));
            self.excluded.insert(culprit, why);
        }
        Ok(())
    }

    fn restore_key(&mut self, key: &[u8], record: &[u8]) -> Result<(), RecordError> {
        let (of, state) = wire::decode_kept::<KeyState>(record)?.into_state()?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Ballot, MemberId, Output, Phase, Settings, Signature, Signers,
        bls::Bls,
        digest, members,
        wire::{MAX_MESSAGE, MAX_VALUE, Message},
    };

    const MEMBERS: usize = 40;

    fn replica(stored: Vec<(Vec<u8>, Vec<u8>)>) -> Replica<Bls> {
        let (members, mut secrets) = members::network(MEMBERS as u8);
        let access = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
        let settings = Settings::default();
        let secret = secrets.remove(0);
        let access = Box::new(access);
        Replica::new(Bls, members, secret, settings, access, [0; 32], stored).unwrap()
    }

    /// A neighbour claimed that many members had proposed long values for one key. What the replica kept of that with its own
    /// vote was longer than a message may be, and it did not start again.
    #[test]
    fn what_was_kept_starts_a_replica_however_long_it_is() {
        let mut replica = replica(Vec::new());
        replica.connected(0, MemberId(1));
        for member in 1..20u16 {
            let value = Some(vec![member as u8; MAX_VALUE]);
            let ballot = Ballot {
                round: 0,
                phase: Phase::PreCommit,
                value: digest::value(value.as_deref()),
            };
            let vote = Signed {
                ballot,
                signers: Signers::one(MEMBERS, MemberId(member)),
                signature: Signature(infinity()),
            };
            let state = State {
                view: 1,
                whole: true,
                proposals: vec![value],
                votes: vec![vote],
                ..State::default()
            };
            let states = Message::States(vec![KeyState::new(b"key", state, false)]);
            replica.receive(0, MemberId(1), &wire::encode(&states));
        }
        let persisted = replica
            .poll(0)
            .into_iter()
            .filter_map(|output| match output {
                Output::Persist { key, record } => Some((key, record)),
                _ => None,
            });
        let persisted: Vec<_> = persisted.collect();
        assert!(persisted[0].1.len() > MAX_MESSAGE);
        self::replica(persisted);
    }

    /// Bytes that can be read as a signature.
    fn infinity() -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[0] = 0xc0;
        bytes
    }
}
