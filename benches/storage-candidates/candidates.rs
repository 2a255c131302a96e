//! Which tree, and which disk? Compares the candidates on the work of a validator: blocks of 100
//! transactions with 3 key updates each over 100,000 keys, flushed in groups of 8 blocks with one
//! durable write each, the last 64 blocks' old values and nodes kept.
//!
//! `cd benches/storage-candidates && cargo bench`; the numbers are in `docs/storage.md`. It is no member
//! of the workspace, so that nobody who builds Plenary builds the databases it does not use.

#![allow(missing_docs, clippy::unwrap_used)]

use jmt::{
    KeyHash, Sha256Jmt,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use nomt::{KeyReadWrite, Nomt, Options, SessionParams, hasher::Sha2Hasher};
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::{Duration, Instant},
};

const KEYS: u64 = 100_000;
const UPDATES: usize = 300;
const BLOCKS: u64 = 400;
const GROUP: u64 = 8;
const KEPT: u64 = 64;
const CACHE: usize = 32 << 20;

#[path = "../../crates/plenary-store/benches/watch.rs"]
mod watch;
use watch::{Random, Watch, size};

fn key(index: u64) -> Vec<u8> {
    format!("packages\0PKG-{index:08}").into_bytes()
}

fn value(random: &mut Random, height: u64) -> Vec<u8> {
    let mut value = height.to_be_bytes().to_vec();
    while value.len() < 160 {
        value.extend(random.next().to_be_bytes());
    }
    value
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

type Rows = Vec<(Table, Vec<u8>, Option<Vec<u8>>)>;

#[derive(Clone, Copy, PartialEq)]
enum Table {
    Values,
    Nodes,
    Old,
}

const TABLES: [Table; 3] = [Table::Values, Table::Nodes, Table::Old];

trait Disk: Sized {
    const NAME: &'static str;
    fn open(path: &Path) -> Self;
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>>;
    /// One atomic, durable write; rows of `Old` below `prune` go.
    fn commit(&mut self, rows: Rows, prune: u64);
}

struct Redb {
    database: Database,
    tables: Vec<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Redb {
    fn read(&mut self) {
        let transaction = self.database.begin_read().unwrap();
        self.tables = REDB
            .map(|table| transaction.open_table(table).unwrap())
            .into();
    }
}

const REDB: [TableDefinition<&[u8], &[u8]>; 3] = [
    TableDefinition::new("values"),
    TableDefinition::new("nodes"),
    TableDefinition::new("old"),
];

impl Disk for Redb {
    const NAME: &'static str = "redb";

    fn open(path: &Path) -> Self {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(path.join("redb"))
            .unwrap();
        let transaction = database.begin_write().unwrap();
        for table in REDB {
            transaction.open_table(table).unwrap();
        }
        transaction.commit().unwrap();
        let mut disk = Self {
            database,
            tables: Vec::new(),
        };
        disk.read();
        disk
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let row = self.tables[table as usize].get(key).unwrap();
        row.map(|row| row.value().to_vec())
    }

    fn commit(&mut self, rows: Rows, prune: u64) {
        let transaction = self.database.begin_write().unwrap();
        for table in TABLES {
            let mut open = transaction.open_table(REDB[table as usize]).unwrap();
            for (_, key, value) in rows.iter().filter(|row| row.0 == table) {
                match value {
                    Some(value) => open.insert(key.as_slice(), value.as_slice()).unwrap(),
                    None => open.remove(key.as_slice()).unwrap(),
                };
            }
            if table == Table::Old {
                let end = prune.to_be_bytes();
                open.retain_in(..end.as_slice(), |_, _| false).unwrap();
            }
        }
        transaction.commit().unwrap();
        self.read();
    }
}

struct Fjall {
    database: fjall::Database,
    tables: Vec<fjall::Keyspace>,
}

impl Disk for Fjall {
    const NAME: &'static str = "fjall";

    fn open(path: &Path) -> Self {
        let database = fjall::Database::builder(path.join("fjall"))
            .cache_size(CACHE as u64)
            .open()
            .unwrap();
        let open = |name| {
            database
                .keyspace(name, fjall::KeyspaceCreateOptions::default)
                .unwrap()
        };
        let tables = ["values", "nodes", "old"].map(open).into();
        Self { database, tables }
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let row = self.tables[table as usize].get(key).unwrap();
        row.map(|row| row.to_vec())
    }

    fn commit(&mut self, rows: Rows, prune: u64) {
        let mut batch = self
            .database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for (table, key, value) in rows {
            match value {
                Some(value) => batch.insert(&self.tables[table as usize], key, value),
                None => batch.remove(&self.tables[table as usize], key),
            }
        }
        let old = &self.tables[Table::Old as usize];
        for row in old.range(..prune.to_be_bytes().to_vec()) {
            batch.remove(old, row.key().unwrap());
        }
        batch.commit().unwrap();
    }
}

/// The tree over a disk: nodes by path, the last ones in memory until their group is written.
struct Tree<'a, D> {
    disk: &'a D,
    recent: &'a HashMap<Vec<u8>, Option<Node>>,
}

fn path(key: &NodeKey) -> Vec<u8> {
    let path = key.nibble_path();
    let nibbles = (0..path.num_nibbles()).map(|i| u8::from(path.get_nibble(i)));
    [path.num_nibbles() as u8]
        .into_iter()
        .chain(nibbles)
        .collect()
}

impl<D: Disk> TreeReader for Tree<'_, D> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let path = path(key);
        let node = match self.recent.get(&path) {
            Some(node) => node.clone(),
            None => self
                .disk
                .get(Table::Nodes, &path)
                .map(|bytes| borsh::from_slice(&bytes).unwrap()),
        };
        Ok(node.or((path.len() == 1).then_some(Node::Null)))
    }

    fn get_value_option(&self, _: u64, _: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        unimplemented!()
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        unimplemented!()
    }
}

