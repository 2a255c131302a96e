//! Running the keys' instances, and verifying what they decide on.
//!
//! Nothing is verified until a decision depends on it; then everything that waits is verified as one batch. If a batch
//! fails, halving finds the false signatures, and from whom they came; what is made of that, `doubt` says.

use super::{Exclusion, Output, Replica};
use crate::{
    Ballot, Digest, Evidence, MemberId, Millis, Scheme, Signed,
    instance::{Instance, Turn},
    sums::{Sum, claims},
};

/// The most ballots that are verified as one batch. Honest replicas seldom have as many to verify; what somebody made up
/// to be verified costs little more than the first of it.
const BATCH: usize = 32;

/// How many false parts are looked for in one poll. What else does not hold waits for the next.
const SEARCHES: usize = 4;

/// How long a key's state is not asked for again, in milliseconds.
const START_OVER: Millis = 500;

/// What is to be verified before its key goes on.
struct Pending<P> {
    key: Vec<u8>,
    what: What,
    message: Digest,
    sums: Vec<Sum<P>>,
}

#[derive(Clone, Copy)]
enum What {
    /// The latest entry from a later view.
    Ahead,
    /// Votes.
    Votes(Ballot),
}

impl<S: Scheme> Replica<S> {
    /// Goes on with every key that may have a step to do.
    pub(super) fn decide(&mut self, now: Millis) {
        let due: Vec<_> = self
            .dues
            .iter()
            .filter(|&(_, &due)| due <= now)
            .map(|(key, _)| key.clone())
            .collect();
        self.dirty.extend(due);
        self.review_doubts(now);
        let mut searches = SEARCHES;
        while searches > 0 {
            let mut pending = Vec::new();
            for key in std::mem::take(&mut self.dirty) {
                self.advance(now, &key, &mut pending);
            }
            if pending.is_empty() {
                break;
            }
            self.dirty
                .extend(pending.iter().map(|pending| pending.key.clone()));
            self.verify(now, pending, &mut searches);
        }
        self.save();
    }

    /// Goes on with one key until something of it must be verified.
    fn advance(&mut self, now: Millis, key: &[u8], pending: &mut Vec<Pending<S::Point>>) {
        loop {
            let mut unsure = self.careful_about(key);
            let (cx, instances) = self.split(now);
            let Some(instance) = instances.get_mut(key) else {
                return;
            };
            if let Some(certificate) = instance.latest_ahead() {
                let message = certificate.message(&cx.members.network(), key);
                let signers = certificate.signers.clone();
                let Some(point) = cx.scheme.decode(&certificate.signature) else {
                    self.settle_ahead(now, key, false);
                    continue;
                };
                return pending.push(Pending {
                    key: key.into(),
                    what: What::Ahead,
                    message,
                    sums: vec![Sum { signers, point }],
                });
            }
            let double = instance.double_vote(cx.me, cx.excluded);
            let both_hold = |ballots: [Ballot; 2]| {
                ballots
                    .iter()
                    .all(|ballot| instance.tallies()[ballot].is_verified())
            };
            if let Some((_, ballots)) = double
                && !both_hold(ballots)
            {
                // What they rest on is verified with them, for what is kept must be able to stand by itself.
                unsure.extend(instance.unverified_until(ballots[0].round));
                unsure.extend(
                    ballots
                        .into_iter()
                        .filter(|ballot| !instance.tallies()[ballot].is_verified()),
                );
            }
            if unsure.is_empty() {
                if let Some((culprit, ballots)) = double {
                    self.accuse(key, culprit, ballots);
                    continue;
                }
                let cast = instance.cast();
                let turn = instance.step(&cx);
                let due = instance.due(&cx);
                if instance.cast() > cast || matches!(turn, Turn::Decided) {
                    self.unsaved.insert(key.into());
                    self.touch(key);
                }
                match due.filter(|&due| due > now) {
                    Some(due) => _ = self.dues.insert(key.into(), due),
                    None => _ = self.dues.remove(key),
                }
                match turn {
                    Turn::Rest => {
                        self.dirty.remove(key);
                        self.careful.remove(key);
                        return;
                    }
                    Turn::Decided => {
                        self.decided(now, key);
                        continue;
                    }
                    Turn::Verify(ballots) => unsure = ballots,
                }
            }
            let Some(instance) = self.instances.get_mut(key) else {
                return;
            };
            return pending.extend(
                unsure
                    .into_iter()
                    .filter_map(|ballot| to_verify(&self.scheme, instance, key, ballot)),
            );
        }
    }

    /// The votes for a key that are verified whether or not anything depends on them.
    fn careful_about(&self, key: &[u8]) -> Vec<Ballot> {
        let instance = self
            .instances
            .get(key)
            .filter(|_| self.careful.contains(key));
        instance.map_or(Vec::new(), |instance| instance.unverified().collect())
    }

