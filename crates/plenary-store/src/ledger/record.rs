//! The ledger's bytes: a header, then records, each a block and what made it final.
//!
//! Every byte is under a checksum (CRC-32C), and a record's lengths are under one of their own, so
//! that a damaged length cannot send the reader astray. A record says where the group began that
//! it was written with. Groups are made durable one after the other, so a whole record proves that
//! everything before its group was durable: what is damaged there is damage, and not the tail that
//! a crash leaves.

use crate::error::{Damage, File, StoreError};
use bytes::Bytes;
use plenary_types::{Block, Certificate, GenesisHash, decode, encode};
use redb::StorageBackend;

const MAGIC: &[u8; 8] = b"plenary\n";
/// The version of the records.
const FORMAT: u32 = 1;
/// Magic, format, genesis hash, checksum.
pub(crate) const FILE_HEADER: u64 = 8 + 4 + 32 + 4;
/// Block length, certificate length, height, start of the group, checksum of block and
/// certificate, checksum of this.
pub(crate) const RECORD_HEADER: u64 = 4 + 4 + 8 + 8 + 4 + 4;

fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).to_be_bytes()
}

/// The file's first bytes.
pub(crate) fn file_header(genesis: &GenesisHash) -> Vec<u8> {
    let mut header = [MAGIC, &FORMAT.to_be_bytes()[..], &genesis.0].concat();
    header.extend(checksum(&header));
    header
}

/// What the first bytes of a file say.
pub(crate) enum FileHeader {
    /// A ledger of this format, of the network asked for.
    Good,
    /// A whole header, but of something else.
    Other(StoreError),
    /// No whole header.
    Damaged,
}

/// Reads the first bytes of a file.
pub(crate) fn read_file_header(bytes: &[u8], genesis: &GenesisHash) -> FileHeader {
    let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
        return FileHeader::Damaged;
    };
    if checksum(body) != *sum {
        return FileHeader::Damaged;
    }
    let rest = body.strip_prefix(MAGIC);
    let Some((format, rest)) = rest.and_then(|rest| rest.split_first_chunk::<4>()) else {
        return FileHeader::Other(StoreError::Foreign(File::Ledger));
    };
    let found = u32::from_be_bytes(*format);
    if found != FORMAT {
        return FileHeader::Other(StoreError::Format {
            file: File::Ledger,
            expected: FORMAT,
            found,
        });
    }
    match <[u8; 32]>::try_from(rest).map(GenesisHash) {
        Ok(found) if found == *genesis => FileHeader::Good,
        Ok(found) => FileHeader::Other(StoreError::OtherGenesis {
            file: File::Ledger,
            expected: *genesis,
            found,
        }),
        Err(_) => FileHeader::Damaged,
    }
}

/// A record's first bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordHeader {
    block: u32,
    certificate: u32,
    pub(crate) height: u64,
    group: u64,
    body: [u8; 4],
}

impl RecordHeader {
    fn from_bytes(bytes: &[u8; RECORD_HEADER as usize]) -> Option<Self> {
        let (rest, sum) = bytes.split_last_chunk::<4>()?;
        if checksum(rest) != *sum {
            return None;
        }
        let (block, rest) = rest.split_first_chunk()?;
        let (certificate, rest) = rest.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let header = Self {
            block: u32::from_be_bytes(*block),
            certificate: u32::from_be_bytes(*certificate),
            height: u64::from_be_bytes(*height),
            group: u64::from_be_bytes(*group),
            body: rest.try_into().ok()?,
        };
        let fits = header.block as usize <= Block::max_encode_size()
            && header.certificate as usize <= Certificate::max_encode_size();
        fits.then_some(header)
    }

    /// How many bytes block and certificate have.
    fn body_length(&self) -> u64 {
        u64::from(self.block) + u64::from(self.certificate)
    }

    /// How many bytes the record has.
    pub(crate) fn length(&self) -> u64 {
        RECORD_HEADER + self.body_length()
    }
}

/// The record of a block, written with the group that begins at `group`.
pub(crate) fn encode_record(
    block: &Block,
    certificate: Option<&Certificate>,
    group: u64,
) -> Vec<u8> {
    let encoded = encode(block);
    let certificate = certificate.map(encode).unwrap_or_default();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&encoded), &certificate);
    let mut record = Vec::with_capacity(RECORD_HEADER as usize + encoded.len() + certificate.len());
    record.extend((encoded.len() as u32).to_be_bytes());
    record.extend((certificate.len() as u32).to_be_bytes());
    record.extend(block.header.height.to_be_bytes());
    record.extend(group.to_be_bytes());
    record.extend(sum.to_be_bytes());
    record.extend(checksum(&record));
    record.extend_from_slice(&encoded);
    record.extend_from_slice(&certificate);
    record
}

