//! What replicas send to each other, and what a replica keeps, as bytes.
//!
//! Encoded with postcard. A value's digest is written once a state, however many votes are for it, and not at all where
//! the value itself goes along. Decoding is total, and whatever is left over or does not fit together is refused.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Certificate, Entry, Evidence, MemberId, Signature, Signers,
    digest::{self, Digest},
    evidence::Signed,
    instance::State,
    tree::Node,
    vote::{Ballot, Phase},
};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// The longest message, in bytes: what a data channel carries in every browser.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// What one replica sends to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// What its sender knows of some keys, and the receiver may not.
    States(Vec<KeyState>),
    /// Forget what I am said to have of these keys: send all of it.
    Want(Vec<Vec<u8>>),
    /// Hashes of the tree of all keys, to find out where two replicas differ.
    Compare(Vec<Node>),
    /// Send what there is below these paths of the tree.
    Under(Vec<Vec<u8>>),
    /// Whom its sender is connected to.
    Neighbours(Vec<MemberId>),
    /// Somebody voted twice.
    Evidence(Box<Evidence>),
}

/// The state of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyState {
    pub key: Vec<u8>,
    pub view: u64,
    /// Whether nothing is left out that the receiver is known to have.
    pub whole: bool,
    /// Whether its sender has verified every signature in it.
    pub vouched: bool,
    entry: Option<Decided>,
    values: Vec<Value>,
    votes: Vec<Vote>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Decided {
    value: Option<Vec<u8>>,
    round: u32,
    signers: Signers,
    signature: Signature,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Value {
    Bytes(Vec<u8>),
    Deleted,
    Digest(Digest),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Vote {
    /// Which of the state's values.
    value: u16,
    round: u32,
    phase: Phase,
    signers: Signers,
    signature: Signature,
}

/// Why bytes say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than anything may be.
    #[error("longer than the {MAX_MESSAGE} bytes that a message may have")]
    TooLong,
    /// Not an encoding of anything.
    #[error("not a message of this protocol, or of another version of it")]
    Malformed,
    /// A key or value that is too long or empty.
    #[error("a key of 1 to {MAX_KEY} bytes and a value of at most {MAX_VALUE} are needed")]
    Bounds,
    /// A vote for a value that is not there.
    #[error("a vote for a value that the message does not name")]
    Dangling,
}

/// Encodes anything of this module.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("these types have no encoding that fails")
}

/// Decodes anything of this module, and nothing more.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLong);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(WireError::Malformed),
    }
}

impl KeyState {
    /// A state as it goes to a neighbour.
    pub fn new(key: &[u8], state: State, vouched: bool) -> Self {
        let State {
            view,
            whole,
            entry,
            proposals,
            votes,
        } = state;
        let mut digests: Vec<_> = proposals
            .iter()
            .map(|value| digest::value(value.as_deref()))
            .collect();
        let bytes = |value: Option<Vec<u8>>| value.map_or(Value::Deleted, Value::Bytes);
        let mut values: Vec<_> = proposals.into_iter().map(bytes).collect();
        let votes = votes.into_iter().map(
            |Signed {
                 ballot,
                 signers,
                 signature,
             }| {
                let value = digests
                    .iter()
                    .position(|digest| *digest == ballot.value)
                    .unwrap_or_else(|| {
                        digests.push(ballot.value);
                        values.push(Value::Digest(ballot.value));
                        digests.len() - 1
                    }) as u16;
                Vote {
                    value,
                    round: ballot.round,
                    phase: ballot.phase,
                    signers,
                    signature,
                }
            },
        );
        let votes = votes.collect();
        let entry = entry.map(
            |Entry {
                 value,
                 certificate:
                     Certificate {
                         round,
                         signers,
                         signature,
                         ..
                     },
                 ..
             }| {
                Decided {
                    value,
                    round,
                    signers,
                    signature,
                }
            },
        );
        Self {
            key: key.into(),
            view,
            whole,
            vouched,
            entry,
            values,
            votes,
        }
    }

    /// The state that a neighbour sent.
    ///
    /// # Errors
    ///
    /// When it is beyond bounds or does not fit together.
    pub fn into_state(self) -> Result<(Vec<u8>, State), WireError> {
        let Self {
            key,
            view,
            whole,
            entry,
            values,
            votes,
            ..
        } = self;
        let fits = |value: Option<&Vec<u8>>| value.is_none_or(|value| value.len() <= MAX_VALUE);
        let bytes = |value: &Value| {
            if let Value::Bytes(bytes) = value {
                fits(Some(bytes))
            } else {
                true
            }
        };
        let decided = entry
            .as_ref()
            .is_none_or(|entry| fits(entry.value.as_ref()));
        if key.is_empty()
            || key.len() > MAX_KEY
            || view == 0
            || !values.iter().all(bytes)
            || !decided
        {
            return Err(WireError::Bounds);
        }
        let digest = |value: &Value| match value {
            Value::Bytes(bytes) => digest::value(Some(bytes)),
            Value::Deleted => digest::value(None),
            Value::Digest(digest) => *digest,
        };
        let digests: Vec<_> = values.iter().map(digest).collect();
        let votes = votes.into_iter().map(
            |Vote {
                 value,
                 round,
                 phase,
                 signers,
                 signature,
             }| {
                let value = *digests.get(usize::from(value)).ok_or(WireError::Dangling)?;
                Ok(Signed {
                    ballot: Ballot {
                        round,
                        phase,
                        value,
                    },
                    signers,
                    signature,
                })
            },
        );
        let votes = votes.collect::<Result<_, _>>()?;
        let entry = entry.map(
            |Decided {
                 value,
                 round,
                 signers,
                 signature,
             }| {
                let digest = digest::value(value.as_deref());
                let certificate = Certificate {
                    view: view - 1,
                    round,
                    value: digest,
                    signers,
                    signature,
                };
                Entry {
                    view: view - 1,
                    value,
                    certificate,
                }
            },
        );
        let proposals = values.into_iter().filter_map(|value| match value {
            Value::Bytes(bytes) => Some(Some(bytes)),
            Value::Deleted => Some(None),
            Value::Digest(_) => None,
        });
        let proposals = proposals.collect();
        Ok((
            key,
            State {
                view,
                whole,
                entry,
                proposals,
                votes,
            },
        ))
    }
}
