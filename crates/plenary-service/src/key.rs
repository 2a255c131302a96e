//! Keys of tables: types whose encoding sorts as they do, and reads back.

use plenary_types::{OperationId, PublicKey, SessionId};

/// A type that can be the key of a [`Table`](crate::Table).
///
/// Encodings sort as the values do, so that a scan over a range of keys finds what lies between
/// them. For a type of your own use [`id_type!`](crate::id_type), or delegate to the type inside.
pub trait TableKey: Sized {
    /// Appends an encoding of the key that shows where it ends.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes a key off the front of `input`.
    fn decode(input: &mut &[u8]) -> Option<Self>;

    /// Appends the encoding of a key with nothing behind it, which need not show where it ends.
    fn encode_last(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    /// Reads a key with nothing behind it.
    fn decode_last(mut input: &[u8]) -> Option<Self> {
        let key = Self::decode(&mut input)?;
        input.is_empty().then_some(key)
    }
}

/// A text sorts by its bytes and is stored as it is. In front of another key it ends with two
/// zero bytes, and a zero byte within it is followed by a one.
impl TableKey for String {
    fn encode(&self, out: &mut Vec<u8>) {
        for byte in self.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(1);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            if *byte == 0 {
                let (escape, rest) = input.split_first()?;
                *input = rest;
                match escape {
                    0 => return Self::from_utf8(text).ok(),
                    1 => {}
                    _ => return None,
                }
            }
            text.push(*byte);
        }
    }

    fn encode_last(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode_last(input: &[u8]) -> Option<Self> {
        Self::from_utf8(input.to_vec()).ok()
    }
}

macro_rules! integer_key {
    ($($integer:ty),+) => {$(
        /// Big-endian.
        impl TableKey for $integer {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(input: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(Self::from_be_bytes(*bytes))
            }
        }
    )+};
}
integer_key!(u8, u16, u32, u64, u128);

macro_rules! bytes_key {
    ($($name:ident),+) => {$(
        /// Its 32 bytes.
        impl TableKey for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn decode(input: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(Self(*bytes))
            }
        }
    )+};
}
bytes_key!(OperationId, SessionId, PublicKey);

/// Nothing: the key of a table with one entry.
impl TableKey for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// Sorts by the first, then by the second.
impl<A: TableKey, B: TableKey> TableKey for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        Some((A::decode(input)?, B::decode(input)?))
    }

    fn encode_last(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode_last(out);
    }

    fn decode_last(mut input: &[u8]) -> Option<Self> {
        Some((A::decode(&mut input)?, B::decode_last(input)?))
    }
}

/// Declares a type for one kind of identifier: a text that can be a key of a table, a parameter
/// of a path and a member of JSON, and that is not mistaken for another kind's.
///
/// ```
/// plenary_service::id_type! {
///     /// Names a package.
///     pub struct PackageId;
/// }
/// assert_eq!(PackageId::from("PKG-1").to_string(), "PKG-1");
/// ```
#[macro_export]
macro_rules! id_type {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(String);

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::TableKey for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::TableKey::encode(&self.0, out);
            }
            fn decode(input: &mut &[u8]) -> Option<Self> {
                $crate::TableKey::decode(input).map(Self)
            }
            fn encode_last(&self, out: &mut Vec<u8>) {
                $crate::TableKey::encode_last(&self.0, out);
            }
            fn decode_last(input: &[u8]) -> Option<Self> {
                $crate::TableKey::decode_last(input).map(Self)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                <String as $crate::serde::Deserialize>::deserialize(deserializer).map(Self)
            }
        }
    };
}
