//! The votes for one value in one round: a set that only grows, kept as few sums of signatures.
//!
//! Votes come from neighbours as sums that nobody has verified yet. They are kept as they came until a decision needs
//! them: then they are added to what is known to hold, and the whole is verified at once (section 3.2.6 of the paper).
//! If that fails, halving finds the parts that are bad; they are dropped, and with them go votes that were only
//! claimed. Once verified, the parts are gone and one sum stays.

use crate::{Claim, Digest, MemberId, Scheme, Signature, Signers};

/// The most sums that wait to be verified; of more, two are made one.
const MAX_PARTS: usize = 16;

/// Where signatures came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The neighbour.
    pub member: MemberId,
    /// Whether it says that it verified them: then it answers for them.
    pub vouched: bool,
}

/// Signatures as a neighbour sent them.
#[derive(Clone)]
struct Part<P> {
    from: Source,
    sum: Sum<P>,
}

/// A sum that is ready to be added to.
#[derive(Clone)]
pub(crate) struct Sum<P> {
    pub signers: Signers,
    pub point: P,
}

/// Who voted so, with the signatures that show it.
pub(crate) struct Tally<S: Scheme> {
    /// Verified, or signed by this replica itself.
    verified: Option<Sum<S::Point>>,
    parts: Vec<Part<S::Point>>,
    /// Everybody in any of these, once.
    claimed: Signers,
    /// What is verified and the first of the parts, as one sum.
    total: Option<Sum<S::Point>>,
    /// How many parts are in that sum.
    added: usize,
    /// The same as bytes, until it changes.
    encoded: Option<Signature>,
}

impl<S: Scheme> Clone for Tally<S> {
    fn clone(&self) -> Self {
        Self {
            verified: self.verified.clone(),
            parts: self.parts.clone(),
            claimed: self.claimed.clone(),
            total: self.total.clone(),
            added: self.added,
            encoded: self.encoded,
        }
    }
}