/// A record, read whole and under good checksums.
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    body: Bytes,
}

impl Record {
    /// Where the next record starts.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.header.length()
    }

    /// The block.
    pub(crate) fn block(&self) -> Result<Block, Damage> {
        let block: Block = decode(self.body.slice(..self.header.block as usize))
            .map_err(|error| self.damage(format!("the block does not decode: {error}")))?;
        if block.header.height != self.header.height {
            return Err(self.damage("the record names another height than its block".into()));
        }
        Ok(block)
    }

    /// The certificate, where there is one.
    pub(crate) fn certificate(&self) -> Result<Option<Certificate>, Damage> {
        if self.header.certificate == 0 {
            return Ok(None);
        }
        let bytes = self.body.slice(self.header.block as usize..);
        let certificate = decode(bytes)
            .map_err(|error| self.damage(format!("the certificate does not decode: {error}")))?;
        Ok(Some(certificate))
    }

    /// That this record is wrong although its checksums are good.
    pub(crate) fn damage(&self, what: String) -> Damage {
        Damage {
            offset: self.offset,
            length: self.header.length(),
            height: self.header.height,
            tail: false,
            what,
        }
    }
}

/// Why there is no record.
pub(crate) enum ReadError {
    /// The bytes are not a record.
    Damage(Damage),
    /// They could not be read.
    Io(std::io::Error),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damage(damage) => Self::Damaged(damage),
            ReadError::Io(error) => Self::io(File::Ledger, error),
        }
    }
}

/// Reads the record at `offset` of a file that is `end` bytes long; `height` is the one expected.
pub(crate) fn read_record(
    file: &dyn StorageBackend,
    offset: u64,
    end: u64,
    height: u64,
) -> Result<Record, ReadError> {
    let damage = |length: u64, tail, what: &str| {
        ReadError::Damage(Damage {
            offset,
            length,
            height,
            tail,
            what: what.into(),
        })
    };
    let left = end.saturating_sub(offset);
    if left < RECORD_HEADER {
        return Err(damage(left, true, "the record's header is not all there"));
    }
    let mut bytes = [0; RECORD_HEADER as usize];
    file.read(offset, &mut bytes)?;
    let Some(header) = RecordHeader::from_bytes(&bytes) else {
        let tail = !durable_after(file, offset, offset + 1, end)?;
        return Err(damage(
            RECORD_HEADER,
            tail,
            "the record's header is damaged",
        ));
    };
    let length = header.length();
    if left < length {
        return Err(damage(left, true, "the record is not all there"));
    }
    let mut body = vec![0; header.body_length() as usize];
    file.read(offset + RECORD_HEADER, &mut body)?;
    if checksum(&body) != header.body {
        let tail = !durable_after(file, offset, offset + length, end)?;
        return Err(damage(length, tail, "the record's content is damaged"));
    }
    if header.height != height {
        return Err(damage(length, false, "the record is of another height"));
    }
    Ok(Record {
        offset,
        header,
        body: body.into(),
    })
}

/// Whether some record at or after `from` proves that the bytes at `offset` were durable: it is
/// of a group that began later.
fn durable_after(
    file: &dyn StorageBackend,
    offset: u64,
    from: u64,
    end: u64,
) -> Result<bool, std::io::Error> {
    const HEADER: usize = RECORD_HEADER as usize;
    let mut buffer = vec![0; 1 << 20];
    let mut start = from;
    while start.saturating_add(RECORD_HEADER) <= end {
        let length = usize::try_from(end - start).map_or(buffer.len(), |l| l.min(buffer.len()));
        let bytes = &mut buffer[..length];
        file.read(start, bytes)?;
        for (at, window) in (start..).zip(bytes.array_windows::<HEADER>()) {
            let header = RecordHeader::from_bytes(window);
            if header.is_some_and(|header| header.group > offset && header.group <= at) {
                return Ok(true);
            }
        }
        start += (length - (HEADER - 1)) as u64;
    }
    Ok(false)
}
