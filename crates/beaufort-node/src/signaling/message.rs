//! What peers and the server say to each other: JSON, one object a message, its kind in `type`.
//!
//! The kinds are few, their members fixed and bounded, and nothing else is taken: a server that
//! passes on only what is spelled out here cannot be used to carry an application's data.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Characters of a member's public key: 144 bytes in hexadecimal.
const KEY: usize = 288;
/// The most characters of a room's name, a peer's id and a session's id.
const NAME: usize = 64;

/// What a peer may say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum FromPeer {
    /// The first message: which room it enters, and whose key it claims to hold.
    Join {
        #[serde(deserialize_with = "name")]
        room: String,
        #[serde(deserialize_with = "key")]
        key: String,
    },
    /// For another peer of the room.
    Signal {
        #[serde(deserialize_with = "name")]
        to: String,
        signal: Signal,
    },
    /// The answer to the server's beat.
    Beat {},
}

/// What the server says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum ToPeer {
    /// The answer to a join: the peer's id, and who is there already.
    Welcome { id: String, peers: Vec<Presence> },
    /// Somebody has entered.
    Joined { peer: Presence },
    /// Somebody is gone, or was not there when something was sent to it.
    Left { id: String },
    /// From another peer of the room.
    Signal { from: String, signal: Signal },
    /// Says that the server is there, and asks whether the peer is.
    Beat {},
    /// The last message, where the server ends the connection.
    Refused { reason: String },
}

/// A peer of a room, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Drawn by the server, for one connection.
    pub(crate) id: String,
    /// The public key it claims. Nobody has checked that.
    pub(crate) key: String,
}

/// What makes a channel between two peers (W3C WebRTC, sections 4.6 and 4.8).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum Signal {
    /// An offer or its answer.
    Description {
        #[serde(deserialize_with = "name")]
        session: String,
        kind: Kind,
        #[serde(deserialize_with = "sdp")]
        sdp: String,
    },
    /// A way to reach the peer. An empty one says that there are no more.
    Candidate {
        #[serde(deserialize_with = "name")]
        session: String,
        #[serde(deserialize_with = "candidate")]
        candidate: String,
        sdp_mid: Option<String>,
        sdp_m_line_index: Option<u16>,
        username_fragment: Option<String>,
    },
}

/// Which side of a negotiation a description is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Asks.
    Offer,
    /// Answers.
    Answer,
}

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &str,
    holds: impl FnOnce(&str) -> bool,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if holds(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(format!("expected {expected}")))
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "1 to 64 letters, digits, `-` or `_`";
    checked(deserializer, expected, |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=NAME).contains(&text.len()) && text.bytes().all(plain)
    })
}

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a public key: 288 hexadecimal characters in lower case";
    checked(deserializer, expected, |text| {
        text.len() == KEY
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn sdp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "a session description", |text| {
        text.starts_with("v=0")
    })
}

fn candidate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "an ICE candidate", |text| {
        text.is_empty() || text.starts_with("candidate:")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn taken(message: &Value) -> bool {
        serde_json::from_value::<FromPeer>(message.clone()).is_ok()
    }

    #[test]
    fn nothing_but_signaling_is_taken() {
        let key = "0a".repeat(144);
        let offer =
            json!({"type": "description", "session": "5e", "kind": "offer", "sdp": "v=0\r\n"});
        let candidate = json!({
            "type": "candidate", "session": "5e", "candidate": "candidate:1 1 udp 1 a.local 9 typ host",
            "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "x",
        });
        let end = json!({"type": "candidate", "session": "5e", "candidate": ""});
        for message in [
            json!({"type": "join", "room": "a-room", "key": key}),
            json!({"type": "signal", "to": "1f", "signal": offer}),
            json!({"type": "signal", "to": "1f", "signal": candidate}),
            json!({"type": "signal", "to": "1f", "signal": end}),
            json!({"type": "beat"}),
        ] {
            assert!(taken(&message), "{message}");
        }
        for message in [
            json!({"type": "chat", "text": "hello"}),
            json!({"type": "join", "room": "", "key": key}),
            json!({"type": "join", "room": "a room", "key": key}),
            json!({"type": "join", "room": "r".repeat(65), "key": key}),
            json!({"type": "join", "room": "a", "key": "0a"}),
            json!({"type": "join", "room": "a", "key": key, "more": 1}),
            json!({"type": "signal", "to": "1f", "signal": {"type": "data", "bytes": "00"}}),
            json!({"type": "signal", "to": "1f", "signal": {
                "type": "description", "session": "5e", "kind": "offer", "sdp": "my data"}}),
            json!({"type": "signal", "to": "1f", "signal": {
                "type": "description", "session": "5e", "kind": "offer", "sdp": "v=0", "x": 1}}),
            json!({"type": "signal", "to": "1f", "signal": {
                "type": "candidate", "session": "5e", "candidate": "my data"}}),
            json!([]),
        ] {
            assert!(!taken(&message), "{message}");
        }
    }
}
