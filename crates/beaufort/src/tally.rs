//! The votes for one value in one round: a set that only grows, kept as [few sums](crate::sums) of signatures.
//!
//! Votes come from neighbours as sums that nobody has verified yet. They are kept as they came until a decision needs
//! them: then they are added to what is known to hold, and the whole is verified at once (section 3.2.6 of the paper).
//! If that fails, halving finds the parts that are bad; they are dropped, and with them go votes that were only
//! claimed. Once verified, the parts are gone and their sum stays.

use crate::{
    MemberId, Scheme, Signature, Signers,
    sums::{Holds, Sum, Sums},
};

/// How many sums wait to be verified; of more, two are made one where their counts allow it.
const MAX_PARTS: usize = 16;

/// Where signatures came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The neighbour.
    pub member: MemberId,
    /// Whether it says that it verified them: then it answers for them.
    pub vouched: bool,
}

/// Signatures as a neighbour sent them, or as they came from several.
#[derive(Clone)]
struct Part<P> {
    from: Option<Source>,
    sum: Sum<P>,
}

/// Who voted so, with the signatures that show it.
pub(crate) struct Tally<S: Scheme> {
    /// Verified, or signed by this replica itself.
    verified: Sums<S::Point>,
    /// Each named somebody new when it came.
    parts: Vec<Part<S::Point>>,
    /// Everybody in any of these, once.
    claimed: Signers,
    /// What is verified and the first of the parts.
    total: Sums<S::Point>,
    /// How many parts are in it.
    added: usize,
    /// The same as bytes, until it changes.
    encoded: Option<Vec<Signature>>,
}

impl<S: Scheme> Clone for Tally<S> {
    fn clone(&self) -> Self {
        Self {
            verified: self.verified.clone(),
            parts: self.parts.clone(),
            claimed: self.claimed.clone(),
            total: self.total.clone(),
            added: self.added,
            encoded: self.encoded.clone(),
        }
    }
}

impl<S: Scheme> Tally<S> {
    /// No votes, in a network of `n` members.
    pub fn new(n: usize) -> Self {
        Self {
            verified: Sums::none(n),
            parts: Vec::new(),
            claimed: Signers::none(n),
            total: Sums::none(n),
            added: 0,
            encoded: None,
        }
    }

    /// Everybody who is said to have voted so.
    pub fn claimed(&self) -> &Signers {
        &self.claimed
    }

    /// Whether everything in it is known to hold.
    pub fn is_verified(&self) -> bool {
        self.parts.is_empty()
    }

    /// Everybody who is known to have voted so, if anybody is.
    pub fn verified(&self) -> Option<&Signers> {
        (!self.verified.as_slice().is_empty()).then(|| self.verified.signers())
    }

    /// One sum of n - f members who are known to have voted so, or of all where they are fewer.
    pub fn proof(&self, scheme: &S) -> Option<(Signers, Signature)> {
        let Sum { signers, point } = self.verified.joined(scheme)?;
        Some((signers, scheme.encode(&point)))
    }

    /// The sums that are known to hold, to go on from.
    pub fn kept(&self, scheme: &S) -> impl Iterator<Item = (Signers, Signature)> {
        encoded(scheme, &self.verified)
    }

    /// Whether a neighbour's votes name anybody new.
    pub fn wants(&self, signers: &Signers) -> bool {
        signers.exceeds(&self.claimed)
    }

    /// Takes what a neighbour sent, where it names anybody new.
    pub fn merge(&mut self, scheme: &S, from: Source, sum: Sum<S::Point>) {
        if !self.wants(&sum.signers) {
            return;
        }
        self.claimed.unite(&sum.signers);
        let from = Some(from);
        self.parts.push(Part { from, sum });
        if self.parts.len() > MAX_PARTS {
            self.fold(scheme);
        }
    }

    /// Makes one part of the one with the fewest signers and the next that it joins. Nobody is to blame for both.
    fn fold(&mut self, scheme: &S) {
        self.parts
            .sort_by_key(|part| std::cmp::Reverse(part.sum.signers.distinct()));
        let Some(mut fewest) = self.parts.pop() else {
            return;
        };
        let joins = |part: &Part<S::Point>| fewest.sum.join(scheme, &part.sum);
        if let Some(other) = self.parts.iter().rposition(joins) {
            self.parts.remove(other);
            fewest.from = None;
        }
        self.parts.push(fewest);
        self.start_over();
    }

