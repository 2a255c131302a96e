//! Final blocks on a stream of bytes: how a validator writes them and a follower reads them.
//!
//! A frame is the length of a block and that of its certificate, 32 bits each, big-endian, then
//! both as they are canonically encoded. A block without a certificate of its own has length 0
//! there. A frame without a block says only that the sender lives.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use commonware_codec::{EncodeSize as _, Write as _};
use plenary_store::Entry;
use plenary_types::{Block, Certificate, decode};

/// How many bytes both lengths have.
const HEAD: usize = 8;

/// The frame that has nothing in it.
pub const ALIVE: [u8; HEAD] = [0; HEAD];

/// Appends a block's frame.
pub fn write(frames: &mut BytesMut, entry: &Entry) {
    let (block, certificate) = (&*entry.block, entry.certificate.as_ref());
    let lengths = (
        block.encode_size(),
        certificate.map_or(0, |certificate| certificate.encode_size()),
    );
    frames.reserve(HEAD + lengths.0 + lengths.1);
    // Both have bounds far below 4 GiB.
    frames.put_u32(lengths.0 as u32);
    frames.put_u32(lengths.1 as u32);
    block.write(frames);
    if let Some(certificate) = certificate {
        certificate.write(frames);
    }
}

/// Why bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length is over its bound.
    #[error(
        "a frame has a block of {block} bytes and a certificate of {certificate}; a block has 1 to {}, a certificate at most {}",
        Block::max_encode_size(),
        Certificate::max_encode_size()
    )]
    Length {
        /// The block's length.
        block: usize,
        /// The certificate's.
        certificate: usize,
    },
    /// The block does not decode, or its body is not its header's.
    #[error("a block does not decode: {0}")]
    Block(String),
    /// The certificate does not decode.
    #[error("a certificate does not decode: {0}")]
    Certificate(String),
}

/// A block and its certificate, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    block: Bytes,
    certificate: Bytes,
}

impl Frame {
    /// The block and, where it has one, its certificate. That the block's body is its header's is
    /// checked; all else is not.
    ///
    /// # Errors
    ///
    /// What does not decode.
    pub fn decode(self) -> Result<(Block, Option<Certificate>), FrameError> {
        let block = decode(self.block).map_err(|error| FrameError::Block(error.to_string()))?;
        let certificate = match self.certificate.is_empty() {
            true => None,
            false => Some(
                decode(self.certificate)
                    .map_err(|error| FrameError::Certificate(error.to_string()))?,
            ),
        };
        Ok((block, certificate))
    }
}

/// Takes a stream of bytes apart, however it comes in pieces. Holds at most one frame and a piece.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: BytesMut,
}

impl Frames {
    /// Adds the stream's next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next block's frame, once it is there whole.
    ///
    /// # Errors
    ///
    /// [`FrameError::Length`]; there is nothing to be had from the stream any more.
    pub fn next_block(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some(lengths) = self.bytes.first_chunk::<HEAD>() {
            let mut lengths = &lengths[..];
            let (block, certificate) = (lengths.get_u32() as usize, lengths.get_u32() as usize);
            if (block, certificate) == (0, 0) {
                self.bytes.advance(HEAD);
                continue;
            }
            let fits = (1..=Block::max_encode_size()).contains(&block)
                && certificate <= Certificate::max_encode_size();
            if !fits {
                return Err(FrameError::Length { block, certificate });
            }
            if self.bytes.len() < HEAD + block + certificate {
                return Ok(None);
            }
            self.bytes.advance(HEAD);
            return Ok(Some(Frame {
                block: self.bytes.split_to(block).freeze(),
                certificate: self.bytes.split_to(certificate).freeze(),
            }));
        }
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plenary_types::testing::Network;
    use std::sync::Arc;

    /// Two blocks, the second alone with a certificate, and a sign of life between them.
    fn stream() -> (Vec<Entry>, Bytes) {
        let network = Network::new(4);
        let genesis = network.genesis_block();
        let first = network.committed(&genesis.header, vec![network.numbered_transaction(1)]);
        let second = network.committed(&first.header, Vec::new());
        let certificate = network.certificate(&second.header);
        let entry = |block, certificate| Entry {
            block: Arc::new(block),
            certificate,
        };
        let entries = vec![entry(first, None), entry(second, Some(certificate))];
        let mut bytes = BytesMut::new();
        write(&mut bytes, &entries[0]);
        bytes.extend_from_slice(&ALIVE);
        write(&mut bytes, &entries[1]);
        (entries, bytes.freeze())
    }

    #[test]
    fn blocks_are_read_as_they_were_written_however_the_stream_is_cut() {
        let (entries, bytes) = stream();
        for piece in [1, 7, 100, bytes.len()] {
            let (mut frames, mut read) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                frames.push(piece);
                while let Some(frame) = frames.next_block().unwrap() {
                    read.push(frame.decode().unwrap());
                }
            }
            let written = entries.iter();
            let written =
                written.map(|entry| (Block::clone(&entry.block), entry.certificate.clone()));
            assert_eq!(read, written.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_length_over_its_bound_is_refused_before_anything_is_kept() {
        let most = (
            Block::max_encode_size() as u32,
            Certificate::max_encode_size() as u32,
        );
        for (block, certificate) in [(most.0 + 1, 0), (1, most.1 + 1), (0, 1)] {
            let mut frames = Frames::default();
            frames.push(&block.to_be_bytes());
            frames.push(&certificate.to_be_bytes());
            let refused = FrameError::Length {
                block: block as usize,
                certificate: certificate as usize,
            };
            assert_eq!(frames.next_block(), Err(refused));
        }
    }

    #[test]
    fn a_body_that_is_not_its_headers_does_not_decode() {
        let (entries, _) = stream();
        let mut block = Block::clone(&entries[0].block);
        block.transactions.clear();
        block.outcomes.clear();
        let mut bytes = BytesMut::new();
        let entry = Entry {
            block: Arc::new(block),
            certificate: None,
        };
        write(&mut bytes, &entry);
        let mut frames = Frames::default();
        frames.push(&bytes);
        let frame = frames.next_block().unwrap().unwrap();
        assert!(matches!(frame.decode(), Err(FrameError::Block(_))));
    }
}
