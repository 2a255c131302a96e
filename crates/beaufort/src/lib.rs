//! Leaderless Byzantine fault-tolerant agreement over gossip.
pub mod bls;
mod digest;
pub mod handshake;
mod members;
mod scheme;
mod signers;

pub use digest::Digest;
pub use members::{MemberId, Members, MembersError};
pub use scheme::{Claim, Scheme, Signature};
pub use signers::{MAX_MEMBERS, Signers};
