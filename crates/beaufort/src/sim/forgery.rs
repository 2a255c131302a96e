//! Lies in the protocol's own words: states of keys as a Byzantine replica may make them up.
//!
//! It can sign as itself and copy what others signed, but not sign as them.

use super::{Additive, Micros, Number, Random, Secret, SiteId, Tamper, World};
use crate::{
    MemberId, Members, Scheme as _, Signature, Signers,
    evidence::Signed,
    instance::State,
    vote::{Ballot, Phase, Scope},
    wire::{self, KeyState, Message},
};

/// What a lie is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Whether others signed: their sums are spoiled, without a word on whether they were verified.
    Signature,
    /// What the liar votes for.
    Vote,
    /// How things stand.
    State,
    /// How often somebody signed: every signature holds, and nobody sees who did it.
    Count,
}

/// Bends states of keys on their way out.
pub(super) struct Forgery {
    lie: Lie,
    /// The part of all states that are lies.
    chance: f64,
    random: Random,
    scheme: Additive,
    members: Members<Additive>,
    me: MemberId,
    secret: Secret,
}

impl Forgery {
    /// Lies for the member of a site.
    pub(super) fn new(world: &World, site: SiteId, random: Random, lie: Lie, chance: f64) -> Self {
        let numbers = (0..world.members() as u64).map(Number).collect();
        let members = Members::new(numbers).expect("as many as the world has");
        let me = world.site(site).member;
        let secret = Secret(Number(u64::from(me.0)));
        Self {
            lie,
            chance,
            random,
            scheme: Additive::default(),
            members,
            me,
            secret,
        }
    }

    fn bend(&mut self, key: &[u8], state: &mut State, vouched: &mut bool) {
        match self.lie {
            Lie::Signature => {
                let others = state
                    .votes
                    .iter_mut()
                    .filter(|vote| vote.signers.distinct() > 1);
                for vote in others {
                    vote.signature = noise(&mut self.random);
                    *vouched = false;
                }
            }
            Lie::Vote => self.stuff(key, state),
            Lie::State => {
                *vouched ^= self.random.happens(0.2);
                self.distort(key, state);
            }
            Lie::Count => state.votes.iter_mut().for_each(|vote| self.inflate(vote)),
        }
    }

    /// Doubles a sum as often as its counts allow.
    fn inflate(&self, vote: &mut Signed) {
        let Some(mut point) = self.scheme.decode(&vote.signature) else {
            return;
        };
        let mut signers = vote.signers.clone();
        let double = |signers: &Signers| signers.plus(signers).filter(Signers::is_joinable);
        while let Some(doubled) = double(&signers) {
            signers = doubled;
            let once = point;
            self.scheme.add(&mut point, &once);
        }
        *vote = Signed {
            ballot: vote.ballot,
            signers,
            signature: self.scheme.encode(&point),
        };
    }

    /// Adds a vote of its own for a value that is known, or that nobody proposed.
    fn stuff(&mut self, key: &[u8], state: &mut State) {
        if self.random.happens(0.2) {
            state.proposals.push(Some(self.random.seed().to_vec()));
        }
        let mut values: Vec<_> = state.votes.iter().map(|vote| vote.ballot.value).collect();
        values.extend(
            state
                .proposals
                .iter()
                .map(|value| crate::value_digest(value.as_deref())),
        );
        let rounds = state
            .votes
            .iter()
            .map(|vote| vote.ballot.round)
            .max()
            .unwrap_or(0)
            + 2;
        let Some(value) = self.random.pick(&mut values).copied() else {
            return;
        };
        let phase = if self.random.happens(0.5) {
            Phase::PreCommit
        } else {
            Phase::Commit
        };
        let ballot = Ballot {
            round: self.random.below(u64::from(rounds)) as u32,
            phase,
            value,
        };
        let vote = self.sign(key, state.view, ballot);
        state.votes.push(vote);
    }

    /// Leaves out, invents or renames something.
    fn distort(&mut self, key: &[u8], state: &mut State) {
        match self.random.below(7) {
            0 => {
                let which = self.random.below(state.votes.len() as u64) as usize;
                state.votes.truncate(which);
                state.whole = true;
            }
            1 => state.view = state.view.saturating_add(self.random.below(3)),
            2 => state.decision = None,
            3 => {
                let (first, second) = (self.random.below(4) as u32, self.random.below(4) as u32);
                let rounds = state
                    .votes
                    .iter_mut()
                    .filter(|vote| vote.ballot.round == first);
                rounds.for_each(|vote| vote.ballot.round = second);
            }
            4 => {
                if let Some(decision) = &mut state.decision {
                    let value = Some(b"never decided".to_vec());
                    decision.certificate.value = crate::value_digest(value.as_deref());
                    decision.value = Some(value);
                }
            }
            5 => {
                let anybody = Signers::one(self.members.len(), self.anybody());
                if let Some(vote) = self.random.pick(&mut state.votes) {
                    vote.signers.unite(&anybody);
                }
            }
            _ => self.stuff(key, state),
        }
    }

    fn sign(&self, key: &[u8], view: u64, ballot: Ballot) -> Signed {
        let scope = Scope::new(&self.members.network(), key, view);
        let point = self.scheme.sign(&self.secret, &scope.message(&ballot));
        let signature = self.scheme.encode(&point);
        Signed {
            ballot,
            signers: Signers::one(self.members.len(), self.me),
            signature,
        }
    }

    fn anybody(&mut self) -> MemberId {
        MemberId(self.random.below(self.members.len() as u64) as u16)
    }
}

/// Bytes that are a point, and nobody's signature.
fn noise(random: &mut Random) -> Signature {
    let mut bytes = [0xff; 48];
    bytes[16..].copy_from_slice(&random.seed());
    bytes.iter_mut().step_by(8).for_each(|byte| *byte |= 0x80);
    Signature(bytes)
}

impl Tamper for Forgery {
    fn tamper(&mut self, _now: Micros, _to: MemberId, bytes: Vec<u8>) -> Vec<(Micros, Vec<u8>)> {
        let Ok(Message::States(states)) = wire::decode(&bytes) else {
            return vec![(0, bytes)];
        };
        let mut bent = Vec::new();
        for state in states {
            let mut vouched = state.is_vouched();
            let Ok((key, mut state)) = state.clone().into_state() else {
                bent.push(state);
                continue;
            };
            if self.random.happens(self.chance) {
                self.bend(&key, &mut state, &mut vouched);
            }
            bent.push(KeyState::new(&key, state, vouched));
        }
        vec![(0, wire::encode(&Message::States(bent)))]
    }
}
