//! Which member of which network this replica is.

use beaufort::{
    MemberId, Members,
    bls::{Bls, SecretKey},
    handshake::Party,
};

/// A member with its private key.
pub(super) struct Identity {
    pub(super) members: Members<Bls>,
    secret: SecretKey,
    pub(super) me: MemberId,
    /// All members' public keys, in hexadecimal.
    pub(super) keys: Vec<String>,
}

impl Identity {
    /// The member that has this private key, if one has.
    pub(super) fn new(members: Members<Bls>, secret: SecretKey) -> Option<Self> {
        let me = members.find(secret.public())?;
        Some(Self {
            keys: members.keys().iter().map(ToString::to_string).collect(),
            members,
            secret,
            me,
        })
    }

    /// The member with this public key.
    pub(super) fn find(&self, key: &str) -> Option<MemberId> {
        let index = self.keys.iter().position(|own| own == key)?;
        u16::try_from(index).ok().map(MemberId)
    }

    pub(super) fn party(&self) -> Party<'_, Bls> {
        Party {
            scheme: &Bls,
            members: &self.members,
            me: self.me,
            secret: &self.secret,
        }
    }
}
