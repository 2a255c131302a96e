//! The state database's tables, and one consistent view of all of them.

use crate::{
    error::{File, StoreError, unreadable},
    rows::{self, Pairs, Row},
    tree::{Nodes, decode_node},
};
use bytes::Bytes;
use jmt::storage::Node;
use plenary_service::state::{StateError, StateView};
use plenary_types::{
    BlockHash, Changes, Digest, Genesis, GenesisHash, StateKey, Versioned, decode,
};
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition,
    WriteTransaction,
};
use std::collections::{BTreeMap, btree_map::Entry};

/// The version of the tables.
pub(crate) const FORMAT: u32 = 2;
/// What redb may keep in memory, in bytes. What it does not keep, the system's page cache has.
const CACHE_BYTES: usize = 8 << 20;

/// How long redb's magic number is.
const MAGIC_BYTES: u64 = 9;

/// Bytes to bytes, in the order of the keys' bytes.
pub(crate) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;
pub(crate) type Reading = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One row of each name below.
pub(crate) const META: Table = Table::new("meta");
/// State key -> encoded versioned value.
pub(crate) const VALUES: Table = Table::new("values");
/// Height -> the values that the block of that height replaced, as [`rows`] writes them.
pub(crate) const OLD_VALUES: Table = Table::new("old values");
/// Path -> tree node.
pub(crate) const NODES: Table = Table::new("nodes");
/// Height -> the tree nodes that the block of that height replaced, as [`rows`] writes them.
pub(crate) const OLD_NODES: Table = Table::new("old nodes");
/// Height -> the record's offset in the ledger.
pub(crate) const OFFSETS: Table = Table::new("offsets");
/// Height -> nothing, for blocks with a certificate of their own.
pub(crate) const CERTIFIED: Table = Table::new("certified");
/// Block hash -> height.
pub(crate) const BLOCKS: Table = Table::new("blocks");
/// Transaction hash -> location.
pub(crate) const TRANSACTIONS: Table = Table::new("transactions");
/// Id of a committed operation -> location of its transaction.
pub(crate) const OPERATIONS: Table = Table::new("operations");
/// Session -> location of the last of its transactions that was not committed.
pub(crate) const SESSIONS: Table = Table::new("sessions");

const META_FORMAT: &[u8] = b"format";
const META_GENESIS: &[u8] = b"genesis";
const META_GENESIS_STATE: &[u8] = b"genesis state";
const META_TIP: &[u8] = b"tip";
const META_LEDGER: &[u8] = b"ledger";

/// The last block applied to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// The state root after it.
    pub root: Digest,
}

impl Tip {
    fn to_bytes(self) -> Vec<u8> {
        [&self.height.to_be_bytes()[..], &self.hash.0, &self.root.0].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, rest) = bytes.split_first_chunk::<8>()?;
        let (hash, root) = rest.split_first_chunk::<32>()?;
        Some(Self {
            height: u64::from_be_bytes(*height),
            hash: BlockHash(*hash),
            root: Digest(root.try_into().ok()?),
        })
    }
}

/// What the database says about itself.
pub(crate) struct Meta {
    /// The state root at height 0.
    pub(crate) genesis_state: Digest,
    /// The last block that the tables hold.
    pub(crate) tip: Tip,
    /// How long the ledger was, and durable, with that block.
    pub(crate) ledger: u64,
}

/// Empties a database file that a crash left while redb made it: redb writes its magic number last,
/// and does not open a file without.
///
/// # Errors
///
/// Where the file cannot be read or emptied.
pub fn reset_unfinished(backend: &impl StorageBackend) -> std::io::Result<()> {
    let mut magic = vec![0; backend.len()?.min(MAGIC_BYTES) as usize];
    backend.read(0, &mut magic)?;
    if magic.iter().all(|byte| *byte == 0) {
        backend.set_len(0)?;
    }
    Ok(())
}

/// Opens or creates the database. The caller keeps other processes away.
pub(crate) fn open(backend: impl StorageBackend) -> Result<Database, StoreError> {
    reset_unfinished(&backend).map_err(|error| StoreError::io(File::State, error))?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
        .create_with_backend(backend)
        .map_err(|error| match error {
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                StoreError::Foreign(File::State)
            }
            error => error.into(),
        })
}

/// The row of `name`, where there is one.
fn meta_row(table: &Reading, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let row = table.get(name)?;
    Ok(row.map(|row| row.value().to_vec()))
}

