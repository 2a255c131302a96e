//! Final blocks as they come.
//!
//! An event's id is its block's height, so a stream that breaks goes on exactly where it was, at
//! the same validator or at another.

use crate::{
    BlockSummary, Client, ClientError,
    sse::{Message, Stream},
};

/// A stream of final blocks, each once, in order, without gaps.
#[derive(Debug)]
pub struct Events {
    stream: Stream,
    /// The height that comes next; the first one that comes where it is not known yet.
    next: Option<u64>,
}

impl Client {
    /// Follows the final blocks, from height `from` or from the next one on. What comes is what
    /// the answering validator claims: [`Client::block`] and [`Client::receipt`] prove it.
    pub fn events(&self, from: Option<u64>) -> Events {
        Events {
            stream: Stream::new(self.validators.clone(), self.patience()),
            next: from,
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
        let next = self.next;
        let from = next.map_or_else(String::new, |next| format!("?from={next}"));
        let target = format!("/plenary/v1/events{from}");
        let read = |node: &crate::node::Node, message: Message| {
            let block: BlockSummary = serde_json::from_slice(&message.data)
                .map_err(|error| node.form(200, error.to_string()))?;
            match next.is_some_and(|next| next != block.header.height) {
                true => Err(node.unproven("its events are not in order")),
                false => Ok(block),
            }
        };
        let block = self.stream.next(&target, None, read).await?;
        self.next = Some(block.header.height + 1);
        Ok(block)
    }
}
