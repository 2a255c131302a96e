//! Final blocks as they come, over server-sent events (the HTML standard, section 9.2).
//!
//! An event's id is its block's height, so a stream that breaks goes on exactly where it was, at
//! the same validator or at another.

use crate::{
    BlockSummary, Client, ClientError,
    node::{MAX_REPLY_BYTES, Node},
};
use bytes::{Buf as _, BytesMut};
use reqwest::Response;
use std::time::Duration;
use tokio::time::sleep;

/// A stream of final blocks, each once, in order, without gaps.
#[derive(Debug)]
pub struct Events {
    client: Client,
    /// The height that comes next; the first one that comes where it is not known yet.
    next: Option<u64>,
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

impl Client {
    /// Follows the final blocks, from height `from` or from the next one on. What comes is what
    /// the answering validator claims: [`Client::block`] and [`Client::receipt`] prove it.
    pub fn events(&self, from: Option<u64>) -> Events {
        Events {
            client: self.clone(),
            next: from,
            open: None,
            failures: 0,
        }
    }
}

impl Events {
    /// The next final block, as soon as there is one. Safe to cancel.
    ///
    /// # Errors
    ///
    /// Where no validator has answered for as long as the client is patient.
    pub async fn next(&mut self) -> Result<BlockSummary, ClientError> {
        let pause = Duration::from_millis(100);
        let most = self.client.patience().as_millis() / pause.as_millis();
        loop {
            match self.advance().await {
                Ok(Some(block)) => {
                    self.failures = 0;
                    self.next = Some(block.header.height + 1);
                    return Ok(block);
                }
                Ok(None) => {}
                Err(error) if error.is_passing() && (self.failures as u128) < most => {
                    self.open = None;
                    self.failures += 1;
                    sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One step: opening a stream, or reading some of it.
    async fn advance(&mut self) -> Result<Option<BlockSummary>, ClientError> {
        let Some(open) = &mut self.open else {
            self.open = Some(self.connect().await?);
            return Ok(None);
        };
        let form = |reason: String| open.node.form(200, reason);
        if let Some(data) = open.lines.event() {
            let block: BlockSummary =
                serde_json::from_slice(&data).map_err(|error| form(error.to_string()))?;
            if self.next.is_some_and(|next| next != block.header.height) {
                return Err(open.node.unproven("its events are not in order"));
            }
            return Ok(Some(block));
        }
        let chunk = open.response.chunk().await;
        let chunk = chunk.map_err(|error| open.node.unreachable(&error))?;
        let chunk = chunk.ok_or_else(|| form("the stream ended".into()))?;
        open.lines.push(&chunk).map_err(form)?;
        Ok(None)
    }

    async fn connect(&self) -> Result<Open, ClientError> {
        let node = self.client.node(self.failures).clone();
        let from = self
            .next
            .map_or_else(String::new, |next| format!("?from={next}"));
        let request = node.request("GET", &format!("/plenary/v1/events{from}"))?;
        let response = node
            .open(request.header("accept", "text/event-stream"))
            .await?;
        let status = response.status().as_u16();
        node.check(status, response.headers(), b"")?;
        Ok(Open {
            node,
            response,
            lines: Lines::default(),
        })
    }
}

/// Bytes of a stream on their way to be events.
#[derive(Debug, Default)]
struct Lines {
    bytes: BytesMut,
    /// How many of the bytes are known to have no line feed.
    searched: usize,
    data: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<(), String> {
        if self.bytes.len() + self.data.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(format!("an event has more than {MAX_REPLY_BYTES} bytes"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The data of the next whole event, where there is one.
    fn event(&mut self) -> Option<Vec<u8>> {
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
            if line.is_empty() && !self.data.is_empty() {
                return Some(std::mem::take(&mut self.data));
            }
            if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                let data = data.strip_prefix(b" ").unwrap_or(data);
                self.data.extend_from_slice(data);
            }
        }
    }
}
