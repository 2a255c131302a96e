//! BeauForT: Byzantine fault-tolerant agreement among browsers, without servers and without a leader.
//!
//! A network is a fixed list of members, n of them, each with a key; f of these may be Byzantine, with n >= 3f + 1.
//! Together they keep a key-value store that all honest members agree on. Each key is agreed on by itself: a new value
//! is decided in the key's next *view*, and the votes that decided it are one certificate that anyone can check. Members
//! are connected to a few others only, and gossip.
//!
//! This crate is the protocol and nothing else: no I/O, no clock, no randomness of its own, for native programs and
//! WebAssembly alike. From the outside in:
//!
//! | module | what it is |
//! |---|---|
//! | `replica` | one member's replica: gossip, late verification, neighbours, the application's reads and writes |
//! | `instance` | agreement on one key: algorithm 1, repaired; merging; which states can be honest |
//! | `tally`, `signers` | votes as sums of signatures |
//! | `tree` | the Merkle tree over all keys |
//! | `bls`, `scheme` | signatures that add up |
//! | `certificate`, `evidence` | what can be shown to others |
//! | `access`, `owned` | who may write what |
//! | `wire` | bytes |
//! | `sim` | networks of replicas in virtual time, with the feature `simulation` |
//!
//! Source: K. Jannes, E. Heydari Beni, B. Lagaisse, W. Joosen, "BeauForT: Robust Byzantine Fault Tolerance for
//! Client-centric Mobile Web Applications", IEEE TPDS 2023. Where this crate deviates, the module concerned says so;
//! above all, the published algorithm can decide two values in one view, and this one cannot
//! (`docs/beaufort/safety.md`).

mod access;
pub mod bls;
mod certificate;
mod digest;
mod evidence;
pub mod handshake;
mod instance;
mod members;
mod owned;
mod replica;
mod scheme;
mod settings;
mod signers;
#[cfg(feature = "simulation")]
pub mod sim;
mod sums;
mod tally;
mod tree;
mod vote;
mod wire;

pub use access::Access;
pub use certificate::{Certificate, CertificateError};
pub use digest::{Digest, value as value_digest};
pub use evidence::{Evidence, Signed};
pub use instance::{Entry, Invalid, Rule};
pub use members::{MemberId, Members, MembersError};
pub use owned::{Owned, OwnerSigned};
pub use replica::{Exclusion, Output, RecordError, Replica, SetError, StartError, Status, Ticket};
pub use scheme::{Claim, Scheme, Signature};
pub use settings::Settings;
pub use signers::{MAX_MEMBERS, Signers};
pub use vote::{Ballot, Phase, Scope};
pub use wire::{MAX_KEY, MAX_MESSAGE, MAX_VALUE, WireError};

/// A moment on the driver's clock, or a length of time: milliseconds.
pub type Millis = u64;
