//! What can happen to one replica.
//!
//! Replicas meet in few states, and the search meets each of them in many combinations. So every state has a number, and
//! the core runs once for each thing that can happen in it.

use std::collections::HashMap;

use super::{LATE, Merged, Phase, Signed, Site, State, World};
use crate::MemberId;

/// A set of votes: a bit for each phase, round, value and voter.
pub type Votes = u128;

/// In a set of votes: the Byzantine member is excluded.
pub const EXCLUDED: Votes = 1 << 127;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Votes are cast in this many rounds.
    pub rounds: u32,
    /// For one of this many values.
    pub values: u8,
}

/// A replica in one of the states that it can be in.
pub struct Local {
    pub site: Site,
    /// The votes it knows.
    pub known: Votes,
    /// Those among them that it cast.
    pub own: Votes,
    /// Whether it knows the outcome.
    pub decided: bool,
}

/// A local state's number.
pub type Id = u32;

/// All local states that were met.
pub struct Locals {
    pub world: World,
    pub bounds: Bounds,
    /// Whether a replica that knows two votes of a member excludes it before it does anything else.
    pub exclude: bool,
    all: Vec<Local>,
    ids: HashMap<(MemberId, Votes, u32, bool), Id>,
    learned: HashMap<(Id, Votes), Option<Id>>,
    acted: HashMap<(Id, bool), Option<Id>>,
}

impl Locals {
    pub fn new(world: World, bounds: Bounds) -> Self {
        let bits = 2 * bounds.rounds as usize * usize::from(bounds.values) * world.members.len();
        assert!(bits < 127, "a vote has a bit of its own");
        let (all, ids, learned, acted) = Default::default();
        Self {
            world,
            bounds,
            exclude: false,
            all,
            ids,
            learned,
            acted,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn get(&self, id: Id) -> &Local {
        &self.all[id as usize]
    }

    pub fn vote(&self, phase: Phase, round: u32, value: usize, voter: usize) -> Votes {
        let phase = usize::from(phase == Phase::Commit);
        let round = phase * self.bounds.rounds as usize + round as usize;
        let value = round * usize::from(self.bounds.values) + value;
        1 << (value * self.world.members.len() + voter)
    }

    /// All votes there may be, each with its set.
    pub fn votes(&self) -> Vec<(Votes, Signed)> {
        let mut votes = Vec::new();
        for phase in [Phase::PreCommit, Phase::Commit] {
            for (round, value) in (0..self.bounds.rounds).flat_map(|round| {
                (0..usize::from(self.bounds.values)).map(move |value| (round, value))
            }) {
                let ballot = self.world.ballot(round, phase, value);
                let vote = |voter| {
                    (
                        self.vote(phase, round, value, usize::from(voter)),
                        self.world.signed(voter, ballot),
                    )
                };
                votes.extend((0..self.world.members.len() as u16).map(vote));
            }
        }
        votes
    }

    /// The votes of a member.
    pub fn of(&self, voter: usize) -> Votes {
        let mut of = 0;
        for bit in (voter..126).step_by(self.world.members.len()) {
            of |= 1 << bit;
        }
        of & (self.vote(Phase::Commit, self.bounds.rounds, 0, 0) - 1)
    }

    /// The votes of one phase, of rounds below this.
    pub fn before(&self, phase: Phase, round: u32) -> Votes {
        let (first, end) = (
            self.vote(phase, 0, 0, 0),
            self.vote(phase, round.min(self.bounds.rounds), 0, 0),
        );
        end - first
    }

    /// The number of a replica's state, unless it voted in a round out of bounds.
    pub fn intern(&mut self, mut site: Site, before: Votes) -> Option<Id> {
        // How long it has waited means nothing: a search lets waiting end at any time.
        site.instance.split = None;
        let mut known = before;
        let decided = site.instance.entry().cloned();
        for (ballot, tally) in site.instance.tallies() {
            if ballot.round >= self.bounds.rounds {
                return None;
            }
            let value = self.world.value_of(&ballot.value);
            for (voter, _) in tally.claimed().iter() {
                known |= self.vote(ballot.phase, ballot.round, value, usize::from(voter.0));
            }
        }
        for (voter, _) in decided
            .iter()
            .flat_map(|entry| entry.certificate.signers.iter())
        {
            let certificate = &decided.as_ref()?.certificate;
            let value = self.world.value_of(&certificate.value);
            known |= self.vote(
                Phase::Commit,
                certificate.round,
                value,
                usize::from(voter.0),
            );
        }
        if !site.excluded.is_empty() {
            known |= EXCLUDED;
        }
        assert_eq!(
            self.world.check(&site),
            Ok(()),
            "an honest replica's own state is valid"
        );
        let (me, round) = (site.me, site.instance.round);
        let decided = decided.is_some();
        let next = self.all.len() as Id;
        let id = *self.ids.entry((me, known, round, decided)).or_insert(next);
        if id == next {
            let own = known & self.of(usize::from(me.0));
            self.all.push(Local {
                site,
                known,
                own,
                decided,
            });
        }
        Some(id)
    }

    /// The replica learns of votes, and does nothing yet. Nothing if the votes cannot be understood, or are known.
    pub fn learn(
        &mut self,
        id: Id,
        votes: Votes,
        all: &[(Votes, Signed)],
        whole: bool,
    ) -> Option<Id> {
        if let Some(&known) = self.learned.get(&(id, votes)) {
            return known;
        }
        let mut site = self.get(id).site.clone();
        let before = self.get(id).known;
        let news = if votes == EXCLUDED {
            site.excluded
                .insert(MemberId(self.world.members.len() as u16 - 1))
        } else {
            let votes = all
                .iter()
                .filter(|(vote, _)| votes & vote != 0)
                .map(|(_, signed)| signed.clone())
                .collect();
            let proposals = self.world.values.iter().cloned().map(Some).collect();
            let state = State {
                view: 1,
                whole,
                decision: None,
                proposals,
                votes,
            };
            // From whom does not matter where all signatures are genuine.
            match self.world.merge(&mut site, MemberId(0), state) {
                Merged::News => true,
                Merged::Known | Merged::Incomplete => false,
                Merged::Invalid(invalid) => panic!("a state made of honest votes: {invalid}"),
            }
        };
        let learned = if news {
            self.intern(site, before)
        } else {
            None
        };
        self.learned.insert((id, votes), learned);
        learned
    }

    /// The replica does what it can, after it has waited for more votes as long as it does in one round, or at once.
    pub fn act(&mut self, id: Id, waits: bool) -> Option<Id> {
        if let Some(&acted) = self.acted.get(&(id, waits)) {
            return acted;
        }
        let mut site = self.get(id).site.clone();
        let before = self.get(id).known;
        if self.exclude
            && let Some((culprit, _)) = site.instance.double_vote(site.me, &site.excluded)
        {
            site.excluded.insert(culprit);
        }
        if self.world.act(&mut site, 0).is_none() && waits {
            self.world.act(&mut site, LATE);
        }
        let acted = self.intern(site, before);
        self.acted.insert((id, waits), acted);
        acted
    }
}
