//! Slips: what a shop's tablet and a wallet hand each other, as a text, a link, or the QR code of one.
//!
//! A wallet is no replica. It learns of its points from *receipts*, which carry the network's certificates with them;
//! it is asked for points by a *request*, made by a shop's tablet, and answers it with the *signed* values. Whoever
//! has those can set them; nobody can change them.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    holder::{Holder, HolderKey},
    lot::{self, Lot, LotKey, Refusal},
};

/// The most lots on a slip: more do not fit into a QR code.
pub const MAX_LOTS: usize = 6;
/// The longest text that is read as a slip.
const MAX_TEXT: usize = 64 << 10;

/// A lot as the network decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The key of the lot.
    pub key: String,
    /// The encoded lot.
    pub value: Vec<u8>,
    /// The network's certificate, which `verifyCertificate` of the browser package checks.
    pub certificate: Vec<u8>,
}

/// A slip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slip {
    /// What somebody holds, or held: for a wallet to keep.
    Receipt(Vec<Proof>),
    /// Asks a holder to give points.
    Request {
        /// Who gives.
        from: Holder,
        /// Who gets.
        to: Holder,
        /// How many points of which lots.
        parts: Vec<(Proof, u32)>,
    },
    /// The answer: keys, and the values to set there.
    Signed(Vec<(String, Vec<u8>)>),
}

/// Why there is no such slip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlipError {
    /// Bytes that are no slip.
    #[error("this is not a slip of a shop or wallet; it was perhaps not copied whole")]
    Encoding,
    /// None or too many.
    #[error("a slip is about 1 to {MAX_LOTS} lots of points, this one is about {0}")]
    Lots(usize),
    /// Not enough points.
    #[error("{wanted} points are wanted, and {held} are there")]
    Short {
        /// How many the giver has.
        held: u64,
        /// How many are wanted.
        wanted: u32,
    },
    /// In too many lots.
    #[error("these points are in many small lots: at most {0} fit on one slip; do it in several")]
    Scattered(u64),
    /// It is for somebody else.
    #[error("this request is for another wallet")]
    Other,
    /// Against the rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Slip {
    /// The slip as text: letters, digits, `-` and `_`.
    ///
    /// # Panics
    ///
    /// Never: numbers and bytes can be written to memory.
    pub fn text(&self) -> String {
        let bytes = postcard::to_stdvec(self).expect("numbers and bytes can be written to memory");
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The slip from its text, with blanks and line breaks wherever they got into it.
    ///
    /// # Errors
    ///
    /// When the text is no slip.
    pub fn parse(text: &str) -> Result<Self, SlipError> {
        if text.len() > MAX_TEXT {
            return Err(SlipError::Encoding);
        }
        let text: String = text.split_whitespace().collect();
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| SlipError::Encoding)?;
        let slip = match postcard::take_from_bytes::<Self>(&bytes) {
            Ok((slip, [])) => slip,
            _ => return Err(SlipError::Encoding),
        };
        match slip.lots() {
            1..=MAX_LOTS => Ok(slip),
            lots => Err(SlipError::Lots(lots)),
        }
    }

    /// How many lots it is about.
    pub fn lots(&self) -> usize {
        match self {
            Self::Receipt(proofs) => proofs.len(),
            Self::Request { parts, .. } => parts.len(),
            Self::Signed(values) => values.len(),
        }
    }

    /// Asks for points from somebody's lots: as few lots as possible, the largest shares first.
    ///
    /// # Errors
    ///
    /// When the holder has not got that many, or in too many lots.
    pub fn request(
        from: Holder,
        to: Holder,
        points: u32,
        lots: Vec<Proof>,
    ) -> Result<Self, SlipError> {
        let mut shares = Vec::with_capacity(lots.len());
        for proof in lots {
            let held = Lot::decode(&proof.value)?.held_by(&from);
            shares.push((held, proof));
        }
        let held = shares.iter().map(|(held, _)| u64::from(*held)).sum();
        if points == 0 || u64::from(points) > held {
            return Err(SlipError::Short {
                held,
                wanted: points,
            });
        }
        shares.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.key.cmp(&b.key)));
        shares.truncate(MAX_LOTS);
        let most = shares.iter().map(|(held, _)| u64::from(*held)).sum();
        if u64::from(points) > most {
            return Err(SlipError::Scattered(most));
        }
        let mut missing = points;
        let mut parts = Vec::new();
        for (held, proof) in shares {
            let part = held.min(missing);
            missing -= part;
            if part > 0 {
                parts.push((proof, part));
            }
        }
        Ok(Self::Request { from, to, parts })
    }

    /// Signs a request: the answer to it.
    ///
    /// # Errors
    ///
    /// When it is no request, or not for this holder, or against the rules.
    pub fn sign(&self, street: &[u8; 32], giver: &HolderKey) -> Result<Self, SlipError> {
        let Self::Request { from, to, parts } = self else {
            return Err(SlipError::Encoding);
        };
        if *from != giver.holder() {
            return Err(SlipError::Other);
        }
        let sign = |(proof, points): &(Proof, u32)| {
            let key: LotKey = proof.key.parse()?;
            let old = Lot::decode(&proof.value)?;
            let new = lot::sign(street, &key, Some(&old), giver, *to, *points)?;
            Ok((proof.key.clone(), new.encode()))
        };
        parts
            .iter()
            .map(sign)
            .collect::<Result<_, SlipError>>()
            .map(Self::Signed)
    }
}
