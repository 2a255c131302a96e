//! The validators' network over TCP: every pair connected, encrypted, and authenticated by the
//! validators' keys. An address is only where to look; who answers must prove its key.
//!
//! Of two validators, the one with the smaller key dials. If both did, each would refuse the other
//! while it is dialling itself, and for a while after; a validator that starts again met its peers
//! only after a second of that.

use crate::{
    convert,
    stack::{CHANNELS, max_message_size},
};
use commonware_cryptography::{
    ChaCha20Poly1305, Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use commonware_p2p::{
    Address, AddressableManager as _, Ingress,
    authenticated::lookup::{self, Oracle},
};
use commonware_runtime::{
    Clock, Handle, IoBufs, Metrics, Network, Quota, Resolver, Sink, Spawner, Stream,
};
use commonware_stream::{
    Receiver, Sender, Upgrader,
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, hostname, ordered::Map};
use parking_lot::Mutex;
use plenary_types::Genesis;
use rand_core::CryptoRng;
use std::{
    collections::BTreeMap, future::Future, net::SocketAddr, num::NonZeroUsize, sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// How far the clocks of two validators may be apart for them to connect.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);
/// How often one peer is dialled, of those that are not connected.
const DIAL: Duration = Duration::from_millis(100);
/// How long dialling one peer may take, handshake included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// The least time between two attempts to connect with one peer. Up to half of it again passes
/// before it is dialled.
const COOLDOWN: Duration = Duration::from_millis(200);
/// How often a connection is probed where nothing else is sent.
const PING: Duration = Duration::from_secs(10);
/// How long a peer that sent something invalid is cut off.
const BLOCK: Duration = Duration::from_secs(10 * 60);

/// Which peers are connected, and news of each that becomes so.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<Mutex<BTreeMap<PublicKey, usize>>>,
    met: mpsc::UnboundedSender<PublicKey>,
}

impl Connections {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<PublicKey>) {
        let (met, news) = mpsc::unbounded_channel();
        let open = Arc::default();
        (Self { open, met }, news)
    }

    /// The peers that are connected now.
    pub(crate) fn peers(&self) -> Vec<plenary_types::PublicKey> {
        self.open.lock().keys().map(convert::public_key).collect()
    }

    fn opened(&self, peer: PublicKey) -> Arc<Connection> {
        *self.open.lock().entry(peer.clone()).or_default() += 1;
        // Where nobody listens any more the engine is ending.
        let _ = self.met.send(peer.clone());
        Arc::new(Connection {
            connections: self.clone(),
            peer,
        })
    }
}

/// Counts as open as long as either direction lives.
struct Connection {
    connections: Connections,
    peer: PublicKey,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// A handshake that tells [`Connections`] of its successes.
#[derive(Clone)]
struct Watched<U> {
    handshake: U,
    connections: Connections,
}

/// One direction of a connection.
struct Half<T> {
    stream: T,
    _connection: Arc<Connection>,
}

impl<U: Upgrader<PublicKey = PublicKey>> Upgrader for Watched<U> {
    const MAX_SIZE: u32 = U::MAX_SIZE;
    type PublicKey = PublicKey;
    type Error = U::Error;
    type Sender<I: Stream, O: Sink> = Half<U::Sender<I, O>>;
    type Receiver<I: Stream, O: Sink> = Half<U::Receiver<I, O>>;

    fn public_key(&self) -> PublicKey {
        self.handshake.public_key()
    }

    async fn dial<C, I, O>(
        self,
        context: C,
        namespace: &[u8],
        max_message_size: u32,
        peer: PublicKey,
        stream: I,
        sink: O,
    ) -> Result<(Self::Sender<I, O>, Self::Receiver<I, O>), U::Error>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
    {
        let dialled = peer.clone();
        let handshake = self.handshake;
        let streams = handshake.dial(context, namespace, max_message_size, peer, stream, sink);
        let (sender, receiver) = streams.await?;
        let connection = self.connections.opened(dialled);
        Ok(halves(sender, receiver, connection))
    }

    async fn listen<C, I, O, B, F>(
        self,
        context: C,
        namespace: &[u8],
        max_message_size: u32,
        bouncer: B,
        stream: I,
        sink: O,
    ) -> Result<(PublicKey, Self::Sender<I, O>, Self::Receiver<I, O>), U::Error>
    where
        C: Clock + CryptoRng,
        I: Stream,
        O: Sink,
        B: FnOnce(PublicKey) -> F + Send,
        F: Future<Output = bool> + Send,
    {
        let handshake = self.handshake;
        let streams = handshake.listen(context, namespace, max_message_size, bouncer, stream, sink);
        let (peer, sender, receiver) = streams.await?;
        let connection = self.connections.opened(peer.clone());
        let (sender, receiver) = halves(sender, receiver, connection);
        Ok((peer, sender, receiver))
    }
}

fn halves<S, R>(sender: S, receiver: R, connection: Arc<Connection>) -> (Half<S>, Half<R>) {
    let sender = Half {
        stream: sender,
        _connection: connection.clone(),
    };
    let receiver = Half {
        stream: receiver,
        _connection: connection,
    };
    (sender, receiver)
}

impl<S: Sender> Sender for Half<S> {
    type Error = S::Error;

