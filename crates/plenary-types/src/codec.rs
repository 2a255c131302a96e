//! The canonical encoding: `commonware-codec` for every type that is hashed, signed, sent or kept.
//!
//! Fields are written in order, integers big-endian, collections behind a varint length that is
//! checked against its bound before anything is allocated. A value has exactly one encoding, and
//! trailing bytes are an error.

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Encode, EncodeSize, Error, RangeCfg, Read, Write};

/// A value that breaks a rule of its type; no encoding that holds it decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct Malformed {
    /// What is malformed.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(malformed.what, malformed.rule)
    }
}

/// Encodes a value canonically.
pub fn encode(value: &impl Encode) -> Bytes {
    value.encode()
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
///
/// Says what is wrong with the bytes; never panics and never allocates beyond the type's bounds.
pub fn decode<T: Read<Cfg = ()>>(bytes: Bytes) -> Result<T, Error> {
    commonware_codec::Decode::decode_cfg(bytes, &())
}

pub(crate) fn write_text(text: &str, buf: &mut impl BufMut) {
    text.len().write(buf);
    buf.put_slice(text.as_bytes());
}

pub(crate) fn text_size(text: &str) -> usize {
    text.len().encode_size() + text.len()
}

pub(crate) fn read_text(buf: &mut impl Buf, max: usize) -> Result<String, Error> {
    let bytes = read_bytes(buf, max)?;
    String::from_utf8(bytes.into()).map_err(|_| Error::Invalid("text", "not UTF-8"))
}

pub(crate) fn read_bytes(buf: &mut impl Buf, max: usize) -> Result<Bytes, Error> {
    Bytes::read_cfg(buf, &RangeCfg::from(0..=max))
}

pub(crate) fn read_list<T: Read<Cfg = ()>>(
    buf: &mut impl Buf,
    max: usize,
) -> Result<Vec<T>, Error> {
    Vec::<T>::read_cfg(buf, &(RangeCfg::from(0..=max), ()))
}

/// Derives the codec traits for a struct, field by field in the order given. A field is plain,
/// `text(MAX)`, `bytes(MAX)` or `list(MAX)`. With `check`, what is decoded must also pass the type's
/// own `check`.
macro_rules! codec {
    ($name:ident { $($field:ident $(: $kind:ident($max:expr))?),+ $(,)? } $($check:ident)?) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                $($crate::codec::codec!(@write self.$field, buf $(, $kind)?);)+
            }
        }
        impl commonware_codec::EncodeSize for $name {
            fn encode_size(&self) -> usize {
                0 $(+ $crate::codec::codec!(@size self.$field $(, $kind)?))+
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                _: &(),
            ) -> Result<Self, commonware_codec::Error> {
                let value = Self { $($field: $crate::codec::codec!(@read buf $(, $kind, $max)?)),+ };
                $(value.$check()?;)?
                Ok(value)
            }
        }
    };
    (@write $value:expr, $buf:ident, text) => { $crate::codec::write_text(&$value, $buf) };
    (@write $value:expr, $buf:ident $(, $kind:ident)?) => { commonware_codec::Write::write(&$value, $buf) };
    (@size $value:expr, text) => { $crate::codec::text_size(&$value) };
    (@size $value:expr $(, $kind:ident)?) => { commonware_codec::EncodeSize::encode_size(&$value) };
    (@read $buf:ident, text, $max:expr) => { $crate::codec::read_text($buf, $max)? };
    (@read $buf:ident, bytes, $max:expr) => { $crate::codec::read_bytes($buf, $max)? };
    (@read $buf:ident, list, $max:expr) => { $crate::codec::read_list($buf, $max)? };
    (@read $buf:ident) => { commonware_codec::ReadExt::read($buf)? };
}
pub(crate) use codec;
