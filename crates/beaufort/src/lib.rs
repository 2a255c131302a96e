//! Leaderless Byzantine fault-tolerant agreement over gossip.
mod access;
pub mod bls;
mod certificate;
mod digest;
mod evidence;
pub mod handshake;
mod instance;
mod members;
mod scheme;
mod signers;
mod tally;
mod vote;

pub use access::Access;
pub use certificate::{Certificate, CertificateError};
pub use digest::{Digest, value as value_digest};
pub use evidence::{Evidence, Signed};
pub use instance::{Entry, Invalid, Rule};
pub use members::{MemberId, Members, MembersError};
pub use scheme::{Claim, Scheme, Signature};
pub use signers::{MAX_MEMBERS, Signers};
pub use vote::{Ballot, Phase, Scope};

/// A moment on the driver's clock, or a length of time: milliseconds.
pub type Millis = u64;