    fn send(
        &mut self,
        message: impl Into<IoBufs> + Send,
    ) -> impl Future<Output = Result<(), S::Error>> + Send {
        self.stream.send(message)
    }

    fn send_many<I>(&mut self, messages: I) -> impl Future<Output = Result<(), S::Error>> + Send
    where
        I: IntoIterator + Send,
        I::Item: Into<IoBufs> + Send,
        I::IntoIter: Send,
    {
        self.stream.send_many(messages)
    }
}

impl<R: Receiver> Receiver for Half<R> {
    type Error = R::Error;

    fn recv(&mut self) -> impl Future<Output = Result<IoBufs, R::Error>> + Send {
        self.stream.recv()
    }
}

type ChannelPair<E> = (lookup::Sender<PublicKey, E>, lookup::Receiver<PublicKey>);

/// A running network.
pub(crate) struct Net<E: Clock> {
    /// Knows the peers, and cuts off those that misbehave.
    pub(crate) oracle: Oracle<PublicKey>,
    /// In the order of [`CHANNELS`].
    pub(crate) channels: [ChannelPair<E>; 6],
    pub(crate) task: Handle<()>,
}

/// Where the peers are dialled that `me` dials. The others get a name for an address, which the
/// network does not dial: its own way of saying so would also keep their blocks from the buffer.
fn reach(me: &PublicKey, addresses: Map<PublicKey, Address>) -> Map<PublicKey, Address> {
    let addresses = addresses.into_iter().map(|(peer, address)| {
        let egress = address.egress();
        let address = match peer < *me {
            true => Address::Asymmetric {
                ingress: Ingress::Dns {
                    host: hostname!("dials.invalid"),
                    port: egress.port(),
                },
                egress,
            },
            false => address,
        };
        (peer, address)
    });
    Map::from_iter_dedup(addresses)
}

/// Listens, and connects to every peer.
pub(crate) fn start<E>(
    context: E,
    key: PrivateKey,
    genesis: &Genesis,
    listen: SocketAddr,
    addresses: Map<PublicKey, Address>,
    connections: Connections,
) -> Net<E>
where
    E: Spawner + Clock + CryptoRng + Network + Resolver + Metrics,
{
    let validators = genesis.validators.len();
    let addresses = reach(&key.public_key(), addresses);
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: key,
            synchrony_bound: CLOCK_TOLERANCE,
            max_handshake_age: 2 * CLOCK_TOLERANCE,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let mut config = lookup::Config::local(
        Watched {
            handshake,
            connections,
        },
        &plenary_types::certificate::namespace(&genesis.hash()),
        listen,
        NonZeroUsize::new(validators).unwrap_or(NonZeroUsize::MIN),
        max_message_size(u32::try_from(validators).unwrap_or(u32::MAX)),
        NZUsize!(1024),
    );
    // A validator is known by its key, so any address will do; and all may share one.
    config.bypass_ip_check = true;
    config.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(512));
    config.allowed_handshake_rate_per_subnet = Quota::per_second(NZU32!(512));
    config.peer_connection_cooldown = COOLDOWN;
    config.dial_frequency = DIAL;
    config.dial_timeout = DIAL_TIMEOUT;
    // See `reach`.
    config.allow_dns = false;
    config.ping_frequency = PING;
    config.block_duration = BLOCK;
    // The set of validators never changes; queues are proportional to this.
    config.tracked_peer_sets = NZUsize!(1);
    let (mut network, mut oracle) = lookup::Network::new(context, config);
    oracle.track(0, addresses);
    let mut channel = 0;
    let channels = CHANNELS.map(|quota| {
        let registered = network.register(channel, quota);
        channel += 1;
        registered
    });
    let task = network.start();
    Net {
        oracle,
        channels,
        task,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn of_two_validators_one_dials() {
        let keys = (0..4).map(|seed| PrivateKey::from_seed(seed).public_key());
        let addresses = (1000u16..).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let addresses = keys.zip(addresses.map(Address::from));
        let addresses = Map::from_iter_dedup(addresses);
        let dials = |me: &PublicKey, peer: &PublicKey| {
            let reached = reach(me, addresses.clone());
            let address = reached.get_value(peer).unwrap();
            address.ingress().is_valid(true, false)
        };
        for one in addresses.iter() {
            for other in addresses.iter().filter(|other| *other != one) {
                assert_ne!(dials(one, other), dials(other, one));
            }
        }
    }
}
