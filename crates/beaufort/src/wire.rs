//! What replicas send to each other, and what a replica keeps, as bytes.
//!
//! Encoded with postcard. A value's digest is written once a state, however many votes are for it, and not at all where
//! the value itself goes along; values that the receiver has go by short names. Decoding is total, and
//! whatever is left over or does not fit together is refused.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Certificate, Evidence, MemberId, Signature, Signers,
    digest::{self, Digest},
    evidence::Signed,
    instance::{Decision, State},
    tree::Node,
    vote::{Ballot, Phase},
};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 16 * 1024;
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
    /// The views that its sender is in, of keys that the receiver may not know to be decided.
    Views(Vec<(Vec<u8>, u64)>),
    /// Whom its sender is connected to.
    Neighbours(Vec<MemberId>),
    /// Somebody voted twice.
    Evidence(Box<Evidence>),
    /// What short names of values are to be made with, on this channel.
    Salt(Salt),
}

/// Nothing is left out of a state that its receiver is known to have.
const WHOLE: u8 = 1;
/// The sender of a state has verified every signature in it.
const VOUCHED: u8 = 2;

/// The state of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyState {
    pub key: Vec<u8>,
    pub view: u64,
    /// Bits that say how it is meant: [`WHOLE`] and [`VOUCHED`].
    marks: u8,
    decision: Option<Decided>,
    values: Vec<Value>,
    votes: Vec<Vote>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Decided {
    value: Value,
    round: u32,
    signers: Signers,
    signature: Signature,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Value {
    Bytes(Vec<u8>),
    Deleted,
    Digest(Digest),
    /// One that the receiver has.
    Known(ShortName),
}

/// A short name for a value: a hash of its digest, with what its receiver drew for the channel. Nobody else knows that,
/// so that nobody can find a value that goes by another one's name. Who has two values of one name asks for the state again,
/// in which they are named in full.
pub(crate) type ShortName = [u8; 4];

/// What the receiver of short names draws for a channel.
pub(crate) type Salt = [u8; 16];

/// The name of a value on a channel.
pub(crate) fn short_name(salt: &Salt, digest: &Digest) -> ShortName {
    let [a, b, c, d, ..] = digest::hash("beaufort 2026 short name", &[salt, digest]);
    [a, b, c, d]
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Vote {
    /// Which of the state's values.
    value: u16,
    /// Twice the round, and one more to commit.
    step: u64,
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
    /// A key or value that is too long or empty, or a number that is too large.
    #[error(
        "a key of 1 to {MAX_KEY} bytes, a value of at most {MAX_VALUE} and rounds of 32 bits are needed"
    )]
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
    decode_kept(bytes)
}