/// Reads what the database says about itself, or nothing where it is new.
pub(crate) fn read_meta(
    database: &Database,
    genesis: &Genesis,
) -> Result<Option<Meta>, StoreError> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let row = |name: &[u8]| meta_row(&table, name)?.ok_or(StoreError::Foreign(File::State));
    let found = row(META_FORMAT)?;
    let found = u32::from_be_bytes(fixed(&found)?);
    if found != FORMAT {
        return Err(StoreError::Format {
            file: File::State,
            expected: FORMAT,
            found,
        });
    }
    let found = GenesisHash(fixed(&row(META_GENESIS)?)?);
    if found != genesis.hash() {
        return Err(StoreError::OtherGenesis {
            file: File::State,
            expected: genesis.hash(),
            found,
        });
    }
    Ok(Some(Meta {
        genesis_state: Digest(fixed(&row(META_GENESIS_STATE)?)?),
        tip: Tip::from_bytes(&row(META_TIP)?).ok_or(StoreError::Foreign(File::State))?,
        ledger: u64::from_be_bytes(fixed(&row(META_LEDGER)?)?),
    }))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Foreign(File::State))
}

/// Makes every table, so that each can be opened for reading.
pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    for table in [
        VALUES,
        OLD_VALUES,
        NODES,
        OLD_NODES,
        OFFSETS,
        CERTIFIED,
        BLOCKS,
        TRANSACTIONS,
        OPERATIONS,
        SESSIONS,
    ] {
        transaction.open_table(table)?;
    }
    Ok(())
}

/// Writes what never changes: format, genesis and the state it starts from.
pub(crate) fn write_genesis(
    transaction: &WriteTransaction,
    genesis: &Genesis,
    state: Digest,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META)?;
    table.insert(META_FORMAT, FORMAT.to_be_bytes().as_slice())?;
    table.insert(META_GENESIS, genesis.hash().0.as_slice())?;
    table.insert(META_GENESIS_STATE, state.0.as_slice())?;
    Ok(())
}

/// Writes up to which block, and which length of the ledger, the tables are.
pub(crate) fn write_tip(
    transaction: &WriteTransaction,
    tip: Tip,
    ledger: u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META)?;
    table.insert(META_TIP, tip.to_bytes().as_slice())?;
    table.insert(META_LEDGER, ledger.to_be_bytes().as_slice())?;
    Ok(())
}

/// Writes what several blocks, oldest first, changed in `table`, each key once; and in `old`, for
/// each block, what it replaced, which is also given back.
pub(crate) fn write_blocks<'a, V: 'a, C>(
    transaction: &WriteTransaction,
    (table, old): (Table, Table),
    blocks: impl IntoIterator<Item = (u64, C)>,
    encode: impl Fn(&V) -> Vec<u8>,
) -> Result<Vec<Pairs<'a>>, StoreError>
where
    C: IntoIterator<Item = (&'a [u8], Option<&'a V>)>,
{
    // Of each key: the first block that changed it, and its last value.
    let mut last: BTreeMap<&[u8], (usize, Option<&V>)> = BTreeMap::new();
    let mut heights = Vec::new();
    let mut replaced: Vec<Pairs<'a>> = Vec::new();
    for (index, (height, changes)) in blocks.into_iter().enumerate() {
        let mut pairs = Pairs::new();
        for (key, change) in changes {
            match last.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert((index, change));
                }
                Entry::Occupied(mut entry) => {
                    let before = std::mem::replace(&mut entry.get_mut().1, change);
                    pairs.push((key, before.map(&encode).unwrap_or_default()));
                }
            }
        }
        heights.push(height);
        replaced.push(pairs);
    }
    let mut table = transaction.open_table(table)?;
    for (key, (first, change)) in last {
        let before = match change {
            Some(value) => table.insert(key, encode(value).as_slice())?,
            None => table.remove(key)?,
        };
        if let Some(pairs) = replaced.get_mut(first) {
            let before = before.map(|row| row.value().to_vec());
            pairs.push((key, before.unwrap_or_default()));
        }
    }
    let mut old = transaction.open_table(old)?;
    for (height, pairs) in heights.iter().zip(&mut replaced) {
        pairs.sort_unstable_by_key(|(key, _)| *key);
        old.insert(
            height.to_be_bytes().as_slice(),
            rows::encode(pairs).as_slice(),
        )?;
    }
    Ok(replaced)
}

