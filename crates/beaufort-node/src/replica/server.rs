//! One signaling server: enters a room there, passes on what it says, and enters again whenever the connection is
//! lost.

use crate::signaling::message::{FromPeer, Signal, ToPeer};
use futures::{SinkExt as _, StreamExt as _};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// A server that has not been heard for this long is gone: three of its beats.
const SILENCE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How many peers of one room are remembered.
const MAX_PEERS: usize = 1024;
/// The longest message of a server, in bytes: a welcome to a full room.
const MAX_MESSAGE: usize = 1024 * 1024;
/// How many messages may wait for a server, or from all of them.
pub(super) const QUEUE: usize = 256;

/// A server, as the replica sees it.
pub(super) struct Server {
    sender: mpsc::Sender<FromPeer>,
    /// Who is in the room: the server's id of a peer, and the key that the peer claims.
    pub(super) peers: BTreeMap<String, String>,
}

/// What a server said, or that it is gone.
pub(super) enum Heard {
    Said(ToPeer),
    Lost,
}

impl Server {
    /// Enters a room of a server, and says as `number` what is heard there.
    pub(super) fn enter(
        number: usize,
        url: String,
        room: String,
        key: String,
        heard: mpsc::Sender<(usize, Heard)>,
    ) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        tokio::spawn(stay(
            number,
            url,
            FromPeer::Join { room, key },
            queue,
            heard,
        ));
        Self {
            sender,
            peers: BTreeMap::new(),
        }
    }

    /// Passes a signal to a peer. Returns whether the server could be told.
    pub(super) fn send(&self, to: &str, signal: Signal) -> bool {
        let to = to.to_owned();
        self.peers.contains_key(&to)
            && self
                .sender
                .try_send(FromPeer::Signal { to, signal })
                .is_ok()
    }

    /// Takes note of who comes and goes. Returns a signal, and the key that its sender claims.
    pub(super) fn heard(&mut self, heard: Heard) -> Option<(String, String, Signal)> {
        match heard {
            Heard::Lost => self.peers.clear(),
            Heard::Said(ToPeer::Welcome { peers, .. }) => {
                let peers = peers.into_iter().take(MAX_PEERS);
                self.peers = peers.map(|peer| (peer.id, peer.key)).collect();
            }
            Heard::Said(ToPeer::Joined { peer }) => {
                if self.peers.len() < MAX_PEERS {
                    self.peers.insert(peer.id, peer.key);
                }
            }
            Heard::Said(ToPeer::Left { id }) => drop(self.peers.remove(&id)),
            Heard::Said(ToPeer::Signal { from, signal }) => {
                let key = self.peers.get(&from)?.clone();
                return Some((from, key, signal));
            }
            Heard::Said(ToPeer::Beat {} | ToPeer::Refused { .. }) => {}
        }
        None
    }
}

/// Enters again and again, until nobody listens.
async fn stay(
    number: usize,
    url: String,
    join: FromPeer,
    mut queue: mpsc::Receiver<FromPeer>,
    heard: mpsc::Sender<(usize, Heard)>,
) {
    let mut wait = FIRST_WAIT;
    while !heard.is_closed() {
        let mut welcomed = false;
        let end = visit(number, &url, &join, &mut queue, &heard, &mut welcomed).await;
        if let Err(error) = end {
            tracing::warn!(%url, %error, "the signaling server cannot be reached; trying again");
        }
        if heard.send((number, Heard::Lost)).await.is_err() {
            return;
        }
        wait = if welcomed {
            FIRST_WAIT
        } else {
            LONGEST_WAIT.min(wait * 2)
        };
        sleep(wait).await;
        // What was meant for the connection that is gone.
        while queue.try_recv().is_ok() {}
    }
}

async fn visit(
    number: usize,
    url: &str,
    join: &FromPeer,
    queue: &mut mpsc::Receiver<FromPeer>,
    heard: &mpsc::Sender<(usize, Heard)>,
    welcomed: &mut bool,
) -> Result<(), tungstenite::Error> {
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE));
    let (mut socket, _) = connect_async_with_config(url, Some(limits), false).await?;
    let text =
        |message: &FromPeer| Message::text(serde_json::to_string(message).unwrap_or_default());
    socket.send(text(join)).await?;
    loop {
        let said = tokio::select! {
            said = timeout(SILENCE, socket.next()) => said,
            message = queue.recv() => {
                let Some(message) = message else { return Ok(()) };
                socket.send(text(&message)).await?;
                continue;
            }
        };
        let Ok(Some(said)) = said else { return Ok(()) };
        let Ok(said) = said?.into_text() else {
            continue;
        };
        let Ok(said) = serde_json::from_str(&said) else {
            continue;
        };
        match &said {
            ToPeer::Welcome { .. } => *welcomed = true,
            ToPeer::Beat {} => socket.send(text(&FromPeer::Beat {})).await?,
            ToPeer::Refused { reason } => {
                tracing::warn!(url, reason, "the signaling server refused")
            }
            _ => {}
        }
        if heard.send((number, Heard::Said(said))).await.is_err() {
            return Ok(());
        }
    }
}
