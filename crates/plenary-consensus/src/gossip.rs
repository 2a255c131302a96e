//! What validators tell each other beside the engine's own messages: the application's
//! broadcasts, and how far they are.
//!
//! A broadcast goes to the current leader first, since the leader is who needs it. Messages that
//! come within a short while of each other travel together, so that load makes messages larger
//! and not more.
//!
//! The engine sends a certificate once. A validator that missed it, and whose peers are at rest,
//! would stay behind. So a validator says how far it is (a *tip*: the last view it knows to be
//! final) when it meets a peer, when things become quiet, and while it waits for something. Who
//! is ahead of the sender answers with the certificate of its own tip, on the channel where the
//! engine takes certificates; the engine verifies it and fetches what is missing. Who is behind
//! answers with its own tip.
//!
//! The engine skips leaders it has not heard of lately. After a start that is everybody, so a
//! validator also gives a sign of life to each peer it meets: a vote that nothing can come of.

use crate::{
    Application, MAX_BROADCAST_BYTES,
    clock::Gate,
    convert::{self, EngineScheme},
    observer::Observations,
};
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, Decode as _, Encode as _, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write,
};
use commonware_consensus::{
    Viewable as _,
    simplex::types::{Certificate, Nullify, Vote},
};
use commonware_cryptography::{ed25519::PublicKey, sha256::Digest};
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::debug;

/// Most broadcasts in one message.
const MAX_BATCH: usize = 1024;
/// Bytes of broadcasts after which a message is full.
const BATCH_BYTES: usize = 512 * 1024;
/// Most broadcasts that wait to be sent; what comes on top is dropped.
const QUEUE: usize = 16 * 1024;
/// The least time between two messages of broadcasts, except where one is full.
const GATHER: Duration = Duration::from_millis(2);
/// How long a connection is left to settle before a tip is sent on it. By then the other peers are
/// met as well: who starts to fetch asks any of them, and waits long for one that is not connected.
const SETTLE: Duration = Duration::from_millis(150);
/// How long nothing becomes final before a tip is sent.
const QUIET: Duration = Duration::from_secs(1);

/// The largest message on the channel, in bytes: the last broadcast may exceed the batch, and
/// each has a length.
pub(crate) const MAX_MESSAGE_BYTES: usize = BATCH_BYTES + MAX_BROADCAST_BYTES + 5 * MAX_BATCH + 16;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// Broadcasts of the sender's application.
    Broadcasts(Vec<Bytes>),
    /// The last view the sender knows to be final.
    Tip(u64),
}

impl Write for Message {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Broadcasts(broadcasts) => {
                0u8.write(buf);
                broadcasts.write(buf);
            }
            Self::Tip(view) => {
                1u8.write(buf);
                view.write(buf);
            }
        }
    }
}

impl EncodeSize for Message {
    fn encode_size(&self) -> usize {
        1 + match self {
            Self::Broadcasts(broadcasts) => broadcasts.encode_size(),
            Self::Tip(view) => view.encode_size(),
        }
    }
}

impl Read for Message {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        match u8::read(buf)? {
            0 => {
                let count = RangeCfg::from(0..=MAX_BATCH);
                let size = RangeCfg::from(0..=MAX_BROADCAST_BYTES);
                Ok(Self::Broadcasts(Vec::read_cfg(buf, &(count, size))?))
            }
            1 => Ok(Self::Tip(u64::read(buf)?)),
            tag => Err(Error::InvalidEnum(tag)),
        }
    }
}

/// Hands broadcasts to the engine's threads.
#[derive(Debug, Clone)]
pub(crate) struct Broadcaster(mpsc::Sender<Bytes>);

impl Broadcaster {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Queues a message, or drops it where it is too large or the queue is full.
    pub(crate) fn broadcast(&self, message: Bytes) {
        if message.len() > MAX_BROADCAST_BYTES || self.0.try_send(message).is_err() {
            debug!("a broadcast was dropped");
        }
    }
}

/// A vote to give up the view before the first, which is the genesis' and final: it is well
/// formed, and counts for nothing but the voter's being there.
pub(crate) fn hello(scheme: &EngineScheme) -> Bytes {
    let vote = Nullify::sign::<Digest>(scheme, convert::engine_round(0));
    let vote = vote.expect("the scheme has a validator's key");
    Vote::<EngineScheme, Digest>::Nullify(vote).encode()
}

/// What both directions need.
#[derive(Clone)]
pub(crate) struct Gossip {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) observations: Arc<Observations>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) me: PublicKey,
    pub(crate) peers: Vec<PublicKey>,
}