    /// Adds what is known to hold: this replica's own vote, or a sum that was verified elsewhere.
    pub fn add(&mut self, scheme: &S, sum: &Sum<S::Point>) {
        self.claimed.unite(&sum.signers);
        self.verified.add(scheme, sum);
        if self.total.add(scheme, sum) {
            self.encoded = None;
        }
    }

    /// All of it, as it goes to neighbours: one sum, unless counts are too large for that.
    pub fn total(&mut self, scheme: &S) -> impl Iterator<Item = (&Signers, Signature)> {
        self.consolidate(scheme);
        let sums = self.total.as_slice();
        let encode = |sum: &Sum<S::Point>| scheme.encode(&sum.point);
        let encoded = self
            .encoded
            .get_or_insert_with(|| sums.iter().map(encode).collect());
        let signers = sums.iter().map(|sum| &sum.signers);
        signers.zip(encoded.iter().copied())
    }

    /// What is new to who knows of these votes, of as few of the sums that came as have it: they do not overlap then.
    pub fn news(&self, scheme: &S, known: &Signers) -> Vec<(Signers, Signature)> {
        let mut news = Sums::none(known.members());
        let mut told = known.clone();
        let parts = self.parts.iter().map(|part| &part.sum);
        for sum in self.verified.as_slice().iter().chain(parts) {
            if sum.signers.exceeds(&told) {
                told.unite(&sum.signers);
                news.add(scheme, sum);
            }
        }
        encoded(scheme, &news).collect()
    }

    /// Drops what came from a neighbour that does not answer for it, or that as well. Returns whether there was anything.
    pub fn disown(&mut self, member: MemberId, vouched: bool) -> bool {
        let before = self.parts.len();
        let is_kept = |from: Source| from.member != member || from.vouched && !vouched;
        self.parts.retain(|part| part.from.is_none_or(is_kept));
        let is_less = self.parts.len() < before;
        if is_less {
            self.start_over();
        }
        is_less
    }

    /// What is to be verified before everything in it is known to hold.
    pub fn claims(&mut self, scheme: &S) -> &[Sum<S::Point>] {
        self.consolidate(scheme);
        self.total.as_slice()
    }

    /// The claims that were verified hold.
    pub fn confirm(&mut self, scheme: &S) {
        self.consolidate(scheme);
        self.verified = self.total.clone();
        self.parts.clear();
        self.added = 0;
        self.reclaim();
    }

    /// The claims do not hold: drops a part that `holds` says does not, and tells from whom it came, unless that is not
    /// known. Each part is a claim of its own here, for a sum leaves out who names nobody new.
    pub fn drop_false(&mut self, holds: &mut Holds<'_, S::Point>) -> Option<Source> {
        let sums: Vec<_> = self.parts.iter().map(|part| part.sum.clone()).collect();
        let (mut from, mut to) = (0, sums.len());
        while to > from + 1 {
            let middle = from + (to - from) / 2;
            match holds(&sums[from..middle]) {
                true => from = middle,
                false => to = middle,
            }
        }
        if from < self.parts.len() {
            let part = self.parts.remove(from);
            self.start_over();
            return part.from;
        }
        None
    }

    /// Drops what is not verified. Returns whether anything is left.
    pub fn forget_unverified(&mut self) -> bool {
        if !self.parts.is_empty() {
            self.parts.clear();
            self.start_over();
        }
        self.verified().is_some()
    }

    /// Adds the parts that came since the last time, the largest first. One that names nobody new by then is kept all
    /// the same: if the sum turns out bad, it may be the one that holds.
    fn consolidate(&mut self, scheme: &S) {
        let new = &mut self.parts[self.added..];
        new.sort_by_key(|part| std::cmp::Reverse(part.sum.signers.distinct()));
        for Part { sum, .. } in new {
            if self.total.add(scheme, sum) {
                self.encoded = None;
            }
        }
        self.added = self.parts.len();
    }

    /// Makes the sums anew from what there is.
    fn start_over(&mut self) {
        (self.total, self.added, self.encoded) = (self.verified.clone(), 0, None);
        self.reclaim();
    }

    fn reclaim(&mut self) {
        self.claimed = self.verified.signers().clone();
        for part in &self.parts {
            self.claimed.unite(&part.sum.signers);
        }
    }
}