impl<S: Scheme> Tally<S> {
    /// No votes, in a network of `n` members.
    pub fn new(n: usize) -> Self {
        let claimed = Signers::none(n);
        Self {
            verified: None,
            parts: Vec::new(),
            claimed,
            total: None,
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

    /// Everybody who is known to have voted so.
    pub fn verified(&self) -> Option<&Signers> {
        self.verified.as_ref().map(|sum| &sum.signers)
    }

    /// The sum that is known to hold.
    pub fn proof(&self, scheme: &S) -> Option<(Signers, Signature)> {
        self.verified
            .as_ref()
            .map(|sum| (sum.signers.clone(), scheme.encode(&sum.point)))
    }

    /// Whether a neighbour's votes name anybody new.
    pub fn wants(&self, signers: &Signers) -> bool {
        signers.exceeds(&self.claimed)
    }

    /// Takes what a neighbour sent.
    pub fn merge(&mut self, scheme: &S, from: Source, sum: Sum<S::Point>) {
        self.claimed.unite(&sum.signers);
        self.parts.push(Part { from, sum });
        if self.parts.len() > MAX_PARTS {
            self.fold(scheme);
        }
    }

    /// Makes one part of the two with the fewest signers. Where they came from matters no more: nobody answers for both.
    fn fold(&mut self, scheme: &S) {
        self.parts
            .sort_by_key(|part| std::cmp::Reverse(part.sum.signers.distinct()));
        if let (Some(one), Some(other)) = (self.parts.pop(), self.parts.pop()) {
            let mut sum = one.sum;
            extend(scheme, &mut sum, other.sum);
            let from = Source {
                vouched: false,
                ..one.from
            };
            self.parts.push(Part { from, sum });
        }
        self.start_over();
    }

    /// Adds what is known to hold: this replica's own vote, or a sum that was verified elsewhere.
    pub fn add(&mut self, scheme: &S, sum: Sum<S::Point>) {
        self.claimed.unite(&sum.signers);
        if let Some(total) = &mut self.total {
            extend(scheme, total, sum.clone());
            self.encoded = None;
        }
        match &mut self.verified {
            Some(verified) => extend(scheme, verified, sum),
            None => self.verified = Some(sum),
        }
    }

    /// All of it as one sum, as it goes to neighbours; nothing where there is nothing.
    pub fn total(&mut self, scheme: &S) -> Option<(&Signers, Signature)> {
        self.consolidate(scheme);
        let total = self.total.as_ref()?;
        let signature = *self
            .encoded
            .get_or_insert_with(|| scheme.encode(&total.point));
        Some((&total.signers, signature))
    }

    /// What is to be verified before everything in it is known to hold.
    pub fn claim<'a>(&'a mut self, scheme: &S, message: &'a Digest) -> Option<Claim<'a, S>> {
        self.consolidate(scheme);
        self.total.as_ref().map(|sum| Claim {
            message,
            signers: &sum.signers,
            signature: &sum.point,
        })
    }

    /// The claim that was verified holds.
    pub fn confirm(&mut self, scheme: &S) {
        self.consolidate(scheme);
        self.verified = self.total.clone();
        self.parts.clear();
        self.added = 0;
        self.reclaim();
    }

    /// The claim does not hold: keeps what `holds` says does, drops the rest, and tells from whom that came.
    pub fn sift(
        &mut self,
        scheme: &S,
        holds: &mut dyn FnMut(&Signers, &S::Point) -> bool,
    ) -> Vec<Source> {
        let parts = std::mem::take(&mut self.parts);
        let mut culprits = Vec::new();
        halve(scheme, &parts, holds, &mut self.verified, &mut culprits);
        self.start_over();
        culprits.sort();
        culprits.dedup();
        culprits
    }

    /// Drops what is not verified. Returns whether anything is left.
    pub fn forget_unverified(&mut self) -> bool {
        if !self.parts.is_empty() {
            self.parts.clear();
            self.start_over();
        }
        self.verified.is_some()
    }

    /// Adds the parts that came since the last time, the largest first. One that names nobody new by then is kept all
    /// the same: if the sum turns out bad, it may be the one that holds.
    fn consolidate(&mut self, scheme: &S) {
        if self.total.is_none() {
            self.total = self.verified.clone();
        }
        self.parts[self.added..].sort_by_key(|part| std::cmp::Reverse(part.sum.signers.distinct()));
        for Part { sum, .. } in &self.parts[self.added..] {
            match &mut self.total {
                Some(total) if !sum.signers.exceeds(&total.signers) => continue,
                Some(total) => extend(scheme, total, sum.clone()),
                None => self.total = Some(sum.clone()),
            }
            self.encoded = None;
        }
        self.added = self.parts.len();
    }

    /// Makes the sum anew from what there is.
    fn start_over(&mut self) {
        (self.total, self.added, self.encoded) = (None, 0, None);
        self.reclaim();
    }

    fn reclaim(&mut self) {
        self.claimed = Signers::none(self.claimed.members());
        if let Some(sum) = &self.verified {
            self.claimed.unite(&sum.signers);
        }
        for part in &self.parts {
            self.claimed.unite(&part.sum.signers);
        }
    }
}

/// Adds one sum to another, unless a count would get too large.
fn extend<S: Scheme>(scheme: &S, sum: &mut Sum<S::Point>, more: Sum<S::Point>) {
    if !sum.signers.exceeds(&more.signers) {
        *sum = more;
    } else if let Some(signers) = sum.signers.plus(&more.signers) {
        sum.signers = signers;
        scheme.add(&mut sum.point, &more.point);
    }
}

/// Finds the parts that hold by halving, and adds them to `good`.
fn halve<S: Scheme>(
    scheme: &S,
    parts: &[Part<S::Point>],
    holds: &mut dyn FnMut(&Signers, &S::Point) -> bool,
    good: &mut Option<Sum<S::Point>>,
    culprits: &mut Vec<Source>,
) {
    let Some((first, others)) = parts.split_first() else {
        return;
    };
    let mut whole = first.sum.clone();
    for part in others {
        extend(scheme, &mut whole, part.sum.clone());
    }
    if holds(&whole.signers, &whole.point) {
        match good {
            Some(good) => extend(scheme, good, whole),
            None => *good = Some(whole),
        }
    } else if others.is_empty() {
        culprits.push(first.from);
    } else {
        let (one, other) = parts.split_at(parts.len() / 2);
        halve(scheme, one, holds, good, culprits);
        halve(scheme, other, holds, good, culprits);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Members,
        bls::{Bls, Point, SecretKey},
    };

    const MESSAGE: Digest = [7; 32];
    const MEMBERS: u16 = 8;

    struct World {
        members: Members<Bls>,
        secrets: Vec<SecretKey>,
    }

    impl World {
        fn new() -> Self {
            let mut secrets: Vec<_> = (0..MEMBERS)
                .map(|seed| SecretKey::from_seed(&[seed as u8; 32]))
                .collect();
            secrets.sort_by(|one, other| one.public().cmp(other.public()));
            let members = Members::new(
                secrets
                    .iter()
                    .map(|secret| secret.public().clone())
                    .collect(),
            )
            .unwrap();
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

        fn holds(&self, signers: &Signers, signature: &Point) -> bool {
            let verifier = Bls.verifier(self.members.keys());
            Bls.verify(
                &verifier,
                &[Claim {
                    message: &MESSAGE,
                    signers,
                    signature,
                }],
                &[0; 32],
            )
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
        let claim = tally.claim(&Bls, &MESSAGE).unwrap();
        assert_eq!(claim.signers.distinct(), 7);
        assert!(world.holds(claim.signers, claim.signature));
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
        let claim = tally.claim(&Bls, &MESSAGE).unwrap();
        assert!(!world.holds(claim.signers, claim.signature));
        let culprits = tally.sift(&Bls, &mut |signers, point| world.holds(signers, point));
        assert_eq!(culprits, [from(1), from(4)]);
        let kept: Vec<_> = tally.claimed().iter().map(|(member, _)| member.0).collect();
        assert_eq!(kept, [0, 2, 3, 5]);
        assert!(tally.is_verified());
    }

    #[test]
    fn a_false_sum_of_many_does_not_hide_a_true_one_of_few() {
        let world = World::new();
        let mut tally = Tally::<Bls>::new(MEMBERS.into());
        tally.merge(&Bls, from(0), world.sum(&MESSAGE, &[0, 1]));
        tally.merge(&Bls, from(7), world.sum(&[8; 32], &[0, 1, 2, 3, 4]));
        tally.total(&Bls).unwrap();
        let culprits = tally.sift(&Bls, &mut |signers, point| world.holds(signers, point));
        assert_eq!(culprits, [from(7)]);
        assert_eq!(tally.claimed().distinct(), 2);
    }
}
