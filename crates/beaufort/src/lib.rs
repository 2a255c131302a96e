//! Leaderless Byzantine fault-tolerant agreement over gossip.
mod access;
mod certificate;
mod digest;
mod evidence;
mod instance;
mod members;
mod owned;
mod replica;
mod scheme;
mod settings;
mod signers;
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
