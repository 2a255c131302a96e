//! Messages on a stream of bytes: a length in four bytes, big-endian, then the message.

use super::MAX_MESSAGE_BYTES;
use bytes::{BufMut, Bytes};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How much of a batch goes out in one write. A message of this size goes out by itself, uncopied.
const CHUNK_BYTES: usize = 64 * 1024;

/// What the accepting side says once the connection counts. In TLS 1.3 the dialing side is done with
/// its handshake before the other has judged its key.
const WELCOME: u8 = 1;

pub(super) async fn welcome(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_u8(WELCOME).await?;
    stream.flush().await
}

pub(super) async fn await_welcome(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    match stream.read_u8().await? {
        WELCOME => Ok(()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a connection begins with byte {WELCOME}, the peer sent {other}"),
        )),
    }
}

/// Writes the messages of `batch` in as few writes as possible. `buffer` is scratch space.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    batch: &mut Vec<Bytes>,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.clear();
    for message in batch.drain(..) {
        // A queue takes nothing larger than MAX_MESSAGE_BYTES.
        buffer.put_u32(message.len() as u32);
        if message.len() < CHUNK_BYTES {
            buffer.put_slice(&message);
        }
        if message.len() >= CHUNK_BYTES || buffer.len() >= CHUNK_BYTES {
            stream.write_all(buffer).await?;
            buffer.clear();
        }
        if message.len() >= CHUNK_BYTES {
            stream.write_all(&message).await?;
        }
    }
    stream.write_all(buffer).await?;
    stream.flush().await
}

/// Reads the next message into memory of its own, so that keeping it keeps nothing else.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes, more than the {MAX_MESSAGE_BYTES} allowed"),
        ));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}