/// The same of what this replica wrote itself, however long it is.
pub(crate) fn decode_kept<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
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
            decision,
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
                    step: 2 * u64::from(ballot.round) + u64::from(ballot.phase == Phase::Commit),
                    signers,
                    signature,
                }
            },
        );
        let votes = votes.collect();
        let decision = decision.map(|Decision { certificate, value }| {
            let Certificate {
                round,
                value: digest,
                signers,
                signature,
                ..
            } = certificate;
            Decided {
                value: value.map_or(Value::Digest(digest), bytes),
                round,
                signers,
                signature,
            }
        });
        Self {
            key: key.into(),
            view,
            marks: u8::from(whole) * WHOLE + u8::from(vouched) * VOUCHED,
            decision,
            values,
            votes,
        }
    }

    /// Whether its sender has verified every signature in it.
    pub fn is_vouched(&self) -> bool {
        self.marks & VOUCHED != 0
    }

    /// Names the values that the receiver has, by their views, shortly.
    pub fn shorten(&mut self, salt: &Salt, has: impl Fn(u64, &Digest) -> bool) {
        for (view, value) in self.named() {
            if let Value::Digest(digest) = value
                && has(view, digest)
            {
                *value = Value::Known(short_name(salt, digest));
            }
        }
    }

    /// Finds the values that are named shortly. Returns whether all of them were found.
    pub fn resolve(&mut self, find: impl Fn(u64, ShortName) -> Option<Digest>) -> bool {
        self.named().all(|(view, value)| {
            let Value::Known(name) = value else {
                return true;
            };
            match find(view, *name) {
                Some(digest) => *value = Value::Digest(digest),
                None => return false,
            }
            true
        })
    }

    /// All values, with the views that they are of.
    fn named(&mut self) -> impl Iterator<Item = (u64, &mut Value)> {
        let view = self.view;
        let before = view.saturating_sub(1);
        let decided = self.decision.iter_mut();
        let decided = decided.map(move |decided| (before, &mut decided.value));
        decided.chain(self.values.iter_mut().map(move |value| (view, value)))
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let value = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.len() + 8,
            _ => 33,
        };
        let decided = |decided: &Decided| 128 + decided.signers.members() + value(&decided.value);
        let votes = self.votes.iter().map(|vote| 64 + vote.signers.members());
        self.key.len()
            + self.decision.as_ref().map_or(0, decided)
            + self.values.iter().map(value).sum::<usize>()
            + votes.sum::<usize>()
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
            marks,
            decision,
            values,
            votes,
        } = self;
        if marks & !(WHOLE | VOUCHED) != 0 {
            return Err(WireError::Malformed);
        }
        let fits = |value: &Value| !matches!(value, Value::Bytes(bytes) if bytes.len() > MAX_VALUE);
        let decided = decision.as_ref().is_none_or(|decided| fits(&decided.value));
        if key.is_empty()
            || key.len() > MAX_KEY
            || view == 0
            || !values.iter().all(fits)
            || !decided
        {
            return Err(WireError::Bounds);
        }
        let digests = values.iter().map(Value::digest);
        let digests: Vec<_> = digests.collect::<Option<_>>().ok_or(WireError::Dangling)?;
        let votes = votes.into_iter().map(
            |Vote {
                 value,
                 step,
                 signers,
                 signature,
             }| {
                let value = *digests.get(usize::from(value)).ok_or(WireError::Dangling)?;
                let round = u32::try_from(step / 2).map_err(|_| WireError::Bounds)?;
                let phase = match step % 2 {
                    0 => Phase::PreCommit,
                    _ => Phase::Commit,
                };
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
        let decision = decision.map(
            |Decided {
                 value,
                 round,
                 signers,
                 signature,
             }| {
                let certificate = Certificate {
                    view: view - 1,
                    round,
                    value: value.digest().ok_or(WireError::Dangling)?,
                    signers,
                    signature,
                };
                Ok(Decision {
                    certificate,
                    value: value.shown(),
                })
            },
        );
        let decision = decision.transpose()?;
        let proposals = values.into_iter().filter_map(Value::shown).collect();
        Ok((
            key,
            State {
                view,
                whole: marks & WHOLE != 0,
                decision,
                proposals,
                votes,
            },
        ))
    }
}