/// The root of one block, and its nodes.
fn root<D: Disk>(
    disk: &D,
    recent: &mut HashMap<Vec<u8>, Option<Node>>,
    height: u64,
    changes: &BTreeMap<Vec<u8>, Vec<u8>>,
    at_once: bool,
) -> BTreeMap<Vec<u8>, Option<Node>> {
    let tree = Tree { disk, recent };
    let changes = changes.iter();
    let changes = changes.map(|(key, value)| (KeyHash(sha256(key)), value.clone()));
    let batch = if at_once {
        let tree = Sha256Jmt::new(&tree);
        tree.batch_put_value_sets(vec![changes.collect()], None, height)
            .unwrap()
            .1
    } else {
        let changes = changes.map(|(key, value)| (key, Some(value)));
        Sha256Jmt::new(&tree)
            .put_value_set(changes, height)
            .unwrap()
            .1
    };
    let stale = batch.stale_node_index_batch.iter();
    let mut nodes: BTreeMap<_, _> = stale.map(|stale| (path(&stale.node_key), None)).collect();
    let new = batch.node_batch.nodes().iter();
    nodes.extend(new.map(|(key, node)| (path(key), Some(node.clone()))));
    recent.extend(nodes.clone());
    nodes
}

fn rows_of<D: Disk>(
    disk: &D,
    height: u64,
    changes: BTreeMap<Vec<u8>, Vec<u8>>,
    nodes: BTreeMap<Vec<u8>, Option<Node>>,
    rows: &mut Rows,
) {
    let values = changes
        .into_iter()
        .map(|(key, value)| (Table::Values, key, Some(value)));
    let nodes = nodes.into_iter().map(|(key, node)| {
        let node = node.map(|node| borsh::to_vec(&node).unwrap());
        (Table::Nodes, key, node)
    });
    for (table, key, value) in values.chain(nodes) {
        let old = disk.get(table, &key).unwrap_or_default();
        let at = [&height.to_be_bytes()[..], &[table as u8], &key].concat();
        rows.push((Table::Old, at, Some(old)));
        rows.push((table, key, value));
    }
}

