//! A lot: points that a shop awarded at once, and who holds how many of them now.
//!
//! Each lot is one key of the replicated store, so that the network agrees on one change of it at a time: that is what
//! keeps the same points from being spent twice. A value carries the change that made it of the value before, signed by
//! who gave points away. It is thus no matter of trust who sets it: everybody can compute the one value that a signed
//! change makes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::holder::{Holder, HolderKey, Signature};

/// The most points in a lot.
pub const MAX_POINTS: u32 = 10_000;
/// The most holders among whom a lot is shared.
pub const MAX_HOLDERS: usize = 32;

/// The key of a lot: `lot/<code of the issuing shop's till>/<32 hexadecimal digits drawn at random>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LotKey {
    /// The till of the shop that awards it.
    pub issuer: Holder,
    /// Tells a shop's lots apart.
    pub random: [u8; 16],
}

impl fmt::Display for LotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lot/{}/{}", self.issuer, hex::encode(self.random))
    }
}

impl FromStr for LotKey {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parse = || {
            let (issuer, random) = text.strip_prefix("lot/")?.split_once('/')?;
            let mut key = Self {
                issuer: issuer.parse().ok()?,
                random: [0; 16],
            };
            hex::decode_to_slice(random, &mut key.random).ok()?;
            // A lot has one key, not one for each way to write the digits.
            (key.to_string() == text).then_some(key)
        };
        parse().ok_or(Refusal::Key)
    }
}

/// Points pass from one holder to another; from its issuer, when the lot is awarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who gives them.
    pub from: Holder,
    /// Who gets them.
    pub to: Holder,
    /// How many.
    pub points: u32,
}

/// What a holder has of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub holder: Holder,
    /// How many points, at least one.
    pub points: u32,
}

/// The value of a lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// How many changes the lot has seen, the award included. No two values of a lot are the same, therefore, and a
    /// signature for one cannot be used for another.
    pub step: u32,
    /// Who holds its points, in the order of their keys.
    pub shares: Vec<Share>,
    /// The last change.
    pub change: Change,
    /// By whom the last change was made.
    pub signature: Signature,
}

/// Why a value may not take another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not the key of a lot.
    #[error("only lots of points are kept here, and this is not the key of one")]
    Key,
    /// Nobody can take points out of the world.
    #[error("a lot cannot be deleted")]
    Deletion,
    /// Bytes that are no lot.
    #[error("these bytes are not a lot")]
    Encoding,
    /// Who awards must be a shop, and this one.
    #[error("only a shop of this street awards points, in its own name")]
    Issuer,
    /// Too few or too many at once.
    #[error("1 to {MAX_POINTS} points can change hands at once, not {0}")]
    Points(u32),
    /// More than the giver has.
    #[error("{wanted} points were to be given, and only {held} of this lot are there to give")]
    Short {
        /// How many the giver has.
        held: u32,
        /// How many it was to give.
        wanted: u32,
    },
    /// From a holder to itself.
    #[error("points cannot pass from somebody to themselves")]
    ToSelf,
    /// To a key that nobody has.
    #[error("points cannot go to a code that nobody has the key to")]
    Nobody,
    /// Too many hold a part.
    #[error("a lot can be shared among {MAX_HOLDERS} holders at most")]
    Holders,
    /// It has changed as often as it can.
    #[error("this lot has changed hands too often")]
    Worn,
    /// Not signed by who gives, or signed for another state of the lot.
    #[error("the giver has not signed this change of what the lot is now")]
    Signature,
    /// Not what the change makes of the value before.
    #[error("the shares are not what the signed change makes of those before")]
    Shares,
}

