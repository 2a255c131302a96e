//! The rules: which value may take another's place. Every shop's replica asks before it votes.

use std::collections::BTreeSet;

use crate::{
    holder::Holder,
    lot::{Lot, LotKey, Refusal, message},
    street::Street,
};

/// The rules of one street.
#[derive(Clone, Debug)]
pub struct Rules {
    street: [u8; 32],
    tills: BTreeSet<Holder>,
}

impl Rules {
    /// The rules of this street.
    pub fn new(street: &Street) -> Self {
        let tills = street.shops.iter().map(|shop| shop.till).collect();
        Self {
            street: street.digest(),
            tills,
        }
    }

    /// What stands for the street in what is signed.
    pub fn street(&self) -> &[u8; 32] {
        &self.street
    }

    /// Checks that `new` may take the place of `old` at this key; nothing stands for a key that is absent or deleted.
    ///
    /// # Errors
    ///
    /// When it may not, and why.
    pub fn check(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Refusal> {
        let key: LotKey = std::str::from_utf8(key)
            .map_err(|_| Refusal::Key)?
            .parse()?;
        let bytes = new.ok_or(Refusal::Deletion)?;
        let new = Lot::decode(bytes)?;
        let old = old.map(Lot::decode).transpose()?;
        if !self.tills.contains(&key.issuer) {
            return Err(Refusal::Issuer);
        }
        let right = Lot::after(&key, old.as_ref(), new.change, new.signature)?;
        if right.encode() != bytes {
            return Err(Refusal::Shares);
        }
        let message = message(&self.street, &key, old.as_ref(), &new.change);
        let is_signed = new.change.from.has_signed(&message, &new.signature);
        is_signed.then_some(()).ok_or(Refusal::Signature)
    }

    /// Whether [`Self::check`] finds nothing wrong.
    pub fn allows(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        self.check(key, old, new).is_ok()
    }
}