fn report(name: &str, root: Watch, write: Watch, size: u64, reopen: Duration) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / (BLOCKS as f64 * UPDATES as f64);
    println!(
        "{name:20} {:8.1} {:8.1} {:8.1} {:8.1} {:8.1} {:8.1}",
        each(root.wall),
        each(root.cpu),
        each(write.wall),
        each(write.cpu),
        size as f64 / 1e6,
        reopen.as_secs_f64() * 1e3
    );
}

fn jmt_over<D: Disk>(at_once: bool) {
    let directory = tempfile::tempdir_in(".").unwrap();
    let mut disk = D::open(directory.path());
    let mut random = Random(7);
    let all: BTreeMap<_, _> = (0..KEYS)
        .map(|index| (key(index), value(&mut random, 0)))
        .collect();
    let mut recent = HashMap::new();
    let nodes = root(&disk, &mut recent, 0, &all, true);
    let mut rows = Rows::new();
    rows_of(&disk, 0, all, nodes, &mut rows);
    disk.commit(rows, 0);
    let (mut rooting, mut writing) = (Watch::default(), Watch::default());
    for group in 0..BLOCKS / GROUP {
        recent.clear();
        let mut rows = Rows::new();
        for height in group * GROUP + 1..=(group + 1) * GROUP {
            let changes: BTreeMap<_, _> = (0..UPDATES)
                .map(|_| (key(random.next() % KEYS), value(&mut random, height)))
                .collect();
            let nodes = rooting.time(|| root(&disk, &mut recent, height, &changes, at_once));
            writing.time(|| rows_of(&disk, height, changes, nodes, &mut rows));
        }
        writing.time(|| disk.commit(rows, ((group + 1) * GROUP).saturating_sub(KEPT)));
    }
    let size = size(directory.path());
    drop(disk);
    let start = Instant::now();
    let disk = D::open(directory.path());
    assert!(disk.get(Table::Values, &key(1)).is_some());
    let name = format!(
        "jmt{}, {}",
        if at_once { " at once" } else { " by key" },
        D::NAME
    );
    report(&name, rooting, writing, size, start.elapsed());
}

/// nomt keeps values with its tree, by hash: no range scans, no older heights. One durable write
/// a block: it has none for groups.
fn nomt() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let open = || {
        let mut options = Options::new();
        options.path(directory.path().join("nomt"));
        options.page_cache_size(CACHE >> 21);
        options.leaf_cache_size(CACHE >> 21);
        options.commit_concurrency(2);
        Nomt::<Sha2Hasher>::open(options).unwrap()
    };
    let nomt = open();
    let mut random = Random(7);
    let mut all: Vec<_> = (0..KEYS)
        .map(|index| {
            let value = value(&mut random, 0);
            (sha256(&key(index)), KeyReadWrite::Write(Some(value)))
        })
        .collect();
    all.sort_by_key(|(key, _)| *key);
    let session = nomt.begin_session(SessionParams::default());
    session.finish(all).unwrap().commit(&nomt).unwrap();
    let (mut rooting, mut writing) = (Watch::default(), Watch::default());
    for height in 1..=BLOCKS {
        let changes: BTreeMap<_, _> = (0..UPDATES)
            .map(|_| (key(random.next() % KEYS), value(&mut random, height)))
            .collect();
        let finished = rooting.time(|| {
            let changes: BTreeMap<_, _> = changes
                .into_iter()
                .map(|(key, value)| (sha256(&key), KeyReadWrite::Write(Some(value))))
                .collect();
            let session = nomt.begin_session(SessionParams::default());
            session.finish(changes.into_iter().collect()).unwrap()
        });
        writing.time(|| finished.commit(&nomt).unwrap());
    }
    let size = size(directory.path());
    drop(nomt);
    let start = Instant::now();
    let nomt = open();
    assert!(nomt.read(sha256(&key(1))).unwrap().is_some());
    report("nomt", rooting, writing, size, start.elapsed());
}

fn main() {
    println!(
        "{:20} {:>17} {:>17} {:>8} {:>8}",
        "", "root, us/key", "write, us/key", "disk", "open"
    );
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "clock", "cpu", "clock", "cpu", "MB", "ms"
    );
    jmt_over::<Redb>(false);
    jmt_over::<Redb>(true);
    jmt_over::<Fjall>(true);
    nomt();
}