/// Removes what blocks below `height` replaced.
pub(crate) fn prune(
    transaction: &WriteTransaction,
    old: Table,
    height: u64,
) -> Result<(), StoreError> {
    let end = height.to_be_bytes();
    let mut table = transaction.open_table(old)?;
    table.retain_in(..end.as_slice(), |_, _| false)?;
    Ok(())
}

/// Every table as it was after one flush. Reading it neither waits for later writes nor sees them;
/// the disk space of what they replace is free once nobody holds this any more.
pub(crate) struct Snapshot {
    pub(crate) tip: Tip,
    values: Reading,
    old_values: Reading,
    nodes: Reading,
    old_nodes: Reading,
    pub(crate) offsets: Reading,
    pub(crate) certified: Reading,
    pub(crate) blocks: Reading,
    pub(crate) transactions: Reading,
    pub(crate) operations: Reading,
    pub(crate) sessions: Reading,
}

impl Snapshot {
    /// The tables as they are now. `tip` is the block they are of.
    pub(crate) fn new(database: &Database, tip: Tip) -> Result<Self, StoreError> {
        let transaction = database.begin_read()?;
        let open = |table| transaction.open_table(table);
        Ok(Self {
            tip,
            values: open(VALUES)?,
            old_values: open(OLD_VALUES)?,
            nodes: open(NODES)?,
            old_nodes: open(OLD_NODES)?,
            offsets: open(OFFSETS)?,
            certified: open(CERTIFIED)?,
            blocks: open(BLOCKS)?,
            transactions: open(TRANSACTIONS)?,
            operations: open(OPERATIONS)?,
            sessions: open(SESSIONS)?,
        })
    }

    /// The values that the block of `height` replaced, as far as that is kept.
    pub(crate) fn old_values(&self, height: u64) -> Result<Changes, StateError> {
        let bytes = self.old_values.get(height.to_be_bytes().as_slice());
        let Some(bytes) = bytes.map_err(unreadable)? else {
            return Ok(Changes::new());
        };
        let row = Row::new(bytes.value()).ok_or_else(damaged)?;
        let pairs = (0..row.len()).map(|index| {
            let (key, value) = row.pair(index).ok_or_else(damaged)?;
            old_value(key, value)
        });
        pairs.collect()
    }

    /// A tree node as it was after the block of `height`, which is at most the snapshot's.
    pub(crate) fn node_at(&self, height: u64, path: &[u8]) -> Result<Option<Node>, StateError> {
        for later in height + 1..=self.tip.height {
            let bytes = self.old_nodes.get(later.to_be_bytes().as_slice());
            let Some(bytes) = bytes.map_err(unreadable)? else {
                continue;
            };
            let row = Row::new(bytes.value()).ok_or_else(damaged)?;
            match row.get(path).ok_or_else(damaged)? {
                Some([]) => return Ok(None),
                Some(node) => return decode_node(node).map(Some),
                None => {}
            }
        }
        let row = self.nodes.get(path).map_err(unreadable)?;
        row.map(|row| decode_node(row.value())).transpose()
    }
}

fn damaged() -> StateError {
    StateError("the state database is damaged: a row does not decode".into())
}

fn state_key(bytes: &[u8]) -> Result<StateKey, StateError> {
    StateKey::from_bytes(Bytes::copy_from_slice(bytes)).ok_or_else(damaged)
}

fn value(bytes: &[u8]) -> Result<Versioned, StateError> {
    decode(Bytes::copy_from_slice(bytes)).map_err(|_| damaged())
}

/// A pair of what a block replaced: no bytes where there was no value.
pub(crate) fn old_value(
    key: &[u8],
    bytes: &[u8],
) -> Result<(StateKey, Option<Versioned>), StateError> {
    let value = (!bytes.is_empty()).then(|| value(bytes)).transpose()?;
    Ok((state_key(key)?, value))
}

impl StateView for Snapshot {
    fn get(&self, key: &StateKey) -> Result<Option<Versioned>, StateError> {
        let row = self.values.get(key.as_bytes()).map_err(unreadable)?;
        row.map(|row| value(row.value())).transpose()
    }

    fn range(
        &self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.values.range(from.as_bytes()..to.as_bytes());
        let rows = rows.map_err(unreadable)?.take(limit).map(|row| {
            let (key, row) = row.map_err(unreadable)?;
            Ok((state_key(key.value())?, value(row.value())?))
        });
        rows.collect()
    }
}

/// The tree of the snapshot's own height.
impl Nodes for Snapshot {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, StateError> {
        self.node_at(self.tip.height, path)
    }
}
