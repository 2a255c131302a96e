//! Who is at the other end of a channel, proven by both sides to each other.
//!
//! A signaling server brings replicas together and is not trusted with who is who: it could open one channel to each
//! of two replicas and sit between them. So each side says who it claims to be, with a number never used before, and
//! then signs both sides' words together with what the transport is encrypted for. A proof is good for one channel,
//! in one direction, once; one made for a channel to somebody in between is worthless on another.
//!
//! ```text
//! one:  Hello { network, member, nonce }  ->   <-  Hello { network, member, nonce }  :other
//! one:  signature over both hellos, own first, and the channel  ->   <-  the same    :other
//! ```
//!
//! No I/O and no randomness: the driver carries the messages and draws the nonce. Votes are signed with the same key;
//! what is signed here is hashed in a context of its own and can never be one.

use serde::{Deserialize, Serialize};

use crate::{
    Claim, MemberId, Members, Scheme, Signature, Signers,
    digest::{Digest, hash},
};

/// The most bytes that a message of a handshake has.
pub const MAX_MESSAGE: usize = 128;

/// Why the other side is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Bytes that are no message of a handshake.
    #[error("the other side does not speak this protocol, or another version of it")]
    Malformed,
    /// The other side's list of members is another.
    #[error(
        "the other side has another list of members; compare both replicas' lists of public keys"
    )]
    Network,
    /// A place in the list of members that is not there.
    #[error("the other side claims to be member {}, and there is no such member", .0.0)]
    Stranger(MemberId),
    /// The other side claims to be this replica.
    #[error(
        "the other side claims to be this replica itself; is the same secret key in use twice?"
    )]
    Itself,
    /// A proof that is not the claimed member's for this channel.
    #[error("the other side claims to be member {} and cannot prove it on this channel; somebody may be in between", .0.0)]
    Forged(MemberId),
}

/// Who this replica is, and what it checks others with.
pub struct Party<S: Scheme> {
    /// The scheme of signatures.
    pub scheme: S,
    /// All members.
    pub members: Members<S>,
    /// This replica.
    pub me: MemberId,
    /// Its secret key.
    pub secret: S::SecretKey,
}

impl<S: Scheme> Party<S> {
    /// The member that has this secret key, if one has.
    pub fn new(scheme: S, members: Members<S>, secret: S::SecretKey) -> Option<Self> {
        Some(Self {
            me: members.find(&scheme.public(&secret))?,
            scheme,
            members,
            secret,
        })
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Hello {
    network: Digest,
    member: MemberId,
    nonce: [u8; 32],
}

/// A handshake whose hello is to be sent, and the other side's awaited.
pub struct Handshake {
    mine: Hello,
    channel: Vec<u8>,
}

/// A handshake whose proof is to be sent, and the other side's awaited.
pub struct Proving {
    mine: Hello,
    theirs: Hello,
    channel: Vec<u8>,
}

impl Handshake {
    /// Begins on a new channel: the state to keep, and the hello to send.
    ///
    /// `nonce` must be drawn at random for each handshake. `channel` is what both ends of the transport, and of no
    /// other, have in common, such as [`fingerprints`].
    pub fn begin<S: Scheme>(party: &Party<S>, nonce: [u8; 32], channel: &[u8]) -> (Self, Vec<u8>) {
        let mine = Hello {
            network: party.members.network(),
            member: party.me,
            nonce,
        };
        (
            Self {
                mine,
                channel: channel.to_vec(),
            },
            encode(&mine),
        )
    }

    /// Takes the other side's hello: the state to keep, and the proof to send.
    ///
    /// # Errors
    ///
    /// When the other side is of another network, no other member of this one, or sends something else. Close the
    /// channel then.
    pub fn prove<S: Scheme>(
        self,
        party: &Party<S>,
        hello: &[u8],
    ) -> Result<(Proving, Vec<u8>), HandshakeError> {
        let Self { mine, channel } = self;
        let theirs: Hello = decode(hello)?;
        if theirs.network != mine.network {
            return Err(HandshakeError::Network);
        }
        if party.members.key(theirs.member).is_none() {
            return Err(HandshakeError::Stranger(theirs.member));
        }
        if theirs.member == mine.member {
            return Err(HandshakeError::Itself);
        }
        let signature = party
            .scheme
            .sign(&party.secret, &statement(&mine, &theirs, &channel));
        Ok((
            Proving {
                mine,
                theirs,
                channel,
            },
            encode(&party.scheme.encode(&signature)),
        ))
    }
}

impl Proving {
    /// Takes the other side's proof: who it is.
    ///
    /// # Errors
    ///
    /// When it is not the member's that it claims to be, made for this channel. Close the channel then.
    pub fn check<S: Scheme>(
        self,
        party: &Party<S>,
        proof: &[u8],
    ) -> Result<MemberId, HandshakeError> {
        let Self {
            mine,
            theirs,
            channel,
        } = self;
        let forged = HandshakeError::Forged(theirs.member);
        let signature: Signature = decode(proof)?;
        let signature = party.scheme.decode(&signature).ok_or(forged)?;
        let claim = Claim {
            message: &statement(&theirs, &mine, &channel),
            signers: &Signers::one(party.members.len(), theirs.member),
            signature: &signature,
        };
        // One claim is not weighed against others, so that any seed does.
        let verifier = party.members.verifier(&party.scheme);
        let proven = party.scheme.verify(verifier, &[claim], &mine.nonce);
        proven.then_some(theirs.member).ok_or(forged)
    }
}

/// What ties a handshake to a WebRTC connection: the certificate fingerprints of both ends, such as
/// `sha-256 AB:CD:..` from the descriptions of the sessions, in either order and in letters of either case.
pub fn fingerprints(one: &str, other: &str) -> Vec<u8> {
    let mut both = [one, other].map(|fingerprint| fingerprint.trim().to_ascii_lowercase());
    both.sort();
    hash(
        "beaufort 2026 fingerprints",
        &both.each_ref().map(String::as_bytes),
    )
    .to_vec()
}

/// What a side signs. Its own hello comes first, so that no side can return the other's proof as its own.
fn statement(prover: &Hello, other: &Hello, channel: &[u8]) -> Digest {
    hash(
        "beaufort 2026 handshake",
        &[
            &prover.network,
            channel,
            &prover.member.0.to_le_bytes(),
            &prover.nonce,
            &other.member.0.to_le_bytes(),
            &other.nonce,
        ],
    )
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("a message of fixed size, written to memory")
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, HandshakeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(HandshakeError::Malformed);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(HandshakeError::Malformed),
    }
}
