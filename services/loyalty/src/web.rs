//! What the pages call: a translation between JavaScript's values and the library's, which decides nothing.

use js_sys::JSON;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::{
    holder::{Holder, HolderKey},
    lot::{self, Lot, LotKey},
    rules::Rules,
    slip::{self, Slip},
    street::{Shop, Street},
};

fn holder(code: &str) -> Result<Holder, JsError> {
    Ok(code.trim().parse::<Holder>()?)
}

fn seed(bytes: &[u8]) -> Result<[u8; 32], JsError> {
    bytes
        .try_into()
        .map_err(|_| JsError::new("a private key has 32 bytes"))
}

fn plain(value: &serde_json::Value) -> Result<JsValue, JsError> {
    JSON::parse(&value.to_string()).map_err(|_| JsError::new("this cannot be shown"))
}

/// A wallet's or shop's key.
#[wasm_bindgen]
pub struct Giver(HolderKey);

#[wasm_bindgen]
impl Giver {
    /// The key of a wallet, from its 32 bytes.
    ///
    /// # Errors
    ///
    /// When there are not 32.
    pub fn wallet(secret: &[u8]) -> Result<Giver, JsError> {
        Ok(Self(HolderKey::from_seed(seed(secret)?)))
    }

    /// The key of a shop's till, from the 32 bytes of the private key that it is a member with.
    ///
    /// # Errors
    ///
    /// When there are not 32.
    pub fn till(member: &[u8]) -> Result<Giver, JsError> {
        Ok(Self(HolderKey::till(&seed(member)?)))
    }

    /// The code of who has this key.
    #[wasm_bindgen(getter)]
    pub fn code(&self) -> String {
        self.0.holder().to_string()
    }
}

/// A lot as the network decided it.
#[wasm_bindgen]
pub struct Proof(slip::Proof);

#[wasm_bindgen]
impl Proof {
    /// From a key, its value and the bytes of its certificate.
    #[wasm_bindgen(constructor)]
    pub fn new(key: String, value: Vec<u8>, certificate: Vec<u8>) -> Proof {
        Self(slip::Proof {
            key,
            value,
            certificate,
        })
    }

    /// The key.
    #[wasm_bindgen(getter)]
    pub fn key(&self) -> String {
        self.0.key.clone()
    }

    /// The value.
    #[wasm_bindgen(getter)]
    pub fn value(&self) -> Vec<u8> {
        self.0.value.clone()
    }

    /// The certificate.
    #[wasm_bindgen(getter)]
    pub fn certificate(&self) -> Vec<u8> {
        self.0.certificate.clone()
    }
}

/// A key, and the value to set there.
#[wasm_bindgen(getter_with_clone)]
pub struct Write {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
}

impl From<(String, Vec<u8>)> for Write {
    fn from((key, value): (String, Vec<u8>)) -> Self {
        Self { key, value }
    }
}

/// A slip.
#[wasm_bindgen]
pub struct Paper(Slip);

#[wasm_bindgen]
impl Paper {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Paper, JsError> {
        Ok(Self(Slip::parse(text)?))
    }

    /// A receipt for these lots.
    pub fn receipt(proofs: Vec<Proof>) -> Paper {
        Self(Slip::Receipt(
            proofs.into_iter().map(|proof| proof.0).collect(),
        ))
    }

    /// Asks for points of these lots.
    ///
    /// # Errors
    ///
    /// When the giver has not got that many, or in too many lots.
    pub fn request(
        from: &str,
        to: &str,
        points: u32,
        proofs: Vec<Proof>,
    ) -> Result<Paper, JsError> {
        let proofs = proofs.into_iter().map(|proof| proof.0).collect();
        Ok(Self(Slip::request(
            holder(from)?,
            holder(to)?,
            points,
            proofs,
        )?))
    }

    /// The answer to a request.
    ///
    /// # Errors
    ///
    /// When it is none, or not for this giver, or against the rules.
    pub fn sign(&self, street: &Points, giver: &Giver) -> Result<Paper, JsError> {
        Ok(Self(self.0.sign(street.rules.street(), &giver.0)?))
    }

