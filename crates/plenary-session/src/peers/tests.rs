#![allow(clippy::unwrap_used)]

use super::{
    accept::MAX_HANDSHAKES,
    queue::{MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES},
    *,
};
use plenary_types::{
    ServiceId, Timestamp,
    genesis::{ClientSignatures, Member},
};
use rustls::pki_types::ServerName;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed([seed; 32])
}

/// A network whose session nodes have the keys 1 to `count`.
pub(super) fn genesis(network: &str, count: u8) -> Genesis {
    let member = |seed: u8| Member {
        name: format!("node-{seed}"),
        key: key(seed).public_key(),
    };
    let service = ServiceId {
        name: "test".into(),
        version: "1.0.0".into(),
    };
    Genesis::new(
        network,
        Timestamp(0),
        ClientSignatures::Required,
        service,
        (100..104).map(member).collect(),
        (1..=count).map(member).collect(),
        serde_json::Value::Null,
    )
    .unwrap()
}

#[derive(Debug, PartialEq)]
enum Event {
    Message(PublicKey, Bytes),
    Connected(PublicKey),
    Disconnected(PublicKey),
}
use Event::{Connected, Disconnected, Message};

impl Inbox for mpsc::UnboundedSender<Event> {
    fn receive(&self, from: PublicKey, message: Bytes) {
        let _ = self.send(Message(from, message));
    }
    fn connected(&self, peer: PublicKey) {
        let _ = self.send(Connected(peer));
    }
    fn disconnected(&self, peer: PublicKey) {
        let _ = self.send(Disconnected(peer));
    }
}

struct Node {
    peers: Peers,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Node {
    async fn event(&mut self) -> Event {
        in_time(self.events.recv()).await.unwrap()
    }

    /// Skips to the next event that is `wanted`.
    async fn until(&mut self, wanted: Event) {
        while self.event().await != wanted {}
    }

    async fn message(&mut self) -> (PublicKey, Bytes) {
        loop {
            if let Message(from, message) = self.event().await {
                return (from, message);
            }
        }
    }
}

/// A network of `count` session nodes with an address each, of which any can be started.
struct Network {
    genesis: Arc<Genesis>,
    listeners: Vec<Option<TcpListener>>,
    addresses: Vec<SocketAddr>,
}

impl Network {
    async fn new(count: u8) -> Self {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            listeners.push(Some(listener));
        }
        Self {
            genesis: Arc::new(genesis("test", count)),
            listeners,
            addresses,
        }
    }

    fn config(&self, seed: u8) -> Config {
        let others = (1..=self.addresses.len() as u8).filter(|other| *other != seed);
        Config {
            key: key(seed),
            genesis: self.genesis.clone(),
            listen: self.address(seed),
            peers: others
                .map(|other| (key(other).public_key(), self.address(other)))
                .collect(),
        }
    }

    fn address(&self, seed: u8) -> SocketAddr {
        self.addresses[seed as usize - 1]
    }

    fn listener(&mut self, seed: u8) -> TcpListener {
        self.listeners[seed as usize - 1].take().unwrap()
    }

    fn start(&mut self, seed: u8) -> Node {
        let (inbox, events) = mpsc::unbounded_channel();
        let (config, listener) = (self.config(seed), self.listener(seed));
        let address = self.address(seed);
        let peers = serve(config, listener, address, Arc::new(inbox)).unwrap();
        Node { peers, events }
    }

    /// A connection to `node` that holds the key `seed`, after the handshake.
    async fn dial(&self, seed: u8, node: u8) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address(node)).await?;
        self.handshake(stream, seed, node).await
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        seed: u8,
        node: u8,
    ) -> io::Result<TlsStream<TcpStream>> {
        let identity = tls::Identity::new(&key(seed), &self.genesis).unwrap();
        let config = identity.client(key(node).public_key()).unwrap();
        let name = ServerName::from(self.address(node).ip());
        let connector = TlsConnector::from(config);
        let mut stream = connector.connect(name, stream).await?;
        frame::await_welcome(&mut stream).await?;
        Ok(stream)
    }
}

