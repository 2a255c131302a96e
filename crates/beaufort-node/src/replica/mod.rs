//! A replica as a program: the same protocol, signaling and channels as a page, so that pages and programs form one
//! network. What it keeps lies in a file, on the disk before anything that depends on it is sent.

mod channel;
mod identity;
mod link;
mod peers;
mod server;
mod storage;

use self::{
    identity::Identity,
    peers::{News, Peers},
    server::{Heard, Server},
    storage::Storage,
};
use crate::{
    keys::{self, KeyError},
    members::{self, ListError},
};
use beaufort::{
    Access, Entry, Millis, Output, OwnerSigned, Replica, SetError, Settings, StartError, bls::Bls,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};
use tokio::{net::UdpSocket, sync::mpsc, time::sleep_until};

/// How long a replica stays after what it set is decided, so that its neighbours hear of it.
const FAREWELL: Duration = Duration::from_secs(1);
/// The longest datagram that is read, in bytes; WebRTC sends shorter ones.
const DATAGRAM: usize = 2048;

/// Which replica, and what it does.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The members' public keys, one a line, in whatever order
    #[arg(long, value_name = "FILE")]
    members: PathBuf,
    /// This member's private key, as `keygen` wrote it
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// A signaling server, such as ws://127.0.0.1:9443/; several may be given
    #[arg(long, value_name = "URL", required = true)]
    signaling: Vec<String>,
    /// The directory for what the replica keeps; made where there is none
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// This machine's address, at which the other members reach it; without it, the one that leads to the network
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Follow the rules `owner-signed`: only a key's owner may change its value
    #[arg(long)]
    owner_signed: bool,
    /// Set a value, and end once it is decided; fails where another value is
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Option<(String, String)>,
    /// What to log: a level, or levels by module
    #[arg(
        long,
        env = "BEAUFORT_LOG",
        value_name = "FILTER",
        default_value = "warn"
    )]
    pub(crate) log: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Why a replica does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    /// There is no list of members.
    #[error(transparent)]
    Members(#[from] ListError),
    /// There is no private key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The core does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What was kept cannot be read, or nothing can be kept.
    #[error("the store in {}: {source}; is another replica running there?", path.display())]
    Storage {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: redb::Error,
    },
    /// There is no socket.
    #[error("cannot use UDP at this machine's address: {0}; give another one with --address")]
    Socket(std::io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The value is not proposed.
    #[error("--set: {0}")]
    Set(#[from] SetError),
    /// Another value was decided.
    #[error("another value was decided for {key}: {value}; look at it, and set again")]
    Lost {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
}

/// Runs a replica until it is asked to stop, or what it was to set is decided.
pub(crate) async fn run(args: &Args, stop: impl Future<Output = ()>) -> Result<(), ReplicaError> {
    // For servers behind TLS. Where there is a provider already, that one does.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut node = Node::start(args).await?;
    if let Some((key, value)) = &args.set {
        let now = node.now();
        node.replica
            .set(now, key.as_bytes(), value.clone().into_bytes())?;
    }
    let ended = tokio::select! {
        ended = node.work() => ended,
        () = stop => Ok(()),
    };
    node.peers.close();
    node.flush().await;
    ended
}

struct Node {
    replica: Replica<Bls>,
    peers: Peers,
    storage: Storage,
    socket: UdpSocket,
    heard: mpsc::Receiver<(usize, Heard)>,
    /// The key that is to be set, if any.
    key: Option<String>,
    settled: Option<(Instant, Result<(), ReplicaError>)>,
    /// The replica's clock at the program's start.
    origin: (Instant, Millis),
    data: PathBuf,
}

impl Node {
    async fn start(args: &Args) -> Result<Self, ReplicaError> {
        let identity = Identity::new(members::read(&args.members)?, keys::read(&args.key_file)?)
            .ok_or(StartError::NotAMember)?;
        let failed = |source| ReplicaError::Storage {
            path: args.data.clone(),
            source,
        };
        let storage = Storage::open(&args.data).map_err(failed)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(ReplicaError::Random)?;
        let access: Box<dyn Access> = if args.owner_signed {
            Box::new(OwnerSigned(Bls))
        } else {
            Box::new(|_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true)
        };
        let replica = Replica::new(
            Bls,
            members::read(&args.members)?,
            keys::read(&args.key_file)?,
            Settings::default(),
            access,
            seed,
            storage.all().map_err(failed)?,
        )?;
        let socket = bind(args.address).await.map_err(ReplicaError::Socket)?;
        let address = socket.local_addr().map_err(ReplicaError::Socket)?;
        let (sender, heard) = mpsc::channel(server::QUEUE);
        let room = hex::encode(identity.party.members.network());
        let key = replica
            .members()
            .key(identity.party.me)
            .map(ToString::to_string)
            .unwrap_or_default();
        let enter = |(number, url): (usize, &String)| {
            Server::enter(
                number,
                url.clone(),
                room.clone(),
                key.clone(),
                sender.clone(),
            )
        };
        let servers = args.signaling.iter().enumerate().map(enter).collect();
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            replica,
            peers: Peers::new(identity, address, servers),
            storage,
            socket,
            heard,
            key: args.set.as_ref().map(|(key, _)| key.clone()),
            settled: None,
            origin: (Instant::now(), since.as_millis() as Millis),
            data: args.data.clone(),
        })
    }

    /// The replica's clock, which only goes forward.
    fn now(&self) -> Millis {
        self.origin.1 + self.origin.0.elapsed().as_millis() as Millis
    }

    /// Takes what comes, until what was to be set is decided.
    async fn work(&mut self) -> Result<(), ReplicaError> {
        loop {
            self.step()?;
            self.flush().await;
            if let Some((at, _)) = &self.settled
                && at.elapsed() >= FAREWELL
            {
                return self.settled.take().map_or(Ok(()), |(_, result)| result);
            }
            self.wait().await;
        }
    }

    /// Tells the replica what happened, and does what it says.
    fn step(&mut self) -> Result<(), ReplicaError> {
        let now = self.now();
        for news in self.peers.take_news() {
            match news {
                News::Connected(member) => self.replica.connected(now, member),
                News::Disconnected(member) => self.replica.disconnected(now, member),
                News::Bytes(member, bytes) => self.replica.receive(now, member, &bytes),
            }
        }
        let outputs = self.replica.poll(now);
        let records = outputs.iter().filter_map(|output| match output {
            Output::Persist { key, record } => Some((key.as_slice(), record.as_slice())),
            _ => None,
        });
        let mut records = records.peekable();
        if records.peek().is_some() {
            self.storage
                .put(records)
                .map_err(|source| ReplicaError::Storage {
                    path: self.data.clone(),
                    source,
                })?;
        }
        outputs
            .into_iter()
            .for_each(|output| self.carry_out(output));
        Ok(())
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist { .. } => {}
            Output::Send { to, bytes } => self.peers.send(to, bytes),
            Output::Connect(member) => self.peers.want(member),
            Output::Disconnect(member) => self.peers.unwant(member),
            Output::Commit { key, entry } => {
                println!("view {}: {} = {}", entry.view, text(&key), value(&entry));
            }
            Output::Evidence(evidence) => {
                println!(
                    "member {} voted twice for {}",
                    evidence.culprit.0,
                    text(&evidence.key)
                );
            }
            // There is no other proposal than the one that was asked for.
            Output::Settled { won, entry, .. } => {
                let key = self.key.take().unwrap_or_default();
                let lost = ReplicaError::Lost {
                    key,
                    value: value(&entry),
                };
                self.settled = Some((Instant::now(), if won { Ok(()) } else { Err(lost) }));
            }
        }
    }

    /// Sends what the links have to send. A datagram that the system does not take is lost, as any may be.
    async fn flush(&mut self) {
        self.peers.advance();
        for (to, bytes) in self.peers.out.drain(..) {
            let _ = self.socket.send_to(&bytes, to).await;
        }
    }

    /// Waits until something happens or is due.
    async fn wait(&mut self) {
        let now = self.now();
        let replica = self
            .replica
            .next_wake()
            .map(|at| Instant::now() + Duration::from_millis(at.saturating_sub(now)));
        let settled = self.settled.as_ref().map(|(at, _)| *at + FAREWELL);
        let wakes = [replica, settled, self.peers.next_wake()];
        let wake = wakes.into_iter().flatten().min();
        let wake = wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        let mut buffer = [0; DATAGRAM];
        tokio::select! {
            received = self.socket.recv_from(&mut buffer) => {
                let mut received = received;
                // All that has come is taken before the replica is asked: it verifies it together.
                while let Ok((length, source)) = received {
                    self.peers.datagram(source, buffer.get(..length).unwrap_or_default());
                    received = self.socket.try_recv_from(&mut buffer);
                }
            }
            Some((number, heard)) = self.heard.recv() => self.peers.heard(number, heard),
            () = sleep_until(wake.into()) => {}
        }
    }
}

/// Bytes as text that stays on its line and does nothing to a terminal.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

fn value(entry: &Entry) -> String {
    entry.value.as_deref().map_or("(deleted)".to_owned(), text)
}

/// A socket at this machine's address, or at the one that leads to the network.
async fn bind(address: Option<IpAddr>) -> std::io::Result<UdpSocket> {
    let address = match address {
        Some(address) => address,
        None => {
            // Nothing is sent: the system only chooses the address that it would send from, to one that is for
            // documentation (RFC 5737).
            let probe = UdpSocket::bind("0.0.0.0:0").await?;
            probe.connect("198.51.100.1:9").await?;
            probe.local_addr()?.ip()
        }
    };
    UdpSocket::bind(SocketAddr::new(address, 0)).await
}
