//! Values that only their owner may change: access control ready-made (section 4.1 of the paper).
//!
//! A value names its owner's public key and is signed by whoever owned the one before it, so that an owner can pass it
//! on. The signature covers the value that it replaces: a replica that holds another value refuses it, and an old value
//! cannot be brought back. A first value is signed by its own owner. Such a key cannot be deleted, for a deletion
//! has nobody's signature.

use serde::{Deserialize, Serialize};

use crate::{
    Access, Claim, Digest, MemberId, Scheme, Signature, Signers,
    digest::{self, hash},
    wire,
};

/// A value and its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The encoded public key of who may change it.
    pub owner: Vec<u8>,
    /// What the application keeps there.
    pub content: Vec<u8>,
    /// By the owner of the value that this one replaces.
    pub signature: Signature,
}

impl Owned {
    /// A value signed by the owner of what is there now, as bytes to set.
    ///
    /// `old` is what the key holds now, and `owner` the encoded key of whom the new value will belong to.
    pub fn sign<S: Scheme>(
        scheme: &S,
        secret: &S::SecretKey,
        key: &[u8],
        old: Option<&[u8]>,
        owner: Vec<u8>,
        content: Vec<u8>,
    ) -> Vec<u8> {
        let point = scheme.sign(secret, &message(key, old, &owner, &content));
        wire::encode(&Self {
            owner,
            content,
            signature: scheme.encode(&point),
        })
    }

    /// A value from its bytes, where they are one. Whose it is to change says nothing of who signed it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes).ok()
    }
}

/// Lets only owners change what is theirs.
pub struct OwnerSigned<S: Scheme>(pub S);

impl<S: Scheme> Access for OwnerSigned<S> {
    fn allows(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        let Some(owned) = new.and_then(Owned::decode) else {
            return false;
        };
        let signer = match old {
            Some(old) => Owned::decode(old).map(|old| old.owner),
            None => Some(owned.owner.clone()),
        };
        // An owner that is no key could never pass the value on.
        let owner_is_key = S::decode_key(&owned.owner).is_some();
        let signer = signer
            .and_then(|signer| S::decode_key(&signer))
            .filter(|_| owner_is_key);
        let (Some(signer), Some(point)) = (signer, self.0.decode(&owned.signature)) else {
            return false;
        };
        let message = message(key, old, &owned.owner, &owned.content);
        let claim = Claim {
            message: &message,
            signers: &Signers::one(1, MemberId(0)),
            signature: &point,
        };
        // A single claim is not weighed, so that the seed does not matter.
        self.0
            .verify(&self.0.verifier(&[signer]), &[claim], &[0; 32])
    }
}

fn message(key: &[u8], old: Option<&[u8]>, owner: &[u8], content: &[u8]) -> Digest {
    hash(
        "beaufort 2026 owned",
        &[key, &digest::value(old), owner, content],
    )
}
