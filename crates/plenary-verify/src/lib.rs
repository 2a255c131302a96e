//! Receipt verification for browsers and Node, as a WebAssembly module.
//!
//! A page that has this module and a genesis file it trusts checks a receipt by itself, whoever
//! gave it. `scripts/wasm-verify.sh` builds the module and tests it under Node.

use plenary_types::{Genesis, Receipt};
use wasm_bindgen::prelude::*;

/// Checks a receipt (JSON) against a genesis file (TOML), and returns what it proves: an object
/// with the network, transaction, outcome, block, height, index, time, certified height and the
/// names of the validators that signed.
///
/// # Errors
///
/// An `Error` whose message says why the receipt proves nothing, or what cannot be read.
#[wasm_bindgen(js_name = verifyReceipt)]
pub fn verify_receipt(receipt: &str, genesis: &str) -> Result<JsValue, JsError> {
    let receipt: Receipt = serde_json::from_str(receipt)?;
    let verified = receipt.verify(&Genesis::from_toml(genesis)?)?;
    let verified = serde_json::to_string(&verified)?;
    js_sys::JSON::parse(&verified).map_err(|_| JsError::new("the result is not JSON"))
}
