//! Is it safe? The real core of one key's agreement, driven through what an adversary can do to it.
//!
//! Two values are decided in one view if certificates for both can be made of votes that were cast: no replica need ever
//! hold both. All checks here therefore look at the votes cast, and let Byzantine members sign whatever helps.
//!
//! - [`locals`] runs the core once for each thing that can happen to a replica in each state it can be in.
//! - [`search`] puts replicas together and goes through every state they can reach: [`exhaustive`].
//! - [`stories`] replays the runs that break the rule as it was published.
//! - [`random`] goes on where the search is too small: more members, false signatures, whole states, later views.
//! - [`laws`] are those of merging.
//!
//! `docs/beaufort/safety.md` tells what came of it.

mod counts;
mod exhaustive;
mod faults;
mod laws;
mod locals;
mod marks;
mod random;
mod search;
mod stories;

use std::collections::BTreeSet;

use super::{Context, Decision, Entry, Instance, Merged, Rule, State, Turn, validity};
use crate::{
    Digest, MemberId, Members, Millis, Scheme, Signature, Signers, digest,
    evidence::Signed,
    tally::Source,
    vote::{Ballot, Phase, Scope},
};
use marks::Marks;

const KEY: &[u8] = b"key";
/// A moment when nobody waits for more votes any longer.
const LATE: Millis = 1_000_000;

/// What all replicas have in common.
struct World {
    members: Members<Marks>,
    rule: Rule,
    /// Values by their hash: of two with as many votes, the later one wins.
    values: Vec<Vec<u8>>,
    /// Which of these access control refuses.
    refused: Option<usize>,
}

/// One replica's part of this key.
#[derive(Clone)]
struct Site {
    me: MemberId,
    instance: Instance<Marks>,
    excluded: BTreeSet<MemberId>,
}

impl World {
    fn new(n: u16, values: u8, rule: Rule) -> Self {
        let members = Members::new((0..n).collect()).expect("some different keys");
        let mut values: Vec<_> = (0..values).map(|value| vec![value]).collect();
        values.sort_by_key(|value| digest::value(Some(value)));
        Self {
            members,
            rule,
            values,
            refused: None,
        }
    }

    fn site(&self, me: u16) -> Site {
        Site {
            me: MemberId(me),
            instance: Instance::new(&self.members, KEY),
            excluded: BTreeSet::new(),
        }
    }

    fn digest(&self, value: usize) -> Digest {
        digest::value(Some(&self.values[value]))
    }

    fn value_of(&self, digest: &Digest) -> usize {
        (0..self.values.len())
            .find(|&value| self.digest(value) == *digest)
            .expect("one of the values")
    }

    fn ballot(&self, round: u32, phase: Phase, value: usize) -> Ballot {
        Ballot {
            round,
            phase,
            value: self.digest(value),
        }
    }

    /// One member's vote in the first view.
    fn signed(&self, voter: u16, ballot: Ballot) -> Signed {
        self.signed_in(1, voter, ballot)
    }

    fn signed_in(&self, view: u64, voter: u16, ballot: Ballot) -> Signed {
        let scope = Scope::new(&self.members.network(), KEY, view);
        let signature = Marks.encode(&Marks.sign(&voter, &scope.message(&ballot)));
        Signed {
            ballot,
            signers: Signers::one(self.members.len(), MemberId(voter)),
            signature,
        }
    }

    /// Lets a replica do something at a moment.
    fn at<T>(
        &self,
        site: &mut Site,
        now: Millis,
        act: impl FnOnce(&mut Instance<Marks>, &Context<'_, Marks>) -> T,
    ) -> T {
        let refused = self.refused.map(|value| self.values[value].as_slice());
        let cx = Context {
            scheme: &Marks,
            members: &self.members,
            me: site.me,
            secret: &site.me.0,
            excluded: &site.excluded,
            access: &|_: &[u8], _: Option<&[u8]>, new: Option<&[u8]>| {
                new.is_none() || new != refused
            },
            now,
            linger: 1,
            rule: self.rule,
            seed: &[0; 32],
        };
        act(&mut site.instance, &cx)
    }

    fn propose(&self, site: &mut Site, value: usize) -> bool {
        self.at(site, 0, |instance, cx| {
            instance.propose(cx, Some(self.values[value].clone()))
        })
    }

    fn merge(&self, site: &mut Site, from: MemberId, state: State) -> Merged {
        let vouched = false;
        let member = from;
        self.merge_from(site, Source { member, vouched }, state)
    }

    fn merge_from(&self, site: &mut Site, from: Source, state: State) -> Merged {
        self.at(site, 0, |instance, cx| instance.merge(cx, from, state))
    }

    /// Goes as far as the votes allow, all of which are genuine.
    fn act(&self, site: &mut Site, now: Millis) -> Option<Entry> {
        self.at(site, now, |instance, cx| {
            loop {
                match instance.step(cx) {
                    Turn::Rest => return None,
                    Turn::Decided => return instance.entry().cloned(),
                    Turn::Verify(ballots) => ballots
                        .iter()
                        .for_each(|ballot| _ = instance.confirm(cx, ballot)),
                }
            }
        })
    }

    /// All that a replica tells of its view.
    fn state(&self, site: &mut Site) -> State {
        let proposals = site
            .instance
            .proposals()
            .values()
            .map(|proposal| proposal.value.clone())
            .collect();
        let mut votes = Vec::new();
        for (&ballot, tally) in site.instance.tallies_mut() {
            votes.extend(tally.total(&Marks).map(|(signers, signature)| Signed {
                ballot,
                signers: signers.clone(),
                signature,
            }));
        }
        State {
            view: site.instance.view(),
            whole: true,
            decision: site.instance.entry().map(|entry| Decision {
                certificate: entry.certificate.clone(),
                value: Some(entry.value.clone()),
            }),
            proposals,
            votes,
        }
    }

    /// Whether access control refuses a value.
    fn is_refused(&self, value: &Digest) -> bool {
        self.refused
            .is_some_and(|refused| digest::value(Some(&self.values[refused])) == *value)
    }

    /// Whether what a replica tells can be an honest one's.
    fn check(&self, site: &Site) -> Result<(), validity::Invalid> {
        let claimed = site
            .instance
            .tallies()
            .iter()
            .map(|(&ballot, tally)| (ballot, tally.claimed().clone()));
        validity::check(
            &claimed.collect(),
            self.members.len(),
            self.members.quorum(),
            &|value| self.is_refused(value),
        )
    }
}
