//! The bytes of a group: records, one after the other. Numbers are big-endian.
//!
//! Every record is under a checksum of its own (CRC-32C), so that damage is found, and its place
//! named, even where the database's own checksums are not looked at.

use bytes::Bytes;
use plenary_types::SessionId;

/// Length of the entry, session, checksum.
pub(super) const HEADER: usize = 4 + 32 + 4;
/// Instead of a length: the session is forgotten.
const FORGOTTEN: u32 = u32::MAX;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry of a session.
    Entry(SessionId, Bytes),
    /// The session is forgotten, and with it every entry that is still there.
    Forgotten(SessionId),
}

impl Record {
    /// How many bytes it takes.
    pub(super) fn length(&self) -> usize {
        HEADER + self.entry().len()
    }

    fn entry(&self) -> &[u8] {
        match self {
            Self::Entry(_, entry) => entry,
            Self::Forgotten(_) => &[],
        }
    }

    fn checksum(length: &[u8], session: &[u8], entry: &[u8]) -> [u8; 4] {
        let sum = crc32c::crc32c_append(crc32c::crc32c(length), session);
        crc32c::crc32c_append(sum, entry).to_be_bytes()
    }

    /// Writes it to the front of `out`, which has room for it, and gives back the rest.
    pub(super) fn write<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
        let (length, session) = match self {
            Self::Entry(session, entry) => (entry.len() as u32, session),
            Self::Forgotten(session) => (FORGOTTEN, session),
        };
        let length = length.to_be_bytes();
        let sum = Self::checksum(&length, &session.0, self.entry());
        let mut rest = out;
        for part in [&length[..], &session.0, &sum, self.entry()] {
            let (front, back) = rest.split_at_mut(part.len());
            front.copy_from_slice(part);
            rest = back;
        }
        rest
    }

    /// Reads the record at the front of `bytes`, or says what is wrong with it.
    fn read(bytes: &Bytes) -> Result<Self, &'static str> {
        let header = bytes.first_chunk::<HEADER>();
        let header = header.ok_or("the record's header is not all there")?;
        let (length, rest) = header.split_at(4);
        let (session, sum) = rest.split_at(32);
        let invalid = |_| "the record's header is damaged";
        let id = SessionId(session.try_into().map_err(invalid)?);
        let record = match u32::from_be_bytes(length.try_into().map_err(invalid)?) {
            FORGOTTEN => Self::Forgotten(id),
            count => {
                let end = HEADER.saturating_add(count as usize);
                if end > bytes.len() {
                    return Err("the record is longer than its group");
                }
                Self::Entry(id, bytes.slice(HEADER..end))
            }
        };
        if Self::checksum(length, session, record.entry()) != *sum {
            return Err("the record's checksum does not match");
        }
        Ok(record)
    }
}

/// A record does not read: where it starts in its group, and what is wrong.
pub(super) type Unreadable = (usize, &'static str);

/// The records of a group, in order. Ends after the first that does not read.
pub(super) fn records(group: Bytes) -> impl Iterator<Item = Result<Record, Unreadable>> {
    let length = group.len();
    let mut rest = Some(group);
    std::iter::from_fn(move || {
        let mut bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let offset = length - bytes.len();
        Some(match Record::read(&bytes) {
            Ok(record) => {
                rest = Some(bytes.split_off(record.length()));
                Ok(record)
            }
            Err(what) => Err((offset, what)),
        })
    })
}
