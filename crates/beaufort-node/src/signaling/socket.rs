//! One peer's connection: join, then pass signals until either side ends it.

use super::{
    Server,
    message::{FromPeer, ToPeer},
    rooms::Seat,
};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// How many beats a peer may stay silent for.
const PATIENCE: u32 = 3;

/// Why a connection ends.
enum End {
    /// The peer has closed it, or cannot be reached any more: there is nobody to tell.
    Gone,
    /// The server stops.
    Stop,
    /// The peer does what it must not.
    Refused(String),
}

type Sender = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// Serves one peer to the end of its connection.
pub(super) async fn run(socket: WebSocket, server: &Server) {
    let (mut sender, mut stream) = socket.split();
    let end = tokio::select! {
        () = server.stop.cancelled() => End::Stop,
        end = converse(&mut sender, &mut stream, server) => end,
    };
    let (code, reason) = match end {
        End::Gone => return,
        End::Stop => (close_code::AWAY, "the server stops".to_owned()),
        End::Refused(reason) => {
            tracing::debug!(reason, "a peer was refused");
            let refused = ToPeer::Refused {
                reason: reason.clone(),
            };
            if send(&mut sender, &refused).await.is_err() {
                return;
            }
            (close_code::POLICY, "refused".to_owned())
        }
    };
    let close = CloseFrame {
        code,
        reason: reason.into(),
    };
    // It may be gone already.
    let _ = sender.send(Message::Close(Some(close))).await;
}

async fn converse(sender: &mut Sender, stream: &mut Stream, server: &Server) -> End {
    let mut incoming = Incoming {
        stream,
        rate: limiter(server.limits.rate, server.limits.burst),
    };
    match join(&mut incoming, server).await {
        Ok((seat, inbox)) => relay(sender, &mut incoming, server, &seat, inbox).await,
        Err(end) => end,
    }
}

/// Waits for the first message, which must say which room the peer enters.
async fn join(
    incoming: &mut Incoming<'_>,
    server: &Server,
) -> Result<(Seat, Receiver<ToPeer>), End> {
    let deadline = Instant::now() + server.limits.beat * PATIENCE;
    match tokio::time::timeout_at(deadline, incoming.next()).await {
        Ok(message) => match message? {
            FromPeer::Join { room, key } => {
                let joined = server.rooms.join(room, key);
                joined.map_err(|error| End::Refused(error.to_string()))
            }
            _ => Err(End::Refused(
                "the first message must be a `join`".to_owned(),
            )),
        },
        Err(_) => Err(End::Refused("no `join` came in time".to_owned())),
    }
}

/// Passes what peers send, in both directions.
async fn relay(
    sender: &mut Sender,
    incoming: &mut Incoming<'_>,
    server: &Server,
    seat: &Seat,
    mut inbox: Receiver<ToPeer>,
) -> End {
    let patience = server.limits.beat * PATIENCE;
    let mut deadline = Instant::now() + patience;
    let mut beats = interval(server.limits.beat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once.
    beats.reset();
    loop {
        let outgoing = tokio::select! {
            message = incoming.next() => {
                let message = match message {
                    Ok(message) => message,
                    Err(end) => return end,
                };
                deadline = Instant::now() + patience;
                match message {
                    FromPeer::Signal { to, signal } => seat.pass(to, signal),
                    FromPeer::Beat {} => {}
                    FromPeer::Join { .. } => {
                        return End::Refused("a connection joins one room, once".to_owned());
                    }
                }
                continue;
            }
            message = inbox.recv() => match message {
                Some(message) => message,
                None => return End::Refused("messages came faster than they were taken".to_owned()),
            },
            _ = beats.tick() => ToPeer::Beat {},
            () = sleep_until(deadline) => return End::Refused("no beat was answered".to_owned()),
        };
        // A peer that takes nothing is as good as gone.
        match tokio::time::timeout(patience, send(sender, &outgoing)).await {
            Ok(Ok(())) => {}
            _ => return End::Gone,
        }
    }
}

fn limiter(rate: u32, burst: u32) -> DefaultDirectRateLimiter {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst));
    RateLimiter::direct(quota)
}

/// What a peer sends, no more of it than the limits permit.
struct Incoming<'a> {
    stream: &'a mut Stream,
    rate: DefaultDirectRateLimiter,
}

impl Incoming<'_> {
    /// The next message. The WebSocket's own pings are answered below this, and count as messages.
    async fn next(&mut self) -> Result<FromPeer, End> {
        loop {
            let Some(Ok(frame)) = self.stream.next().await else {
                return Err(End::Gone);
            };
            if self.rate.check().is_err() {
                let reason = "too many messages in too short a time";
                return Err(End::Refused(reason.to_owned()));
            }
            let text = match frame {
                Message::Text(text) => text,
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Binary(_) => return Err(End::Refused("messages are text".to_owned())),
                Message::Close(_) => return Err(End::Gone),
            };
            let message = serde_json::from_str(&text);
            return message.map_err(|error| End::Refused(format!("this is no message: {error}")));
        }
    }
}

async fn send(sender: &mut Sender, message: &ToPeer) -> Result<(), ()> {
    let text = serde_json::to_string(message).map_err(drop)?;
    sender.send(Message::Text(text.into())).await.map_err(drop)
}