impl Lot {
    /// The lot from its bytes, whatever they say: whether it may stand where it does is for [`crate::rules`].
    ///
    /// # Errors
    ///
    /// When the bytes are no lot.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        match postcard::take_from_bytes::<Self>(bytes) {
            Ok((lot, [])) if lot.shares.len() <= MAX_HOLDERS => Ok(lot),
            _ => Err(Refusal::Encoding),
        }
    }

    /// The one encoding of the lot.
    ///
    /// # Panics
    ///
    /// Never: numbers and bytes can be written to memory.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("numbers and bytes can be written to memory")
    }

    /// How many points somebody holds.
    pub fn held_by(&self, holder: &Holder) -> u32 {
        self.place(holder)
            .map_or(0, |index| self.shares[index].points)
    }

    /// All points of the lot.
    pub fn total(&self) -> u64 {
        self.shares
            .iter()
            .map(|share| u64::from(share.points))
            .sum()
    }

    fn place(&self, holder: &Holder) -> Result<usize, usize> {
        self.shares
            .binary_search_by_key(holder, |share| share.holder)
    }

    /// What a change makes of a lot, or of nothing: the only value that may follow, if the giver signed it.
    ///
    /// # Errors
    ///
    /// When the change cannot be made.
    pub fn after(
        key: &LotKey,
        old: Option<&Self>,
        change: Change,
        signature: Signature,
    ) -> Result<Self, Refusal> {
        if !(1..=MAX_POINTS).contains(&change.points) {
            return Err(Refusal::Points(change.points));
        }
        if change.from == change.to {
            return Err(Refusal::ToSelf);
        }
        if !change.to.is_key() {
            return Err(Refusal::Nobody);
        }
        let Some(old) = old else {
            if change.from != key.issuer {
                return Err(Refusal::Issuer);
            }
            let shares = vec![Share {
                holder: change.to,
                points: change.points,
            }];
            return Ok(Self {
                step: 1,
                shares,
                change,
                signature,
            });
        };
        let mut lot = Self {
            change,
            signature,
            ..old.clone()
        };
        lot.step = old.step.checked_add(1).ok_or(Refusal::Worn)?;
        lot.take(change.from, change.points)?;
        lot.give(change.to, change.points)?;
        Ok(lot)
    }

    fn take(&mut self, from: Holder, wanted: u32) -> Result<(), Refusal> {
        let held = self.held_by(&from);
        let left = held
            .checked_sub(wanted)
            .ok_or(Refusal::Short { held, wanted })?;
        if let Ok(place) = self.place(&from) {
            self.shares[place].points = left;
        }
        self.shares.retain(|share| share.points > 0);
        Ok(())
    }

    fn give(&mut self, to: Holder, points: u32) -> Result<(), Refusal> {
        match self.place(&to) {
            Ok(place) => {
                let share = &mut self.shares[place];
                share.points = share.points.checked_add(points).ok_or(Refusal::Shares)?;
            }
            Err(_) if self.shares.len() >= MAX_HOLDERS => return Err(Refusal::Holders),
            Err(place) => self.shares.insert(place, Share { holder: to, points }),
        }
        Ok(())
    }
}

/// What a giver signs: this change, of this value, of this lot, in this street.
pub fn message(street: &[u8; 32], key: &LotKey, old: Option<&Lot>, change: &Change) -> [u8; 32] {
    let old = old.map_or([0; 32], |lot| {
        blake3::derive_key("loyalty 2026 lot", &lot.encode())
    });
    let mut hasher = blake3::Hasher::new_derive_key("loyalty 2026 change");
    // Each part has a fixed length.
    hasher
        .update(street)
        .update(&key.issuer.0)
        .update(&key.random)
        .update(&old);
    hasher
        .update(&change.from.0)
        .update(&change.to.0)
        .update(&change.points.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Makes and signs a change; without an old value, an award.
///
/// # Errors
///
/// When the change cannot be made.
pub fn sign(
    street: &[u8; 32],
    key: &LotKey,
    old: Option<&Lot>,
    giver: &HolderKey,
    to: Holder,
    points: u32,
) -> Result<Lot, Refusal> {
    let change = Change {
        from: giver.holder(),
        to,
        points,
    };
    let signature = giver.sign(&message(street, key, old, &change));
    Lot::after(key, old, change, signature)
}
