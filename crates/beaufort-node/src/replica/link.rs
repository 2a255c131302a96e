//! One connection or attempt at one, with the handshake that proves who is at its other end.

use super::{channel::Channel, identity::Identity};
use crate::signaling::message::Signal;
use beaufort::{
    MemberId,
    handshake::{self, Handshake, HandshakeError, Proving},
};
use governor::{DefaultDirectRateLimiter, Quota};
use std::{collections::BTreeSet, num::NonZeroU32, time::Instant};

/// How signals reach a member.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Through the server of this number, which knows the member by this name.
    Server(usize, String),
    /// Through a neighbour of both.
    Neighbour(MemberId),
}

/// A connection. Who is at its other end is a claim until it is proven.
pub(super) struct Link {
    /// The name of this attempt, the same at both ends.
    pub(super) session: String,
    pub(super) channel: Channel,
    pub(super) member: MemberId,
    pub(super) route: Route,
    /// Whether this end made the offer.
    pub(super) begun: bool,
    pub(super) since: Instant,
    pub(super) is_proven: bool,
    /// Whom the other end says to be connected to.
    pub(super) neighbours: BTreeSet<MemberId>,
    /// What the other end said beside the agreement before it was proven, the latest only.
    pub(super) early: Option<String>,
    /// How much it may say.
    pub(super) rate: DefaultDirectRateLimiter,
    shake: Shake,
}

enum Shake {
    None,
    Greeting(Handshake),
    Proving(Proving),
}

impl Link {
    pub(super) fn new(
        session: String,
        channel: Channel,
        member: MemberId,
        route: Route,
        begun: bool,
    ) -> Self {
        // As at a signaling server.
        let quota = Quota::per_second(NonZeroU32::MIN.saturating_add(19));
        let quota = quota.allow_burst(NonZeroU32::MIN.saturating_add(399));
        Self {
            session,
            channel,
            member,
            route,
            begun,
            since: Instant::now(),
            is_proven: false,
            neighbours: BTreeSet::new(),
            early: None,
            rate: DefaultDirectRateLimiter::direct(quota),
            shake: Shake::None,
        }
    }

    /// Says hello.
    pub(super) fn greet(&mut self, identity: &Identity, nonce: [u8; 32]) {
        let (local, remote) = self.channel.binding();
        let binding = handshake::fingerprints(local, remote);
        let (state, hello) = Handshake::begin(&identity.party, nonce, &binding);
        self.shake = Shake::Greeting(state);
        self.channel.write(hello);
    }

    /// Takes the handshake's next message; returns who the other end is once that is proven.
    pub(super) fn shake(
        &mut self,
        identity: &Identity,
        bytes: &[u8],
    ) -> Result<Option<MemberId>, HandshakeError> {
        match std::mem::replace(&mut self.shake, Shake::None) {
            Shake::Greeting(state) => {
                let (state, proof) = state.prove(&identity.party, bytes)?;
                self.shake = Shake::Proving(state);
                self.channel.write(proof);
                Ok(None)
            }
            Shake::Proving(state) => {
                self.member = state.check(&identity.party, bytes)?;
                self.is_proven = true;
                Ok(Some(self.member))
            }
            Shake::None => Err(HandshakeError::Malformed),
        }
    }

    /// Takes a signal of its session; returns an answer to be sent.
    pub(super) fn signal(&mut self, signal: &Signal) -> Result<Option<Signal>, String> {
        use crate::signaling::message::Kind;
        match signal {
            Signal::Candidate { candidate, .. } => self.channel.take_candidate(candidate),
            Signal::Description { kind, sdp, .. } => match kind {
                Kind::Answer => self.channel.take_answer(sdp)?,
                Kind::Offer => {
                    let answer = self.channel.take_offer(sdp)?;
                    return Ok(answer.map(|sdp| Signal::Description {
                        session: self.session.clone(),
                        kind: Kind::Answer,
                        sdp,
                    }));
                }
            },
        }
        Ok(None)
    }
}