impl Value {
    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Bytes(bytes) => Some(digest::value(Some(bytes))),
            Self::Deleted => Some(digest::value(None)),
            Self::Digest(digest) => Some(*digest),
            Self::Known(_) => None,
        }
    }

    /// The value, where it is there.
    fn shown(self) -> Option<Option<Vec<u8>>> {
        match self {
            Self::Bytes(bytes) => Some(Some(bytes)),
            Self::Deleted => Some(None),
            Self::Digest(_) | Self::Known(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(round: u32, phase: Phase, value: Digest, members: u16) -> Signed {
        let signers = Signers::one(members.into(), MemberId(members - 1));
        Signed {
            ballot: Ballot {
                round,
                phase,
                value,
            },
            signers,
            signature: Signature([3; 48]),
        }
    }

    fn state() -> State {
        let old = digest::value(None);
        let (mine, theirs) = (digest::value(Some(b"mine")), digest::value(Some(b"theirs")));
        let signers = Signers::one(7, MemberId(2))
            .plus(&Signers::one(7, MemberId(2)))
            .unwrap();
        let certificate = Certificate {
            view: 4,
            round: 1,
            value: old,
            signers,
            signature: Signature([9; 48]),
        };
        State {
            view: 5,
            whole: true,
            decision: Some(Decision {
                certificate,
                value: Some(None),
            }),
            proposals: vec![Some(b"mine".to_vec()), None],
            votes: vec![
                signed(0, Phase::PreCommit, mine, 7),
                signed(0, Phase::PreCommit, theirs, 7),
                signed(0, Phase::PreCommit, old, 7),
                signed(1, Phase::PreCommit, mine, 7),
                signed(1, Phase::Commit, mine, 7),
            ],
        }
    }

    #[test]
    fn a_state_comes_back_as_it_went() {
        let encoded = encode(&KeyState::new(b"key", state(), true));
        let (key, decoded) = decode::<KeyState>(&encoded).unwrap().into_state().unwrap();
        assert_eq!((key.as_slice(), decoded), (&b"key"[..], state()));
    }

    #[test]
    fn values_that_the_receiver_has_are_found_by_their_short_names() {
        let whole = KeyState::new(b"key", state(), true);
        let theirs = digest::value(Some(b"theirs"));
        let mut short = whole.clone();
        let salt = [7; 16];
        short.shorten(&salt, |view, digest| view == 5 && *digest == theirs);
        assert!(encode(&short).len() + 28 <= encode(&whole).len());
        assert_eq!(
            short.clone().into_state().map(|_| ()),
            Err(WireError::Dangling)
        );
        let unknown = |_, _| None;
        assert!(!short.clone().resolve(unknown));
        let named = |salt| {
            move |view, name| (view == 5 && short_name(salt, &theirs) == name).then_some(theirs)
        };
        assert!(
            !short.clone().resolve(named(&[8; 16])),
            "on another channel"
        );
        assert!(short.resolve(named(&salt)));
        assert_eq!(short, whole);
    }

    /// What replicas of other versions and in browsers read: it must not change unseen.
    #[test]
    fn encodings_stay_as_they_are() {
        let node = Node {
            path: vec![1, 15],
            children: vec![(3, [5; 16])],
        };
        let vote = |value| signed(2, Phase::Commit, [value; 32], 4);
        let evidence = Evidence {
            culprit: MemberId(3),
            key: b"key".to_vec(),
            view: 6,
            votes: [vote(1), vote(2)],
        };
        // Of a hundred members, two are listed; values that the receiver has are named shortly.
        let mut short = state();
        for vote in &mut short.votes {
            let pair = [3, 99].map(|member| Signers::one(100, MemberId(member)));
            vote.signers = pair[0].plus(&pair[1]).unwrap();
        }
        let mut short = KeyState::new(b"key", short, false);
        short.shorten(&[7; 16], |_, _| true);
        let messages = [
            Message::States(vec![KeyState::new(b"key", state(), true)]),
            Message::States(vec![short]),
            Message::Want(vec![b"key".to_vec(), b"other".to_vec()]),
            Message::Compare(vec![node]),
            Message::Under(vec![vec![1, 15, 0]]),
            Message::Views(vec![(b"key".to_vec(), 7)]),
            Message::Neighbours(vec![MemberId(0), MemberId(300)]),
            Message::Evidence(Box::new(evidence)),
            Message::Salt([7; 16]),
        ];
        let mut all = String::new();
        for message in messages {
            let bytes = encode(&message);
            all += &bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            all.push('\n');
            assert_eq!(decode::<Message>(&bytes), Ok(message));
        }
        let golden = include_str!("golden.txt");
        assert_eq!(
            all, golden,
            "\nif this is meant, let golden.txt hold:\n{all}"
        );
    }

    #[test]
    fn what_is_left_over_out_of_bounds_or_dangling_is_refused() {
        let mut bytes = encode(&Message::Want(vec![b"key".to_vec()]));
        bytes.push(0);
        assert_eq!(decode::<Message>(&bytes), Err(WireError::Malformed));
        assert_eq!(
            decode::<Message>(&vec![0; MAX_MESSAGE + 1]),
            Err(WireError::TooLong)
        );
        let keyed = |key: &[u8]| KeyState::new(key, state(), true).into_state().map(|_| ());
        assert_eq!(keyed(b""), Err(WireError::Bounds));
        assert_eq!(keyed(&[0; MAX_KEY + 1]), Err(WireError::Bounds));
        let long = State {
            proposals: vec![Some(vec![0; MAX_VALUE + 1])],
            ..state()
        };
        assert_eq!(
            KeyState::new(b"key", long, true).into_state().map(|_| ()),
            Err(WireError::Bounds)
        );
        let mut dangling = KeyState::new(b"key", state(), true);
        dangling.values.clear();
        assert_eq!(dangling.into_state().map(|_| ()), Err(WireError::Dangling));
        let mut marked = KeyState::new(b"key", state(), true);
        marked.marks |= 4;
        assert_eq!(marked.into_state().map(|_| ()), Err(WireError::Malformed));
        let mut late = KeyState::new(b"key", state(), true);
        late.votes[0].step = u64::MAX;
        assert_eq!(late.into_state().map(|_| ()), Err(WireError::Bounds));
    }

    proptest! {
        #[test]
        fn bytes_from_outside_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..8) {
            let bytes = [&[kind], bytes.as_slice()].concat();
            if let Ok(Message::States(states)) = decode(&bytes) {
                for state in states {
                    _ = state.into_state();
                }
            }
        }

        #[test]
        fn what_was_damaged_on_its_way_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = encode(&Message::States(vec![KeyState::new(b"key", state(), true)]));
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(Message::States(states)) = decode(&bytes) {
                for state in states {
                    _ = state.into_state();
                }
            }
        }

        #[test]
        fn counts_of_signers_come_back_as_they_went(counts in prop::collection::vec(0u16..300, 0..40)) {
            let mut signers = Signers::none(counts.len());
            for (member, &count) in counts.iter().enumerate() {
                for _ in 0..count {
                    signers = signers.plus(&Signers::one(counts.len(), MemberId(member as u16))).unwrap();
                }
            }
            prop_assert_eq!(decode::<Signers>(&encode(&signers)).unwrap(), signers);
        }
    }
}
