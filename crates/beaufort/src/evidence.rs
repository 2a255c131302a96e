//! Proof that a member signed two votes of which an honest one signs at most one.

use serde::{Deserialize, Serialize};

use crate::{
    Claim, MemberId, Members, Scheme, Signature, Signers,
    vote::{Ballot, Scope},
};

/// One of two votes: a sum of signatures with the culprit's in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signed {
    /// What was voted for.
    pub ballot: Ballot,
    /// Who signed.
    pub signers: Signers,
    /// The sum of their signatures.
    pub signature: Signature,
}

/// Two votes of one member for two values in the same round and phase. Anyone can check it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Who voted twice.
    pub culprit: MemberId,
    /// Of which key.
    pub key: Vec<u8>,
    /// In which view of it.
    pub view: u64,
    /// The two votes.
    pub votes: [Signed; 2],
}

impl Evidence {
    /// Whether it shows what it says.
    pub fn holds<S: Scheme>(&self, scheme: &S, members: &Members<S>, seed: &[u8; 32]) -> bool {
        let [one, other] = &self.votes;
        let two_votes = one.ballot.round == other.ballot.round
            && one.ballot.phase == other.ballot.phase
            && one.ballot.value != other.ballot.value;
        let named = |vote: &Signed| {
            vote.signers.members() == members.len() && vote.signers.contains(self.culprit)
        };
        if !two_votes || !named(one) || !named(other) {
            return false;
        }
        let scope = Scope::new(&members.network(), &self.key, self.view);
        let messages = [scope.message(&one.ballot), scope.message(&other.ballot)];
        let (Some(first), Some(second)) = (
            scheme.decode(&one.signature),
            scheme.decode(&other.signature),
        ) else {
            return false;
        };
        let claims = [
            Claim {
                message: &messages[0],
                signers: &one.signers,
                signature: &first,
            },
            Claim {
                message: &messages[1],
                signers: &other.signers,
                signature: &second,
            },
        ];
        scheme.verify(members.verifier(scheme), &claims, seed)
    }
}