fn encoded<S: Scheme>(
    scheme: &S,
    sums: &Sums<S::Point>,
) -> impl Iterator<Item = (Signers, Signature)> {
    let encode = |sum: &Sum<S::Point>| (sum.signers.clone(), scheme.encode(&sum.point));
    sums.as_slice().iter().map(encode)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Digest, Members,
        bls::{Bls, Point, SecretKey},
        members,
        sums::claims,
    };

    const MESSAGE: Digest = [7; 32];
    const MEMBERS: u16 = 8;

    struct World {
        members: Members<Bls>,
        secrets: Vec<SecretKey>,
    }

    impl World {
        fn new() -> Self {
            let (members, secrets) = members::network(MEMBERS as u8);
            Self { members, secrets }
        }

        /// The sum of some members' signatures, on this message or on another.
        fn sum(&self, message: &Digest, who: &[u16]) -> Sum<Point> {
            let mut signers = Signers::none(MEMBERS.into());
            let mut sum: Option<Point> = None;
            for &member in who {
                signers = signers
                    .plus(&Signers::one(MEMBERS.into(), MemberId(member)))
                    .unwrap();
                let point = Bls.sign(&self.secrets[usize::from(member)], message);
                match &mut sum {
                    Some(sum) => Bls.add(sum, &point),
                    None => sum = Some(point),
                }
            }
            Sum {
                signers,
                point: sum.unwrap(),
            }
        }

        fn holds(&self, sums: &[Sum<Point>]) -> bool {
            let claims: Vec<_> = claims(&MESSAGE, sums).collect();
            Bls.verify(self.members.verifier(&Bls), &claims, &[0; 32])
        }
    }

    fn from(member: u16) -> Source {
        Source {
            member: MemberId(member),
            vouched: false,
        }
    }

    #[test]
    fn votes_that_come_in_overlapping_sums_make_one_sum_that_holds() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        for who in [&[0, 1][..], &[1, 2, 3], &[3], &[4, 0], &[5, 6, 4]] {
            tally.merge(&Bls, from(who[0]), world.sum(&MESSAGE, who));
        }
        assert_eq!(tally.claimed().distinct(), 7);
        let claims = tally.claims(&Bls);
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].signers.distinct(), 7);
        assert!(world.holds(claims));
        tally.confirm(&Bls);
        assert!(tally.is_verified());
        assert_eq!(tally.verified().unwrap().distinct(), 7);
    }

    #[test]
    fn who_brings_nobody_new_changes_nothing() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        tally.merge(&Bls, from(0), world.sum(&MESSAGE, &[0, 1, 2]));
        assert!(!tally.wants(&world.sum(&MESSAGE, &[1, 2]).signers));
        assert!(tally.wants(&world.sum(&MESSAGE, &[2, 3]).signers));
    }

    #[test]
    fn false_parts_are_found_and_dropped_and_the_others_kept() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        for (member, message) in [
            (0, MESSAGE),
            (1, [8; 32]),
            (2, MESSAGE),
            (3, MESSAGE),
            (4, [9; 32]),
            (5, MESSAGE),
        ] {
            tally.merge(&Bls, from(member), world.sum(&message, &[member]));
        }
        let mut culprits = Vec::new();
        while !world.holds(tally.claims(&Bls)) {
            culprits.extend(tally.drop_false(&mut |sums| world.holds(sums)));
        }
        culprits.sort();
        assert_eq!(culprits, [from(1), from(4)]);
        let kept: Vec<_> = tally.claimed().iter().map(|(member, _)| member.0).collect();
        assert_eq!(kept, [0, 2, 3, 5]);
    }

    #[test]
    fn a_false_sum_of_many_does_not_hide_a_true_one_of_few() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        tally.merge(&Bls, from(0), world.sum(&MESSAGE, &[0, 1]));
        tally.merge(&Bls, from(7), world.sum(&[8; 32], &[0, 1, 2, 3, 4]));
        assert_eq!(tally.total(&Bls).count(), 1);
        let culprit = tally.drop_false(&mut |sums| world.holds(sums));
        assert_eq!(culprit, Some(from(7)));
        assert!(world.holds(tally.claims(&Bls)));
        assert_eq!(tally.claimed().distinct(), 2);
    }

    /// Of many parts two were made one, and an honest neighbour was blamed for what another had put into it.
    #[test]
    fn nobody_is_blamed_for_what_came_from_several() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        let true_part = Part {
            from: Some(from(1)),
            sum: world.sum(&MESSAGE, &[1]),
        };
        let false_part = Part {
            from: Some(from(2)),
            sum: world.sum(&[8; 32], &[2]),
        };
        tally.parts = vec![true_part, false_part];
        tally.fold(&Bls);
        assert_eq!(tally.parts.len(), 1);
        assert!(!world.holds(tally.claims(&Bls)));
        assert_eq!(tally.drop_false(&mut |sums| world.holds(sums)), None);
        assert!(tally.is_verified());
    }
}
