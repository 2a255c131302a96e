//! Votes as few sums of signatures as their counts allow.
//!
//! Sums that overlap are joined all the same, and who is in both is counted twice. In honest hands counts stay small. But
//! anyone can add a sum to itself, and two in which somebody is counted to the limit do not join. These are kept and
//! passed on side by side, so that no vote is ever left out of what a replica tells or verifies.

use crate::{Claim, Digest, Scheme, Signers};

/// A sum that is ready to be added to.
#[derive(Clone)]
pub(crate) struct Sum<P> {
    pub signers: Signers,
    pub point: P,
}

/// Says whether sums are what they claim to be.
pub(crate) type Holds<'a, P> = dyn FnMut(&[Sum<P>]) -> bool + 'a;

impl<P: Clone> Sum<P> {
    /// Adds another one, or takes its place where nobody is missing there. Returns whether the counts allow it.
    pub fn join<S: Scheme<Point = P>>(&mut self, scheme: &S, other: &Self) -> bool {
        if !self.signers.exceeds(&other.signers) {
            *self = other.clone();
            return true;
        }
        let joined = self.signers.plus(&other.signers);
        let Some(signers) = joined.filter(Signers::is_joinable) else {
            return false;
        };
        self.signers = signers;
        scheme.add(&mut self.point, &other.point);
        true
    }
}

/// Sums of signatures on one message, each with somebody who is in none before it: no more than there are members.
#[derive(Clone)]
pub(crate) struct Sums<P> {
    sums: Vec<Sum<P>>,
    /// Everybody in any of them, once.
    signers: Signers,
}

impl<P: Clone> Sums<P> {
    /// Nobody's, in a network of `n` members.
    pub fn none(n: usize) -> Self {
        Self {
            sums: Vec::new(),
            signers: Signers::none(n),
        }
    }

    /// Everybody in any of them, once.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The sums.
    pub fn as_slice(&self) -> &[Sum<P>] {
        &self.sums
    }

    /// Adds a sum, unless nobody in it is new. Returns whether it did.
    pub fn add<S: Scheme<Point = P>>(&mut self, scheme: &S, more: &Sum<P>) -> bool {
        if !more.signers.exceeds(&self.signers) {
            return false;
        }
        self.signers.unite(&more.signers);
        if !self.sums.iter_mut().any(|sum| sum.join(scheme, more)) {
            self.sums.push(more.clone());
        }
        if self.sums.len() > 1 {
            self.prune();
        }
        true
    }

    /// Leaves out sums in which everybody is in others, too.
    fn prune(&mut self) {
        self.sums
            .sort_by_key(|sum| std::cmp::Reverse(sum.signers.distinct()));
        let mut seen = Signers::none(self.signers.members());
        self.sums.retain(|sum| {
            let is_needed = sum.signers.exceeds(&seen);
            seen.unite(&sum.signers);
            is_needed
        });
    }

    /// One sum of n - f members, or of all that are here: each of these alone leaves room for the others.
    pub fn joined<S: Scheme<Point = P>>(&self, scheme: &S) -> Option<Sum<P>> {
        if let Some(quorum) = self.sums.iter().find(|sum| sum.signers.is_quorum()) {
            return Some(quorum.clone());
        }
        let (first, others) = self.sums.split_first()?;
        let mut all = first.clone();
        for sum in others {
            all.signers = all.signers.plus(&sum.signers)?;
            scheme.add(&mut all.point, &sum.point);
        }
        Some(all)
    }
}

/// What these sums of signatures on a message say.
pub(crate) fn claims<'a, S: Scheme>(
    message: &'a Digest,
    sums: &'a [Sum<S::Point>],
) -> impl Iterator<Item = Claim<'a, S>> {
    sums.iter().map(move |Sum { signers, point }| Claim {
        message,
        signers,
        signature: point,
    })
}