fn public(seed: u8) -> PublicKey {
    key(seed).public_key()
}

/// Turns waiting for ever into a failure.
async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event)
        .await
        .unwrap()
}

/// Whether the other end has closed the connection: waits until it has.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut rest = Vec::new();
    let read = in_time(stream.read_to_end(&mut rest)).await;
    read.is_err() || rest.is_empty()
}

#[tokio::test]
async fn nodes_exchange_messages_both_ways_in_order_and_of_every_size() {
    let mut network = Network::new(2).await;
    let (mut one, mut two) = (network.start(1), network.start(2));
    one.until(Connected(public(2))).await;
    two.until(Connected(public(1))).await;
    assert_eq!(one.peers.connected(), [public(2)]);
    let sizes = [0, 1, 1000, 65_535, 65_536, 3, MAX_MESSAGE_BYTES, 7];
    let messages = sizes.map(|size| Bytes::from(vec![size as u8; size]));
    for message in &messages {
        assert!(one.peers.send(&public(2), message.clone()));
        assert!(two.peers.send(&public(1), message.clone()));
    }
    for message in messages {
        assert!(two.message().await == (public(1), message.clone()));
        assert!(one.message().await == (public(2), message));
    }
    let too_large = Bytes::from(vec![0; MAX_MESSAGE_BYTES + 1]);
    assert!(!one.peers.send(&public(2), too_large));
}

#[tokio::test]
async fn a_stranger_that_dials_is_refused() {
    let mut network = Network::new(2).await;
    let one = network.start(1);
    assert!(network.dial(9, 1).await.is_err());
    assert!(network.dial(2, 1).await.is_ok());
    drop(one);
}

#[tokio::test]
async fn a_stranger_at_a_peers_address_is_sent_nothing() {
    let mut network = Network::new(2).await;
    let one = network.start(1);
    let stranger = tls::Identity::new(&key(9), &network.genesis).unwrap();
    let stranger = TlsAcceptor::from(stranger.server([public(1)].into()).unwrap());
    let (stream, _) = network.listener(2).accept().await.unwrap();
    assert!(stranger.accept(stream).await.is_err());
    assert_eq!(one.peers.connected(), []);
    assert!(!one.peers.send(&public(2), Bytes::from_static(b"secret")));
}

/// That the two do not run the same was nowhere: only that a fatal alert was received.
#[tokio::test]
async fn a_peer_of_another_version_is_told_apart_and_keeps_the_others_from_nothing() {
    let mut network = Network::new(3).await;
    let (mut one, mut three) = (network.start(1), network.start(3));
    let newer = network.genesis.to_toml().unwrap();
    let newer = Genesis::from_toml(&newer.replace("1.0.0", "1.1.0")).unwrap();
    let config = Config {
        genesis: Arc::new(newer),
        ..network.config(2)
    };
    let (inbox, _events) = mpsc::unbounded_channel();
    let (listener, address) = (network.listener(2), network.address(2));
    let _two = serve(config, listener, address, Arc::new(inbox)).unwrap();

    let identity = tls::Identity::new(&key(1), &network.genesis).unwrap();
    let dialer = Dialer {
        peer: public(2),
        address,
        tls: identity.client(public(2)).unwrap(),
        queue: Arc::default(),
        inbox: Arc::new(mpsc::unbounded_channel().0),
    };
    let refused = dialer.connect().await.unwrap_err().to_string();
    assert!(refused.contains("another version"), "{refused}");
    one.until(Connected(public(3))).await;
    assert_eq!(one.peers.connected(), [public(3)]);
    assert!(one.peers.send(&public(3), Bytes::from_static(b"hello")));
    assert_eq!(three.message().await, (public(1), "hello".into()));
}

