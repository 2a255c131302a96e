//! The street: its shops, and where they meet. One file says it all, the same for every shop and wallet.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::holder::Holder;

/// The most shops there can be: as many as a network has members.
pub const MAX_SHOPS: usize = 512;
/// The longest name of a street or shop, in characters.
pub const MAX_NAME: usize = 40;
/// Hexadecimal digits of a member's public key.
const KEY_DIGITS: usize = 288;

/// What the file `street.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Street {
    /// What the street is called.
    pub name: String,
    /// Addresses of signaling servers, through which the shops' tablets find each other.
    #[serde(default)]
    pub signaling: Vec<String>,
    /// STUN and TURN servers for tablets that cannot reach each other directly, as browsers take them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<Value>,
    /// The shops.
    pub shops: Vec<Shop>,
}

/// A shop, as its card says that its tablet shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// What the shop is called.
    pub name: String,
    /// The public key that it votes with, as a member of the network.
    pub key: String,
    /// The key that it awards and holds points with.
    pub till: Holder,
}

/// Why a file does not describe a street.
#[derive(Debug, thiserror::Error)]
pub enum StreetError {
    /// It is not JSON, or has other members.
    #[error("street.json: {0}")]
    Json(#[from] serde_json::Error),
    /// There are none, or too many.
    #[error("street.json lists {0} shops: it must list 1 to {MAX_SHOPS}")]
    Shops(usize),
    /// A name is missing or too long.
    #[error("street.json: the name {0:?} must have 1 to {MAX_NAME} characters")]
    Name(String),
    /// A shop's key is none.
    #[error(
        "street.json: the key of {0:?} must be {KEY_DIGITS} small hexadecimal digits; copy the card that its tablet shows"
    )]
    Key(String),
    /// Two shops have the same name, key or till.
    #[error(
        "street.json: {0:?} has the name, key or till of another shop; each shop makes its own card"
    )]
    Twice(String),
}

impl Street {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it does not describe a street.
    pub fn parse(json: &str) -> Result<Self, StreetError> {
        let street: Self = serde_json::from_str(json)?;
        if !(1..=MAX_SHOPS).contains(&street.shops.len()) {
            return Err(StreetError::Shops(street.shops.len()));
        }
        let names = street.shops.iter().map(|shop| &shop.name);
        if let Some(name) = names.chain([&street.name]).find(|name| !is_name(name)) {
            return Err(StreetError::Name(name.clone()));
        }
        let mut taken = BTreeSet::new();
        for shop in &street.shops {
            let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            if shop.key.len() != KEY_DIGITS
                || !shop.key.bytes().all(is_digit)
                || !shop.till.is_key()
            {
                return Err(StreetError::Key(shop.name.clone()));
            }
            let claims = [shop.name.clone(), shop.key.clone(), shop.till.to_string()];
            if claims.into_iter().any(|claim| !taken.insert(claim)) {
                return Err(StreetError::Twice(shop.name.clone()));
            }
        }
        Ok(street)
    }

    /// The shop with this till.
    pub fn shop(&self, till: &Holder) -> Option<&Shop> {
        self.shops.iter().find(|shop| shop.till == *till)
    }

    /// What stands for the street in everything that is signed, so that nothing signed for one counts in another
    /// that a shop is in, too. Names and servers may change; keys may not.
    pub fn digest(&self) -> [u8; 32] {
        let mut keys: Vec<_> = self
            .shops
            .iter()
            .map(|shop| (&shop.key, shop.till.0))
            .collect();
        keys.sort();
        let mut hasher = blake3::Hasher::new_derive_key("loyalty 2026 street");
        for (key, till) in keys {
            // Both have a fixed length.
            hasher.update(key.as_bytes()).update(&till);
        }
        *hasher.finalize().as_bytes()
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && name.trim() == name
}
