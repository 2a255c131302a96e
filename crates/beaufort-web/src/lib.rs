//! Beaufort for browsers: the replica as a WebAssembly module.
//!
//! The module runs in a Web Worker, driven by `js/driver.js`; `js/beaufort.js` is what an application
//! uses. `scripts/beaufort-web.sh` makes the package of both. This crate only translates between
//! JavaScript's values and `beaufort`'s, and decides nothing.
//!
//! Numbers that JavaScript gives and takes as its own, such as milliseconds, tickets and views, are
//! whole and far below 2^53.

#[cfg(feature = "byzantine")]
mod byzantine;
mod core;
mod identity;
mod plain;

use std::{cell::RefCell, rc::Rc};

use beaufort::{
    Certificate, Members, Owned,
    bls::{Bls, PublicKey, SecretKey},
    value_digest,
};
use wasm_bindgen::prelude::*;

/// The 32 bytes of a new private key, from 32 random bytes.
///
/// # Errors
///
/// When there are not 32.
#[wasm_bindgen(js_name = generateSecret)]
pub fn generate_secret(random: &[u8]) -> Result<Vec<u8>, JsError> {
    let random = random
        .try_into()
        .map_err(|_| JsError::new("32 random bytes are needed"))?;
    Ok(SecretKey::from_seed(random).expose_bytes().to_vec())
}

/// The public key of a private one, in hexadecimal.
///
/// # Errors
///
/// When the bytes are no private key.
#[wasm_bindgen(js_name = publicKey)]
pub fn public_key(secret: &[u8]) -> Result<String, JsError> {
    Ok(secret_key(secret)?.public().to_string())
}

/// Checks that the network of these members decided this value for this key: nothing for a key that
/// was deleted. Returns what was checked: view, round, and who signed.
///
/// # Errors
///
/// An `Error` that says why the certificate does not show it.
#[wasm_bindgen(js_name = verifyCertificate)]
pub fn verify_certificate(
    members: Vec<String>,
    key: &str,
    value: Option<Vec<u8>>,
    certificate: &[u8],
) -> Result<JsValue, JsError> {
    let members = known(members)?;
    let certificate: Certificate = match postcard::take_from_bytes(certificate) {
        Ok((certificate, [])) => certificate,
        _ => return Err(JsError::new("these bytes are not a certificate")),
    };
    certificate.verify(&Bls, &members, key.as_bytes())?;
    if certificate.value != value_digest(value.as_deref()) {
        return Err(JsError::new("the certificate is for another value"));
    }
    Ok(plain::certificate(&certificate))
}

/// A value for a key of a network with the rules `owner-signed`, as bytes to set: signed by the owner
/// of what is there now (`old`; nothing for a new key), and from then on `owner`'s, a public key in
/// hexadecimal.
///
/// # Errors
///
/// When a key is none.
#[wasm_bindgen(js_name = signOwned)]
pub fn sign_owned(
    secret: &[u8],
    key: &str,
    old: Option<Vec<u8>>,
    owner: &str,
    content: Vec<u8>,
) -> Result<Vec<u8>, JsError> {
    let secret = secret_key(secret)?;
    let owner = owner.parse::<PublicKey>()?.to_bytes().to_vec();
    Ok(Owned::sign(
        &Bls,
        &secret,
        key.as_bytes(),
        old.as_deref(),
        owner,
        content,
    ))
}

/// `{owner, content}` of an owner-signed value, or `undefined` where the bytes are none.
#[wasm_bindgen(js_name = decodeOwned)]
pub fn decode_owned(bytes: &[u8]) -> JsValue {
    Owned::decode(bytes).map_or(JsValue::UNDEFINED, |Owned { owner, content, .. }| {
        plain::object([
            ("owner", hex::encode(owner).into()),
            ("content", plain::bytes(&content)),
        ])
    })
}

fn secret_key(bytes: &[u8]) -> Result<SecretKey, JsError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| JsError::new("a private key has 32 bytes"))?;
    Ok(SecretKey::from_exposed_bytes(bytes)?)
}

thread_local! {
    /// The members of the last certificate: whoever looks through a network's values has the same for all of them, and
    /// reading a hundred keys with their proofs takes half a second.
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// Members, and the texts of their keys.
struct Known {
    texts: Vec<String>,
    members: Rc<Members<Bls>>,
}

/// The members with these keys.
fn known(texts: Vec<String>) -> Result<Rc<Members<Bls>>, JsError> {
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known
            && known.texts == texts
        {
            return Ok(known.members.clone());
        }
        let members = Rc::new(Members::new(keys(&texts)?)?);
        *known = Some(Known {
            texts,
            members: members.clone(),
        });
        Ok(members)
    })
}

fn keys(texts: &[String]) -> Result<Vec<PublicKey>, JsError> {
    PublicKey::parse_all(texts).map_err(|(place, error)| {
        JsError::new(&format!("member {} of the list: {error}", place + 1))
    })
}
