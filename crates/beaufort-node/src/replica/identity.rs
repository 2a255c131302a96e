//! Which member of which network this replica is.

use beaufort::{
    MemberId, Members,
    bls::{Bls, SecretKey},
    handshake::Party,
};

/// A member with its private key.
pub(super) struct Identity {
    pub(super) party: Party<Bls>,
    /// All members' public keys, in hexadecimal.
    pub(super) keys: Vec<String>,
}

impl Identity {
    /// The member that has this private key, if one has.
    pub(super) fn new(members: Members<Bls>, secret: SecretKey) -> Option<Self> {
        let keys = members.keys().iter().map(ToString::to_string).collect();
        let party = Party::new(Bls, members, secret)?;
        Some(Self { party, keys })
    }

    /// The member with this public key.
    pub(super) fn find(&self, key: &str) -> Option<MemberId> {
        let index = self.keys.iter().position(|own| own == key)?;
        u16::try_from(index).ok().map(MemberId)
    }
}
