//! The signaling server as browsers meet it: over WebSockets, with strangers among them.
#![allow(clippy::unwrap_used, missing_docs)]

use beaufort_node::signaling::{self, Limits};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long anything may take that a test waits for. Only a broken server takes as long.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(signaling::serve(listener, limits, stop.clone()));
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }

    async fn connect(&self) -> Peer {
        let (socket, _) = connect_async(format!("ws://{}/", self.address))
            .await
            .unwrap();
        Peer {
            socket,
            id: String::new(),
        }
    }

    /// Enters a room; also returns who was there.
    async fn enter(&self, room: &str, key: u8) -> (Peer, Vec<Value>) {
        let mut peer = self.connect().await;
        peer.say(&join(room, key)).await;
        let welcome = peer.hear().await.unwrap();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        peer.id = welcome["id"].as_str().unwrap().to_owned();
        let peers = welcome["peers"].as_array().unwrap().clone();
        (peer, peers)
    }
}

struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: String,
}

impl Peer {
    async fn say(&mut self, message: &Value) {
        self.send(Message::Text(message.to_string().into())).await;
    }

    async fn send(&mut self, message: Message) {
        // The server may have closed already, which is what the test then finds out.
        let _ = self.socket.send(message).await;
    }

    /// The next message that is no beat, or nothing where the server has closed.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.socket.next()).await;
            match next.expect("nothing was heard in time") {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] != "beat" {
                        return Some(message);
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// Reads on until the server closes; the reason it gave, if any.
    async fn end(&mut self) -> String {
        let mut reason = String::new();
        while let Some(message) = self.hear().await {
            if message["type"] == "refused" {
                reason = message["reason"].as_str().unwrap().to_owned();
            }
        }
        reason
    }
}

fn key(of: u8) -> String {
    format!("{of:02x}").repeat(144)
}

fn join(room: &str, of: u8) -> Value {
    json!({"type": "join", "room": room, "key": key(of)})
}

fn offer(to: &str) -> Value {
    let signal = json!({"type": "description", "session": "5e", "kind": "offer", "sdp": "v=0\r\n"});
    json!({"type": "signal", "to": to, "signal": signal})
}

#[tokio::test]
async fn peers_of_a_room_find_each_other_and_their_signals_arrive() {
    let server = Server::start(Limits::default()).await;
    let (mut first, peers) = server.enter("street", 1).await;
    assert_eq!(peers, Vec::<Value>::new());
    let (mut second, peers) = server.enter("street", 2).await;
    assert_eq!(peers, [json!({"id": first.id, "key": key(1)})]);
    let joined = json!({"type": "joined", "peer": {"id": second.id, "key": key(2)}});
    assert_eq!(first.hear().await.unwrap(), joined);

    first.say(&offer(&second.id)).await;
    let heard = second.hear().await.unwrap();
    assert_eq!(heard["from"], first.id.as_str());
    assert_eq!(heard["signal"]["sdp"], "v=0\r\n");

    let gone = second.id.clone();
    drop(second);
    assert_eq!(
        first.hear().await.unwrap(),
        json!({"type": "left", "id": gone})
    );
    first.say(&offer(&gone)).await;
    assert_eq!(
        first.hear().await.unwrap(),
        json!({"type": "left", "id": gone})
    );
}

#[tokio::test]
async fn rooms_are_apart() {
    let server = Server::start(Limits::default()).await;
    let (mut here, _) = server.enter("here", 1).await;
    let (mut there, peers) = server.enter("there", 2).await;
    assert_eq!(peers, Vec::<Value>::new());
    // Even who knows an id of another room reaches nobody there.
    here.say(&offer(&there.id)).await;
    assert_eq!(
        here.hear().await.unwrap(),
        json!({"type": "left", "id": there.id})
    );
    // The first thing heard in the other room is who enters it.
    let (third, _) = server.enter("there", 3).await;
    assert_eq!(there.hear().await.unwrap()["peer"]["id"], third.id.as_str());
}

#[tokio::test]
async fn a_malformed_message_ends_that_connection_only() {
    let server = Server::start(Limits::default()).await;
    let (mut witness, _) = server.enter("street", 1).await;
    let malformed = [
        Message::Text("{".into()),
        Message::Text(r#"{"type":"chat","text":"hello"}"#.into()),
        Message::Text(join("street", 1).to_string().into()),
        Message::Binary(vec![1, 2, 3].into()),
        Message::Text("x".repeat(2 * signaling::MAX_MESSAGE).into()),
    ];
    for message in malformed {
        let (mut bad, _) = server.enter("street", 2).await;
        assert_eq!(witness.hear().await.unwrap()["type"], "joined");
        bad.send(message).await;
        bad.end().await;
        assert_eq!(
            witness.hear().await.unwrap(),
            json!({"type": "left", "id": bad.id})
        );
    }
    let mut hasty = server.connect().await;
    hasty.say(&offer("1f")).await;
    assert!(hasty.end().await.contains("join"));
}

#[tokio::test]
async fn limits_hold() {
    let limits = Limits {
        connections: 5,
        rooms: 2,
        peers: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (first, _) = server.enter("a", 1).await;
    let (_second, _) = server.enter("a", 2).await;
    let (_third, _) = server.enter("b", 3).await;
    for (room, reason) in [("a", "peers"), ("c", "rooms")] {
        let mut late = server.connect().await;
        late.say(&join(room, 4)).await;
        assert!(late.end().await.contains(reason));
    }
    // A place that is left is free again.
    drop(first);
    loop {
        let mut next = server.connect().await;
        next.say(&join("a", 5)).await;
        if next.hear().await.unwrap()["type"] == "welcome" {
            break;
        }
    }

    let mut crowd = Vec::new();
    while let Ok((socket, _)) = connect_async(format!("ws://{}/", server.address)).await {
        crowd.push(socket);
        assert!(crowd.len() <= 5, "more connections than permitted");
    }
}

#[tokio::test]
async fn who_floods_is_refused() {
    let limits = Limits {
        rate: 1,
        burst: 20,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let (mut flooder, _) = server.enter("street", 1).await;
    for _ in 0..100 {
        flooder.say(&json!({"type": "beat"})).await;
    }
    // The close may overtake the reason, where much of the flood is still under way.
    flooder.end().await;
}

#[tokio::test]
async fn who_is_silent_is_let_go() {
    let limits = Limits {
        beat: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut silent = server.connect().await;
    silent.end().await;
    let (mut silent, _) = server.enter("street", 1).await;
    silent.end().await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let server = Server::start(Limits::default()).await;
    let (mut peer, _) = server.enter("street", 1).await;
    drop(server);
    assert_eq!(peer.hear().await, None);
}
