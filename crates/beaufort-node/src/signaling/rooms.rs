//! Who is in which room, and how something gets to a peer.
//!
//! A peer's place holds the only sender of its outbox: taking the place away ends the peer's
//! connection. That is how a peer that does not keep up is let go, so that it slows nobody down.

use super::message::{Presence, Signal, ToPeer};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How many messages wait for a slow peer before it is let go.
const OUTBOX: usize = 256;

/// Why nobody can enter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum JoinError {
    /// One more room would be too many.
    #[error("this server has as many rooms as it takes ({0}); try another one, or later")]
    Rooms(usize),
    /// One more peer would be too many.
    #[error("the room has as many peers as it takes ({0})")]
    Peers(usize),
    /// The system gives no random bytes.
    #[error("the server cannot draw an id at the moment; try another one, or later")]
    Random,
}

/// A peer in a room.
struct Place {
    key: String,
    outbox: Sender<ToPeer>,
}

type Room = HashMap<String, Place>;

/// All rooms that somebody is in.
pub(super) struct Rooms {
    most_rooms: usize,
    most_peers: usize,
    rooms: Mutex<HashMap<String, Room>>,
}

impl Rooms {
    /// No rooms yet.
    pub(super) fn new(most_rooms: usize, most_peers: usize) -> Self {
        Self {
            most_rooms,
            most_peers,
            rooms: Mutex::default(),
        }
    }

    /// Enters a room, tells the others, and welcomes the newcomer in its outbox.
    ///
    /// # Errors
    ///
    /// When the room or the server is full, or no id can be drawn.
    pub(super) fn join(
        self: &Arc<Self>,
        name: String,
        key: String,
    ) -> Result<(Seat, Receiver<ToPeer>), JoinError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| JoinError::Random)?;
        let id = hex::encode(id);
        let mut rooms = self.rooms.lock();
        if !rooms.contains_key(&name) && rooms.len() >= self.most_rooms {
            return Err(JoinError::Rooms(self.most_rooms));
        }
        let room = rooms.entry(name.clone()).or_default();
        if room.len() >= self.most_peers {
            return Err(JoinError::Peers(self.most_peers));
        }
        let newcomer = Presence {
            id: id.clone(),
            key: key.clone(),
        };
        announce(room, ToPeer::Joined { peer: newcomer });
        let peers = room.iter().map(|(id, place)| Presence {
            id: id.clone(),
            key: place.key.clone(),
        });
        let welcome = ToPeer::Welcome {
            id: id.clone(),
            peers: peers.collect(),
        };
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        // It is empty and its other end is at hand.
        let _ = outbox.try_send(welcome);
        room.insert(id.clone(), Place { key, outbox });
        let rooms = Arc::clone(self);
        Ok((Seat { rooms, name, id }, inbox))
    }
}

/// A peer's place in a room, for as long as this lives.
pub(super) struct Seat {
    rooms: Arc<Rooms>,
    name: String,
    id: String,
}

impl Seat {
    /// Passes a signal on to another peer of the room; answers that it has left where it is not there.
    pub(super) fn pass(&self, to: String, signal: Signal) {
        let mut rooms = self.rooms.rooms.lock();
        let Some(room) = rooms.get_mut(&self.name) else {
            return;
        };
        let from = self.id.clone();
        if room.contains_key(&to) {
            deliver(room, &to, ToPeer::Signal { from, signal });
        } else {
            deliver(room, &from, ToPeer::Left { id: to });
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.rooms.rooms.lock();
        let Some(room) = rooms.get_mut(&self.name) else {
            return;
        };
        if room.remove(&self.id).is_some() {
            let id = self.id.clone();
            announce(room, ToPeer::Left { id });
        }
        if room.is_empty() {
            rooms.remove(&self.name);
        }
    }
}

/// Gives one peer a message, or lets it go where it does not keep up.
fn deliver(room: &mut Room, to: &str, message: ToPeer) {
    let slow = room
        .get(to)
        .is_some_and(|place| place.outbox.try_send(message).is_err());
    if slow {
        room.remove(to);
        let id = to.to_owned();
        announce(room, ToPeer::Left { id });
    }
}

/// Gives everybody a message. Who does not keep up is let go, of which the others hear in turn.
fn announce(room: &mut Room, message: ToPeer) {
    let mut messages = vec![message];
    while let Some(message) = messages.pop() {
        room.retain(|id, place| {
            let kept = place.outbox.try_send(message.clone()).is_ok();
            if !kept {
                messages.push(ToPeer::Left { id: id.clone() });
            }
            kept
        });
    }
}
