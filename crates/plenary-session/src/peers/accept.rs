//! The incoming connections: at most one a peer, and a bounded number of which nobody knows yet
//! whose they are.

use super::{HANDSHAKE_TIMEOUT, Inbox, Tasks, dial::tune, frame, tls};
use plenary_types::PublicKey;
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Most connections in the middle of a handshake. A new one replaces the oldest: connections that
/// never say who they are cannot keep the peers out.
pub(super) const MAX_HANDSHAKES: usize = 64;

/// How much is read from a socket at a time; by itself rustls reads 4 KiB.
const READ_BYTES: usize = 64 * 1024;

/// How long to leave the listener alone when it fails: mostly for want of file descriptors.
const ACCEPT_DELAY: Duration = Duration::from_millis(100);

type Stream = TlsStream<BufReader<TcpStream>>;

/// Takes connections, and the messages that come by them.
pub(super) struct Acceptor {
    listener: TcpListener,
    tls: TlsAcceptor,
    inbox: Arc<dyn Inbox>,
    tasks: Tasks,
    handshakes: JoinSet<Option<(PublicKey, Stream)>>,
    oldest: VecDeque<AbortHandle>,
    readers: HashMap<PublicKey, JoinHandle<Option<()>>>,
}

impl Acceptor {
    pub(super) fn new(
        listener: TcpListener,
        tls: TlsAcceptor,
        inbox: Arc<dyn Inbox>,
        tasks: Tasks,
    ) -> Self {
        Self {
            listener,
            tls,
            inbox,
            tasks,
            handshakes: JoinSet::new(),
            oldest: VecDeque::new(),
            readers: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => self.begin(stream, address),
                    Err(error) => {
                        tracing::warn!("cannot accept connections: {error}");
                        sleep(ACCEPT_DELAY).await;
                    }
                },
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some((peer, stream))) = done {
                        self.admit(peer, stream);
                    }
                }
            }
        }
    }

    /// Lets a connection show whose it is.
    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        self.oldest.retain(|handshake| !handshake.is_finished());
        if self.oldest.len() >= MAX_HANDSHAKES
            && let Some(handshake) = self.oldest.pop_front()
        {
            handshake.abort();
        }
        let tls = self.tls.clone();
        let handshake = async move {
            match timeout(HANDSHAKE_TIMEOUT, accept(tls, stream)).await {
                Ok(Ok(admitted)) => Some(admitted),
                Ok(Err(error)) => {
                    tracing::debug!(%address, "refused a connection: {error}");
                    None
                }
                Err(_) => None,
            }
        };
        let handshake = self.tasks.track(handshake);
        let handshake = async move { handshake.await.flatten() };
        self.oldest.push_back(self.handshakes.spawn(handshake));
    }

    /// Reads from a peer's new connection, once nothing more comes from its older one.
    fn admit(&mut self, peer: PublicKey, mut stream: Stream) {
        let older = self.readers.remove(&peer);
        let inbox = self.inbox.clone();
        let reader = async move {
            if let Some(older) = older {
                older.abort();
                // It ends by being aborted, and how it ended otherwise is no longer of interest.
                let _ = older.await;
            }
            let end = read(&mut stream, peer, &*inbox).await;
            tracing::debug!(%peer, "an accepted connection is gone: {end}");
        };
        self.readers.insert(peer, self.tasks.spawn(reader));
    }
}

async fn accept(tls: TlsAcceptor, stream: TcpStream) -> io::Result<(PublicKey, Stream)> {
    tune(&stream)?;
    let stream = BufReader::with_capacity(READ_BYTES, stream);
    let stream = tls.accept(stream).await?;
    let peer = tls::peer(stream.get_ref().1)
        .ok_or_else(|| io::Error::other("the peer did not name its network"))?;
    Ok((peer, stream))
}

/// Hands over the messages of a connection until it ends, and says why it did.
async fn read(stream: &mut Stream, peer: PublicKey, inbox: &dyn Inbox) -> io::Error {
    if let Err(error) = frame::welcome(stream).await {
        return error;
    }
    loop {
        match frame::read(stream).await {
            Ok(message) => inbox.receive(peer, message),
            Err(error) => return error,
        }
    }
}
