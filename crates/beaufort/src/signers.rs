//! Who is in a sum of signatures, and how often.
//!
//! Gossip brings sums that overlap. A signature cannot be taken out of a sum again, so that a member may be in one
//! several times, and verification raises its key to that number (key aggregation with multiplicities, figure 4 of
//! the paper).
//!
//! On the wire a count takes as many bits as the largest of them needs: a sum in which nobody is twice costs a bit a
//! member. Where few are in it, each once, they are listed instead.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::MemberId;

/// The most members a network may have.
pub const MAX_MEMBERS: usize = 512;

/// How many of `n` members decide: n - f, where f is the largest number with n >= 3f + 1.
pub(crate) fn quorum(n: usize) -> usize {
    n - n.saturating_sub(1) / 3
}

/// A count for each member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signers(Box<[u16]>);

impl Signers {
    /// Nobody, of `n` members.
    pub fn none(n: usize) -> Self {
        Self(vec![0; n].into())
    }

    /// One member once, of `n`.
    ///
    /// # Panics
    ///
    /// Where there is no such member.
    pub fn one(n: usize, member: MemberId) -> Self {
        let mut counts = vec![0; n];
        counts[usize::from(member.0)] = 1;
        Self(counts.into())
    }

    /// How many members the network has.
    pub fn members(&self) -> usize {
        self.0.len()
    }

    /// Who is in it, each with how often.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, u16)> {
        (0..)
            .zip(&self.0)
            .filter(|&(_, &count)| count > 0)
            .map(|(member, &count)| (MemberId(member), count))
    }

    /// How many different members are in it.
    pub fn distinct(&self) -> usize {
        self.0.iter().filter(|&&count| count > 0).count()
    }

    /// Whether a member is in it.
    pub fn contains(&self, member: MemberId) -> bool {
        self.0
            .get(usize::from(member.0))
            .is_some_and(|&count| count > 0)
    }

    /// Whether somebody is in it who is not in `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .any(|(&mine, &theirs)| mine > 0 && theirs == 0)
    }

    /// Whether nobody is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(&mine, &theirs)| mine == 0 || theirs == 0)
    }

    /// The counts of both added, or nothing where one gets too large.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let sums = self
            .0
            .iter()
            .zip(&other.0)
            .map(|(&mine, &theirs)| mine.checked_add(theirs));
        sums.collect::<Option<_>>().map(Self)
    }

    /// Whether all counts leave room for a sum of each other member to be added, or nothing need be added any more, for n - f
    /// have signed. Of what honest replicas pass on one is true: they join sums only as far as it stays so.
    pub(crate) fn is_joinable(&self) -> bool {
        let most = u16::MAX / self.members().max(1) as u16;
        self.0.iter().all(|&count| count <= most) || self.is_quorum()
    }

    /// Whether n - f members are in it.
    pub(crate) fn is_quorum(&self) -> bool {
        self.distinct() >= quorum(self.members())
    }

    /// Adds everybody of `other` to a set in which counts mean nothing.
    pub fn unite(&mut self, other: &Self) {
        for (mine, &theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= u16::from(theirs > 0);
        }
    }

    /// Whether a list of who is in it says all, and is shorter than a bit a member.
    fn is_listed(&self) -> bool {
        self.width() <= 1 && 2 * self.distinct() < self.0.len().div_ceil(8).max(1)
    }

    /// Of `n` members, those in a list: in order, each once, and no longer than it may be.
    fn listed(n: usize, list: &[u8]) -> Option<Self> {
        let mut signers = Self::none(n);
        let mut last = None;
        for pair in list.chunks_exact(2) {
            let member = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
            if last.is_some_and(|last| last >= member) {
                return None;
            }
            *signers.0.get_mut(member)? = 1;
            last = Some(member);
        }
        signers.is_listed().then_some(signers)
    }

    /// Bits that the largest count needs.
    fn width(&self) -> u32 {
        u16::BITS - self.0.iter().max().copied().unwrap_or(0).leading_zeros()
    }
}

/// `(members, bits a count, packed counts)`; the bits after the last count are zero. A list has 0 bits a count, and two
/// bytes for each who is in it.
impl Serialize for Signers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (members, width) = (self.0.len() as u16, self.width() as usize);
        if self.is_listed() {
            let list: Vec<u8> = self
                .iter()
                .flat_map(|(member, _)| member.0.to_le_bytes())
                .collect();
            return (members, 0u8, list).serialize(serializer);
        }
        let mut packed = vec![0u8; (self.0.len() * width).div_ceil(8)];
        for (index, count) in self.0.iter().enumerate() {
            for bit in (0..width).filter(|bit| count >> bit & 1 == 1) {
                let at = index * width + bit;
                packed[at / 8] |= 1 << (at % 8);
            }
        }
        (members, width as u8, packed).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (members, width, packed) = <(u16, u8, Vec<u8>)>::deserialize(deserializer)?;
        let (members, width) = (usize::from(members), usize::from(width));
        let length = match width {
            0 => 2 * (packed.len() / 2),
            _ => (members * width).div_ceil(8),
        };
        if members > MAX_MEMBERS || width > u16::BITS as usize || packed.len() != length {
            return Err(D::Error::custom(
                "counts of signers that do not fit together",
            ));
        }
        if width == 0 {
            return Self::listed(members, &packed)
                .ok_or_else(|| D::Error::custom("a list of signers that is none"));
        }
        let bit = |at: usize| u16::from(packed[at / 8] >> (at % 8) & 1);
        let count = |index| (0..width).fold(0, |count, at| count | bit(index * width + at) << at);
        let signers = Self((0..members).map(count).collect());
        let spare = (members * width..packed.len() * 8).any(|at| bit(at) == 1);
        if spare || signers.width() as usize != width || signers.is_listed() {
            return Err(D::Error::custom("counts of signers in a wasteful encoding"));
        }
        Ok(signers)
    }
}
