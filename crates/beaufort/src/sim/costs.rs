//! What cryptography costs a replica's processor.
//!
//! The presets are medians measured with the `costs` example, natively and in WebAssembly; see
//! `docs/beaufort/costs.md`.

use super::Operations;

/// Costs in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// A signature, the message's hashing to the curve included.
    pub sign: f64,
    /// Adding a sum to another.
    pub add: f64,
    /// A sum made bytes.
    pub encode: f64,
    /// Bytes made a sum.
    pub decode: f64,
    /// A verification, whatever it verifies.
    pub verify: f64,
    /// Each claim in a verification.
    pub claim: f64,
    /// Each key that is added up for a claim.
    pub key: f64,
    /// Each message that is sent or received, on its way between the channel and the replica.
    pub message: f64,
    /// Each byte of these: hashing and copying.
    pub byte: f64,
}

impl Costs {
    /// Of a browser: cryptography compiled to WebAssembly.
    pub const fn wasm() -> Self {
        Self {
            sign: 926.0,
            add: 4.1,
            encode: 15.0,
            decode: 79.0,
            verify: 4000.0,
            claim: 1750.0,
            key: 2.2,
            message: 30.0,
            byte: 0.003,
        }
    }

    /// Of a native program.
    pub const fn native() -> Self {
        Self {
            sign: 186.0,
            add: 0.7,
            encode: 3.4,
            decode: 17.0,
            verify: 560.0,
            claim: 290.0,
            key: 0.4,
            message: 10.0,
            byte: 0.001,
        }
    }

    /// What operations cost, with messages that carried `bytes` in all.
    pub fn of(&self, operations: Operations, messages: u64, bytes: u64) -> f64 {
        let each = [
            (self.sign, operations.signed),
            (self.add, operations.added),
            (self.encode, operations.encoded),
            (self.decode, operations.decoded),
            (self.verify, operations.verified),
            (self.claim, operations.claims),
            (self.key, operations.keys),
            (self.message, messages),
            (self.byte, bytes),
        ];
        each.iter().map(|&(cost, times)| cost * times as f64).sum()
    }
}