#[tokio::test]
async fn garbage_and_oversized_messages_close_their_connection_only() {
    let mut network = Network::new(3).await;
    let (mut one, mut two) = (network.start(1), network.start(2));
    two.until(Connected(public(1))).await;

    let mut garbage = TcpStream::connect(network.address(1)).await.unwrap();
    garbage.write_all(&[0xff; 100]).await.unwrap();
    let mut answer = Vec::new();
    // What TLS says to it, at most an alert, is of no interest: only that it ends.
    let _ = garbage.read_to_end(&mut answer).await;

    let mut oversized = network.dial(3, 1).await.unwrap();
    oversized
        .write_u32(MAX_MESSAGE_BYTES as u32 + 1)
        .await
        .unwrap();
    oversized.flush().await.unwrap();
    assert!(closed(&mut oversized).await);

    assert!(
        two.peers
            .send(&public(1), Bytes::from_static(b"still here"))
    );
    let message = (public(2), Bytes::from_static(b"still here"));
    assert_eq!(one.message().await, message);
    assert!(two.events.try_recv().is_err(), "nothing was disconnected");
}

#[tokio::test]
async fn a_peer_that_restarts_is_found_again() {
    let mut network = Network::new(2).await;
    let (mut one, mut two) = (network.start(1), network.start(2));
    one.until(Connected(public(2))).await;
    two.until(Connected(public(1))).await;
    two.peers.stop().await;
    one.until(Disconnected(public(2))).await;
    assert!(!one.peers.send(&public(2), Bytes::new()));

    let (inbox, events) = mpsc::unbounded_channel();
    let peers = start(network.config(2), Arc::new(inbox)).await.unwrap();
    let mut two = Node { peers, events };
    one.until(Connected(public(2))).await;
    two.until(Connected(public(1))).await;
    assert!(one.peers.send(&public(2), Bytes::from_static(b"back?")));
    assert!(two.peers.send(&public(1), Bytes::from_static(b"back!")));
    assert_eq!(two.message().await.1, "back?");
    assert_eq!(one.message().await.1, "back!");
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_its_bounded_queue_and_nothing_else() {
    let mut network = Network::new(3).await;
    let (mut one, mut three) = (network.start(1), network.start(3));
    // Node 2 says welcome, and never reads.
    let identity = tls::Identity::new(&key(2), &network.genesis).unwrap();
    let acceptor = TlsAcceptor::from(identity.server([public(1), public(3)].into()).unwrap());
    let listener = network.listener(2);
    let (one_or_three, _) = listener.accept().await.unwrap();
    let (three_or_one, _) = listener.accept().await.unwrap();
    let mut deaf = Vec::new();
    for stream in [one_or_three, three_or_one] {
        let mut stream = acceptor.accept(stream).await.unwrap();
        frame::welcome(&mut stream).await.unwrap();
        deaf.push(stream);
    }
    one.until(Connected(public(2))).await;

    // What the sockets hold by themselves is not the queue's; a gigabyte is more than they do.
    let message = Bytes::from(vec![0; MAX_MESSAGE_BYTES]);
    let mut sent = 0;
    while one.peers.send(&public(2), message.clone()) {
        sent += 1;
        assert!(sent < 256, "the queue has no bound");
        tokio::task::yield_now().await;
    }
    assert!(sent * MAX_MESSAGE_BYTES >= MAX_QUEUED_BYTES);

    while !one.peers.connected().contains(&public(3)) {
        one.until(Connected(public(3))).await;
    }
    assert!(one.peers.send(&public(3), Bytes::from_static(b"hello")));
    assert_eq!(three.message().await.1, "hello");
}

#[tokio::test]
async fn a_newer_connection_of_a_peer_replaces_the_older() {
    let mut network = Network::new(2).await;
    let mut one = network.start(1);
    let mut older = network.dial(2, 1).await.unwrap();
    let mut newer = network.dial(2, 1).await.unwrap();
    assert!(closed(&mut older).await);
    let mut batch = vec![Bytes::from_static(b"newer")];
    let written = frame::write(&mut newer, &mut batch, &mut Vec::new()).await;
    written.unwrap();
    assert_eq!(one.message().await, (public(2), "newer".into()));
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_the_peers_out() {
    let mut network = Network::new(2).await;
    let _one = network.start(1);
    let mut silent = Vec::new();
    for _ in 0..MAX_HANDSHAKES + 5 {
        silent.push(TcpStream::connect(network.address(1)).await.unwrap());
    }
    for oldest in silent.drain(..5) {
        let mut oldest = oldest;
        assert!(closed(&mut oldest).await);
    }
    // All others have their place still.
    for stream in silent {
        network.handshake(stream, 2, 1).await.unwrap();
    }
}

#[tokio::test]
async fn stopping_releases_the_address() {
    let mut network = Network::new(2).await;
    let one = network.start(1);
    let address = one.peers.address();
    let busy = start(network.config(1), Arc::new(mpsc::unbounded_channel().0)).await;
    assert!(matches!(busy, Err(PeersError::Listen { .. })));
    one.peers.stop().await;
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn keys_that_are_not_the_networks_are_not_started_with() {
    let network = Network::new(2).await;
    let inbox = Arc::new(mpsc::unbounded_channel().0);
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = |seed: u8, peers: &[u8]| Config {
        key: key(seed),
        listen,
        peers: peers.iter().map(|peer| (public(*peer), listen)).collect(),
        ..network.config(1)
    };
    for (seed, peers, stranger) in [(9, &[1][..], 9), (1, &[9], 9)] {
        let started = start(config(seed, peers), inbox.clone()).await;
        assert!(
            matches!(started, Err(PeersError::NotASessionNode(key)) if key == public(stranger))
        );
    }
    for (seed, peers, repeated) in [(1, &[1][..], 1), (1, &[2, 2], 2)] {
        let started = start(config(seed, peers), inbox.clone()).await;
        assert!(matches!(started, Err(PeersError::Repeated(key)) if key == public(repeated)));
    }
}

#[test]
fn a_queue_is_bounded_until_what_was_taken_is_written() {
    let queue = Queue::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let take = |batch: &mut Vec<Bytes>| runtime.block_on(queue.take(batch));
    let quarter = Bytes::from(vec![0; MAX_QUEUED_BYTES / 4]);
    assert!(!queue.push(Bytes::new()), "closed");
    queue.open();
    assert!((0..4).all(|_| queue.push(quarter.clone())));
    assert!(!queue.push(Bytes::from_static(b"x")), "full of bytes");

    let mut batch = Vec::new();
    take(&mut batch);
    assert_eq!(batch.len(), 4);
    assert!(!queue.push(Bytes::from_static(b"x")), "not written yet");
    assert!(queue.push(Bytes::new()));
    batch.clear();
    take(&mut batch);
    assert!((1..MAX_QUEUED_MESSAGES).all(|_| queue.push(Bytes::new())));
    assert!(!queue.push(Bytes::new()), "full of messages");

    queue.close();
    queue.open();
    assert!(
        (0..4).all(|_| queue.push(quarter.clone())),
        "closing empties it"
    );
}

/// `cargo test -p plenary-session round_trip -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_the_round_trip_of_a_kilobyte() {
    let mut network = Network::new(2).await;
    let (mut one, mut two) = (network.start(1), network.start(2));
    one.until(Connected(public(2))).await;
    two.until(Connected(public(1))).await;
    let echo = tokio::spawn(async move {
        while let Some(event) = two.events.recv().await {
            if let Message(from, message) = event {
                while !two.peers.send(&from, message.clone()) {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    let (peer, message) = (public(2), Bytes::from(vec![7; 1000]));
    let mut times = Vec::new();
    for _ in 0..20_000 {
        let begin = Instant::now();
        assert!(one.peers.send(&peer, message.clone()));
        one.message().await;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("round trip p50 {:?} p99 {:?}", times[10_000], times[19_800]);
    let begin = Instant::now();
    for _ in 0..200_000 {
        while !one.peers.send(&peer, message.clone()) {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..200_000 {
        one.message().await;
    }
    let elapsed = begin.elapsed();
    println!("echoed {:.0} messages/s", 200_000.0 / elapsed.as_secs_f64());
    echo.abort();
}
