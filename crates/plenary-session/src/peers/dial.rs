//! The outgoing connection to one peer: dialed again whenever it is gone, written to in batches.
//!
//! Nothing comes back on it but the welcome at its beginning, so whatever can be read later is its
//! end. That the peer's machine is gone is TCP's to notice: by keepalive at rest, by the user timeout
//! (RFC 5482) while data is unacknowledged or the peer does not read.

use super::{HANDSHAKE_TIMEOUT, Inbox, frame, queue::Queue, tls};
use bytes::Bytes;
use plenary_types::PublicKey;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long to wait after the first failure; doubled with every further one.
const FIRST_DELAY: Duration = Duration::from_millis(25);
/// Longest wait between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// How long a connection is idle before TCP asks whether the other end is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// How often it asks then, and how many questions may stay unanswered.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long data may stay unacknowledged, or undelivered to a peer that does not read.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything about the connection to one peer.
pub(super) struct Dialer {
    pub(super) peer: PublicKey,
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) queue: Arc<Queue>,
    pub(super) inbox: Arc<dyn Inbox>,
}

impl Dialer {
    /// Keeps the connection for ever.
    pub(super) async fn run(self) {
        let mut delay = FIRST_DELAY;
        loop {
            match self.connect().await {
                Ok(stream) => {
                    let since = Instant::now();
                    let end = self.serve(stream).await;
                    tracing::warn!(peer = %self.peer, "the connection is gone: {end}");
                    // A peer that hangs up at once is not worth a fast retry every time.
                    if since.elapsed() > MAX_DELAY {
                        delay = FIRST_DELAY;
                    }
                }
                Err(error) if delay == FIRST_DELAY => {
                    tracing::warn!(peer = %self.peer, address = %self.address, "cannot connect, trying on: {error}");
                }
                Err(error) => tracing::debug!(peer = %self.peer, "cannot connect: {error}"),
            }
            sleep(jittered(delay)).await;
            delay = (delay * 2).min(MAX_DELAY);
        }
    }

    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let connecting = async {
            let stream = TcpStream::connect(self.address).await?;
            tune(&stream)?;
            let name = ServerName::from(self.address.ip());
            let connector = TlsConnector::from(self.tls.clone());
            let stream = connector.connect(name, stream).await;
            let mut stream = stream.map_err(tls::explained)?;
            if tls::peer(stream.get_ref().1) != Some(self.peer) {
                return Err(io::Error::other("the peer did not name its network"));
            }
            frame::await_welcome(&mut stream).await?;
            Ok(stream)
        };
        timeout(HANDSHAKE_TIMEOUT, connecting).await?
    }

    /// Writes what is queued until the connection ends, and says why it did.
    async fn serve(&self, mut stream: TlsStream<TcpStream>) -> io::Error {
        tracing::info!(peer = %self.peer, address = %self.address, "connected");
        self.queue.open();
        self.inbox.connected(self.peer);
        let end = self.write(&mut stream).await;
        self.queue.close();
        self.inbox.disconnected(self.peer);
        end
    }

    async fn write(&self, stream: &mut TlsStream<TcpStream>) -> io::Error {
        let mut batch: Vec<Bytes> = Vec::new();
        let mut buffer = Vec::new();
        let mut byte = [0];
        loop {
            tokio::select! {
                biased;
                read = stream.read(&mut byte) => return match read {
                    Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                    Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the peer sent data where none belongs"),
                    Err(error) => error,
                },
                () = self.queue.take(&mut batch) => {}
            }
            if let Err(error) = frame::write(stream, &mut batch, &mut buffer).await {
                return error;
            }
        }
    }
}

/// Sets a connection, dialed or accepted, to send at once and to notice when the other end is gone.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// Between half of `delay` and all of it, so that nodes that lost each other together do not retry
/// together.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    delay / 2 + (delay / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
