//! Server-sent events (the HTML standard, section 9.2): a stream that goes on at the same node or at
//! another one after it broke.

use crate::{
    ClientError,
    error::Hope,
    node::{MAX_REPLY_BYTES, Node},
    ring::Ring,
};
use bytes::{Buf as _, BytesMut};
use reqwest::Response;
use std::time::Duration;
use tokio::time::sleep;

/// The pause before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// A stream of events of some nodes.
#[derive(Debug)]
pub(crate) struct Stream {
    nodes: Ring,
    patience: Duration,
    open: Option<Open>,
    /// Attempts in vain since the last event.
    failures: usize,
}

#[derive(Debug)]
struct Open {
    node: Node,
    response: Response,
    lines: Lines,
}

/// An event.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// `id`, empty where there is none.
    pub(crate) id: String,
    /// `data`.
    pub(crate) data: Vec<u8>,
}

impl Stream {
    /// A stream that is not open yet.
    pub(crate) fn new(nodes: Ring, patience: Duration) -> Self {
        Self {
            nodes,
            patience,
            open: None,
            failures: 0,
        }
    }

    /// The next event, as `read` makes it of what the node sends; where that fails the node is not
    /// believed. A stream is opened at `target`, after the event `after`.
    pub(crate) async fn next<T>(
        &mut self,
        target: &str,
        after: Option<&str>,
        read: impl Fn(&Node, Message) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let most = self.patience.as_millis() / PAUSE.as_millis();
        loop {
            match self.advance(target, after, &read).await {
                Ok(Some(event)) => {
                    self.failures = 0;
                    return Ok(event);
                }
                Ok(None) => {}
                Err(error) if error.hope() != Hope::Never && (self.failures as u128) < most => {
                    self.open = None;
                    self.failures += 1;
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One step: opening a stream, or reading some of it.
    async fn advance<T>(
        &mut self,
        target: &str,
        after: Option<&str>,
        read: impl Fn(&Node, Message) -> Result<T, ClientError>,
    ) -> Result<Option<T>, ClientError> {
        let Some(open) = &mut self.open else {
            self.open = Some(self.connect(target, after).await?);
            return Ok(None);
        };
        if let Some(message) = open.lines.event() {
            return read(&open.node, message).map(Some);
        }
        let form = |reason: String| open.node.form(200, reason);
        let chunk = open.response.chunk().await;
        let chunk = chunk.map_err(|error| open.node.unreachable(&error))?;
        let chunk = chunk.ok_or_else(|| form("the stream ended".into()))?;
        open.lines.push(&chunk).map_err(form)?;
        Ok(None)
    }

    async fn connect(&self, target: &str, after: Option<&str>) -> Result<Open, ClientError> {
        let node = self.nodes.node(self.failures).clone();
        let mut request = node.request("GET", target)?;
        request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = node.open(request).await?;
        if response.status().is_success() {
            return Ok(Open {
                node,
                response,
                lines: Lines::default(),
            });
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = node.read(response).await?;
        Err(node.refusal(status, &headers, &body))
    }
}

/// Bytes of a stream on their way to be events.
#[derive(Debug, Default)]
struct Lines {
    bytes: BytesMut,
    /// How many of the bytes are known to have no line feed.
    searched: usize,
    message: Message,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<(), String> {
        if self.bytes.len() + self.message.data.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(format!("an event has more than {MAX_REPLY_BYTES} bytes"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The next whole event, where there is one.
    fn event(&mut self) -> Option<Message> {
        loop {
            let unknown = &self.bytes[self.searched..];
            let Some(end) = unknown.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return None;
            };
            let line = self.bytes.split_to(self.searched + end);
            self.bytes.advance(1);
            self.searched = 0;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() && !self.message.data.is_empty() {
                return Some(std::mem::take(&mut self.message));
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match name {
                b"data" => {
                    if !self.message.data.is_empty() {
                        self.message.data.push(b'\n');
                    }
                    self.message.data.extend_from_slice(value);
                }
                b"id" => self.message.id = String::from_utf8_lossy(value).into_owned(),
                _ => {}
            }
        }
    }
}