    /// The slip as text.
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// `receipt`, `request` or `signed`.
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        let kind = match self.0 {
            Slip::Receipt(_) => "receipt",
            Slip::Request { .. } => "request",
            Slip::Signed(_) => "signed",
        };
        kind.to_owned()
    }

    /// Of a request: `{from, to, points, parts: [{key, points}]}`; otherwise `null`.
    ///
    /// # Errors
    ///
    /// Never.
    #[wasm_bindgen(getter)]
    pub fn asks(&self) -> Result<JsValue, JsError> {
        let Slip::Request { from, to, parts } = &self.0 else {
            return Ok(JsValue::NULL);
        };
        let points: u64 = parts.iter().map(|(_, points)| u64::from(*points)).sum();
        let part =
            |(proof, points): &(slip::Proof, u32)| json!({ "key": proof.key, "points": points });
        let parts: Vec<_> = parts.iter().map(part).collect();
        plain(&json!({ "from": from, "to": to, "points": points, "parts": parts }))
    }

    /// The lots of a receipt or request.
    #[wasm_bindgen(getter)]
    pub fn proofs(&self) -> Vec<Proof> {
        match &self.0 {
            Slip::Receipt(proofs) => proofs.iter().cloned().map(Proof).collect(),
            Slip::Request { parts, .. } => parts
                .iter()
                .map(|(proof, _)| Proof(proof.clone()))
                .collect(),
            Slip::Signed(_) => Vec::new(),
        }
    }

    /// What an answer is to set.
    #[wasm_bindgen(getter)]
    pub fn writes(&self) -> Vec<Write> {
        match &self.0 {
            Slip::Signed(values) => values.iter().cloned().map(Write::from).collect(),
            Slip::Receipt(_) | Slip::Request { .. } => Vec::new(),
        }
    }
}

/// The points of one street.
#[wasm_bindgen]
pub struct Points {
    rules: Rules,
}

#[wasm_bindgen]
impl Points {
    /// The points of the street that this file describes.
    ///
    /// # Errors
    ///
    /// When it describes none.
    #[wasm_bindgen(constructor)]
    pub fn new(street: &str) -> Result<Points, JsError> {
        Ok(Self {
            rules: Rules::new(&Street::parse(street)?),
        })
    }

    /// Whether a value may take another's place.
    pub fn allows(&self, key: &str, old: Option<Vec<u8>>, new: Option<Vec<u8>>) -> bool {
        self.rules
            .allows(key.as_bytes(), old.as_deref(), new.as_deref())
    }

    /// Why a value may not take another's place, or nothing where it may.
    #[wasm_bindgen(js_name = whyNot)]
    pub fn why_not(&self, key: &str, old: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Option<String> {
        let checked = self
            .rules
            .check(key.as_bytes(), old.as_deref(), new.as_deref());
        checked.err().map(|refusal| refusal.to_string())
    }

    /// A new lot. `random` is 16 random bytes, which tell it from the others.
    ///
    /// # Errors
    ///
    /// When it is against the rules.
    pub fn award(
        &self,
        giver: &Giver,
        to: &str,
        points: u32,
        random: &[u8],
    ) -> Result<Write, JsError> {
        let random = random
            .try_into()
            .map_err(|_| JsError::new("16 random bytes are needed"))?;
        let key = LotKey {
            issuer: giver.0.holder(),
            random,
        };
        let lot = lot::sign(
            self.rules.street(),
            &key,
            None,
            &giver.0,
            holder(to)?,
            points,
        )?;
        Ok(Write {
            key: key.to_string(),
            value: lot.encode(),
        })
    }
}

/// What a lot holds: `{key, issuer, step, shares: [{holder, points}], change: {from, to, points}}`.
///
/// # Errors
///
/// When it is none.
#[wasm_bindgen(js_name = readLot)]
pub fn read_lot(key: &str, value: &[u8]) -> Result<JsValue, JsError> {
    let issuer = key.parse::<LotKey>()?.issuer;
    let Lot {
        step,
        shares,
        change,
        ..
    } = Lot::decode(value)?;
    plain(
        &json!({ "key": key, "issuer": issuer, "step": step, "shares": shares, "change": change }),
    )
}

/// Whether a text is somebody's code.
#[wasm_bindgen(js_name = isCode)]
pub fn is_code(text: &str) -> bool {
    holder(text).is_ok_and(|holder| holder.is_key())
}

/// A shop's card, a line for the street's file.
///
/// # Errors
///
/// When the till's code is none.
#[wasm_bindgen]
pub fn card(name: String, key: String, till: &str) -> Result<String, JsError> {
    Ok(serde_json::to_string(&Shop {
        name,
        key,
        till: holder(till)?,
    })?)
}

/// The QR code of a text as an SVG image, or nothing where the text is too long for one.
#[wasm_bindgen]
pub fn qr(text: &str) -> Option<String> {
    const QUIET: i32 = 3;
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let side = code.size();
    let mut path = String::new();
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        if code.get_module(x, y) {
            path += &format!("M{x} {y}h1v1h-1z");
        }
    }
    let (corner, width) = (-QUIET, side + 2 * QUIET);
    Some(format!(
        r##"<svg viewBox="{corner} {corner} {width} {width}" shape-rendering="crispEdges"><path fill="#fff" d="M{corner} {corner}h{width}v{width}h-{width}z"/><path d="{path}"/></svg>"##
    ))
}