impl Gossip {
    /// Sends queued broadcasts until the queue is closed.
    pub(crate) async fn send_broadcasts<E: Clock>(
        self,
        clock: E,
        mut queue: mpsc::Receiver<Bytes>,
        mut network: impl Sender<PublicKey = PublicKey>,
    ) {
        while let Some(first) = queue.recv().await {
            let mut size = first.len();
            let mut batch = vec![first];
            while size < BATCH_BYTES && batch.len() < MAX_BATCH {
                let Ok(next) = queue.try_recv() else { break };
                size += next.len();
                batch.push(next);
            }
            let full = size >= BATCH_BYTES || batch.len() == MAX_BATCH;
            let message = Message::Broadcasts(batch).encode();
            let leader = self.observations.leader();
            let leader = leader.filter(|leader| *leader != self.me);
            let others = self
                .peers
                .iter()
                .filter(|peer| Some(*peer) != leader.as_ref());
            let others = others.cloned().collect();
            if let Some(leader) = leader {
                network.send(Recipients::One(leader), message.clone(), true);
            }
            network.send(Recipients::Some(others), message, false);
            if !full {
                clock.sleep(GATHER).await;
            }
        }
    }

    /// Sends a tip to every peer once nothing has become final for a while, and again while the
    /// engine waits for something.
    pub(crate) async fn announce<E: Clock>(
        self,
        clock: E,
        mut network: impl Sender<PublicKey = PublicKey>,
    ) {
        let mut finalized = self.observations.follow();
        loop {
            tokio::select! {
                // In a fixed order, so that a simulated run can be repeated.
                biased;
                _ = finalized.changed() => {}
                () = self.gate.opened() => {}
            }
            clock.sleep(QUIET).await;
            if finalized.has_changed() {
                continue;
            }
            let message = Message::Tip(self.observations.finalized()).encode();
            network.send(Recipients::Some(self.peers.clone()), message, false);
        }
    }

    /// Sends a sign of life and a tip to every peer that is met.
    pub(crate) async fn greet<E: Clock>(
        self,
        clock: E,
        mut met: mpsc::UnboundedReceiver<PublicKey>,
        hello: Bytes,
        mut votes: impl Sender<PublicKey = PublicKey>,
        mut network: impl Sender<PublicKey = PublicKey>,
    ) {
        while let Some(peer) = met.recv().await {
            clock.sleep(SETTLE).await;
            let mut peers = BTreeSet::from([peer]);
            while let Ok(peer) = met.try_recv() {
                peers.insert(peer);
            }
            let message = Message::Tip(self.observations.finalized()).encode();
            let peers: Vec<_> = peers.into_iter().collect();
            votes.send(Recipients::Some(peers.clone()), hello.clone(), true);
            network.send(Recipients::Some(peers), message, false);
        }
    }

    /// Takes what peers send until the network ends.
    pub(crate) async fn receive(
        self,
        mut network: (
            impl Sender<PublicKey = PublicKey>,
            impl Receiver<PublicKey = PublicKey>,
        ),
        mut certificates: impl Sender<PublicKey = PublicKey>,
    ) {
        while let Ok((from, bytes)) = network.1.recv().await {
            match Message::decode_cfg(bytes, &()) {
                Ok(Message::Broadcasts(broadcasts)) => {
                    let from = convert::public_key(&from);
                    for broadcast in broadcasts {
                        self.application.receive(from, broadcast);
                    }
                }
                Ok(Message::Tip(theirs)) => {
                    let latest = self.observations.latest();
                    let ours = latest.as_ref().map_or(0, |latest| latest.view().get());
                    if let Some(latest) = latest.filter(|_| ours > theirs) {
                        let certificate = Certificate::Finalization(latest).encode();
                        certificates.send(Recipients::One(from), certificate, false);
                    } else if ours < theirs {
                        let message = Message::Tip(ours).encode();
                        network.0.send(Recipients::One(from), message, false);
                    }
                }
                Err(error) => debug!(%from, %error, "a malformed message was dropped"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_survive_the_network_and_nothing_else_is_one() {
        let broadcasts = vec![Bytes::new(), Bytes::from_static(b"text")];
        for message in [Message::Broadcasts(broadcasts), Message::Tip(u64::MAX)] {
            let encoded = message.encode();
            assert_eq!(Message::decode_cfg(encoded.clone(), &()).unwrap(), message);
            Message::decode_cfg(encoded.slice(..encoded.len() - 1), &()).unwrap_err();
            let longer = [encoded.as_ref(), &[0]].concat();
            Message::decode_cfg(Bytes::from(longer), &()).unwrap_err();
        }
        Message::decode_cfg(Bytes::from_static(&[2]), &()).unwrap_err();
        let many = Message::Broadcasts(vec![Bytes::new(); MAX_BATCH + 1]);
        Message::decode_cfg(many.encode(), &()).unwrap_err();
        let large = Message::Broadcasts(vec![Bytes::from(vec![0; MAX_BROADCAST_BYTES + 1])]);
        Message::decode_cfg(large.encode(), &()).unwrap_err();
    }

    #[test]
    fn the_largest_batch_fits_into_a_message() {
        let mut batch = vec![Bytes::from(vec![0; BATCH_BYTES / (MAX_BATCH - 2)]); MAX_BATCH - 1];
        batch.push(Bytes::from(vec![0; MAX_BROADCAST_BYTES]));
        assert!(Message::Broadcasts(batch).encode().len() <= MAX_MESSAGE_BYTES);
    }
}