    /// Verifies all at once, and tells the instances. Once somebody is found who passed on what is false, the rest is left
    /// for the next time: without all that came from there, most of it may hold.
    fn verify(&mut self, now: Millis, mut pending: Vec<Pending<S::Point>>, searches: &mut usize) {
        let mut groups = Vec::new();
        while pending.len() > BATCH {
            groups.push(pending.split_off(pending.len() - BATCH));
        }
        groups.push(pending);
        while let Some(mut group) = groups.pop() {
            if self.holds(&group) {
                for Pending { key, what, .. } in group {
                    match what {
                        What::Ahead => self.settle_ahead(now, &key, true),
                        What::Votes(ballot) => {
                            let (cx, instances) = self.split(now);
                            let instance = instances.get_mut(&key);
                            if instance.is_some_and(|instance| !instance.confirm(&cx, &ballot)) {
                                self.touch(&key);
                            }
                        }
                    }
                }
            } else if group.len() > 1 {
                groups.push(group.split_off(group.len() / 2));
                groups.push(group);
            } else if let Some(Pending {
                key, what, message, ..
            }) = group.pop()
            {
                match what {
                    What::Ahead => self.settle_ahead(now, &key, false),
                    What::Votes(ballot) => {
                        *searches -= 1;
                        let is_news = self.refute(now, &key, ballot, &message);
                        if is_news || *searches == 0 {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn holds(&mut self, pending: &[Pending<S::Point>]) -> bool {
        let seed = self.draw_seed();
        let claims: Vec<_> = pending
            .iter()
            .flat_map(|Pending { message, sums, .. }| claims(message, sums))
            .collect();
        self.scheme
            .verify(self.members.verifier(&self.scheme), &claims, &seed)
    }

    /// Votes do not hold: drops a false part of them, and whatever else came from there. Returns whether that was trusted.
    fn refute(&mut self, now: Millis, key: &[u8], ballot: Ballot, message: &Digest) -> bool {
        let seed = self.draw_seed();
        let scheme = &self.scheme;
        let verifier = self.members.verifier(scheme);
        let mut holds = |sums: &[Sum<S::Point>]| {
            let claims: Vec<_> = claims(message, sums).collect();
            scheme.verify(verifier, &claims, &seed)
        };
        let Some(instance) = self.instances.get_mut(key) else {
            return false;
        };
        let refuted = instance.refute(&self.members, &ballot, &mut holds);
        let is_news = match refuted.culprit {
            None => false,
            Some(source) if source.vouched => {
                self.exclude(source.member, Exclusion::FalseSignature);
                self.disown(now, source.member, true);
                true
            }
            Some(source) => self.distrust(now, source.member, key),
        };
        let again = self.started_over.get(key);
        if refuted.lost_others && again.is_none_or(|&last| now >= last + START_OVER) {
            self.started_over.insert(key.into(), now);
            self.start_over(key);
        }
        self.touch(key);
        is_news
    }

    fn settle_ahead(&mut self, now: Millis, key: &[u8], holds: bool) {
        let (cx, instances) = self.split(now);
        let Some(instance) = instances.get_mut(key) else {
            return;
        };
        let view = instance.view();
        match instance.settle_ahead(&cx, holds) {
            Ok(incomplete) => {
                if instance.view() > view {
                    self.unsaved.insert(key.into());
                    self.touch(key);
                    self.decided(now, key);
                }
                for member in incomplete {
                    self.want(member, key);
                }
            }
            Err(member) => {
                self.exclude(member, Exclusion::FalseSignature);
                self.touch(key);
            }
        }
    }

    /// A key has a new entry.
    fn decided(&mut self, now: Millis, key: &[u8]) {
        let Some(entry) = self.get(key).cloned() else {
            return;
        };
        self.neighbours.progressed(now);
        self.dues.remove(key);
        self.started_over.remove(key);
        self.outputs.push(Output::Commit {
            key: key.into(),
            entry: entry.clone(),
        });
        self.settle(now, key, &entry);
    }

    /// A member's two votes are both verified.
    fn accuse(&mut self, key: &[u8], culprit: MemberId, ballots: [Ballot; 2]) {
        let Some(instance) = self.instances.get(key) else {
            return;
        };
        let vote = |ballot: Ballot| {
            let mut sums = instance.tallies().get(&ballot)?.kept(&self.scheme);
            let (signers, signature) = sums.find(|(signers, _)| signers.contains(culprit))?;
            Some(Signed {
                ballot,
                signers,
                signature,
            })
        };
        if let [Some(one), Some(other)] = ballots.map(vote) {
            let evidence = Evidence {
                culprit,
                key: key.into(),
                view: instance.view(),
                votes: [one, other],
            };
            self.exclude(culprit, Exclusion::DoubleVote(Box::new(evidence)));
        }
    }
}

/// What is to be verified of some votes.
fn to_verify<S: Scheme>(
    scheme: &S,
    instance: &mut Instance<S>,
    key: &[u8],
    ballot: Ballot,
) -> Option<Pending<S::Point>> {
    let message = instance.scope().message(&ballot);
    let tally = instance.tallies_mut().get_mut(&ballot)?;
    Some(Pending {
        key: key.into(),
        what: What::Votes(ballot),
        message,
        sums: tally.claims(scheme).to_vec(),
    })
}
