//! The store of one node: ledger, state and indexes, which belong together.
//!
//! A final block is first applied in memory, where every reader sees it at once. Then, for a group
//! of blocks at a time:
//!
//! 1. [`Store::sync`] appends them to the ledger and syncs it. From here on they are durable.
//! 2. [`Store::flush`] writes what they changed, and the indexes, in one transaction of the state
//!    database, with the length that the ledger has up to them.
//!
//! A crash before 1 loses blocks that nobody was told are durable; their engine delivers them
//! again. A crash within 1 leaves a tail in the ledger that opening cuts off. A crash between 1
//! and 2, or within 2, leaves the state behind the ledger: [`Store::replay`] has the blocks that
//! must be executed and applied again. The state is never ahead of the ledger; where it is found
//! so, a file was replaced, and opening fails.

use crate::{
    database::{self, Meta, Snapshot, Tip, write_genesis, write_tip},
    error::StoreError,
    files::Files,
    index::{Indexed, Location, Recent},
    ledger::{Entry, Ledger, LockedFile, Mark},
    state::{self, Prepared, State},
    tree::NodeChanges,
};
use parking_lot::{Mutex, RwLock};
use plenary_types::{
    Block, BlockHash, Certificate, Changes, Genesis, OperationId, SessionId, TransactionHash,
    state_proof::EMPTY,
};
use redb::{Database, StorageBackend};
use std::{fmt, sync::Arc};

/// Ledger, state and indexes of one node. All methods take `&self` and can be called from any
/// thread; nothing but another [`flush`](Self::flush) or [`sync`](Self::sync) waits for the disk's
/// writes.
pub struct Store {
    genesis: Arc<Block>,
    state: State,
    /// The indexes on disk, and the blocks applied since.
    index: RwLock<(Arc<Snapshot>, Recent)>,
    /// The state database; held by the one flush at a time.
    database: Mutex<Database>,
    /// Closed last: its lock guards the state database too.
    ledger: Ledger,
    /// Held by the one sync at a time.
    syncing: Mutex<()>,
}

impl Store {
    /// Opens the store, or makes a new one for the network of `genesis`, whose state starts as
    /// `genesis_changes` gives it.
    ///
    /// Afterwards the ledger may be ahead of the state: see [`replay`](Self::replay).
    ///
    /// # Errors
    ///
    /// What is wrong with the files; they are left as they are.
    pub fn open<E: fmt::Display>(
        files: Files<impl StorageBackend, impl StorageBackend>,
        genesis: &Genesis,
        genesis_changes: impl FnOnce() -> Result<Changes, E>,
    ) -> Result<Self, StoreError> {
        let file = LockedFile::new(files.ledger)?;
        let database = database::open(files.state)?;
        let meta = match database::read_meta(&database, genesis)? {
            Some(meta) => meta,
            None => {
                let changes =
                    genesis_changes().map_err(|error| StoreError::Genesis(error.to_string()))?;
                create(&database, genesis, changes)?
            }
        };
        let first = Block::genesis(genesis, meta.genesis_state);
        let snapshot = Arc::new(Snapshot::new(&database, meta.tip)?);
        let mark = Mark {
            height: meta.tip.height,
            hash: meta.tip.hash,
            length: meta.ledger,
        };
        let ledger = Ledger::open(file, &genesis.hash(), mark)?;
        check_same(&ledger, &snapshot)?;
        Ok(Self {
            genesis: Arc::new(first),
            state: State::open(snapshot.clone())?,
            ledger,
            index: RwLock::new((snapshot, Recent::default())),
            database: Mutex::new(database),
            syncing: Mutex::new(()),
        })
    }

    /// The block at height 0.
    pub fn genesis_block(&self) -> &Arc<Block> {
        &self.genesis
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The last block applied.
    pub fn tip(&self) -> Tip {
        self.state.tip()
    }

    /// The blocks that the ledger has and the state has not, in order: what a crash left to be
    /// executed again. Each must be [`apply`](Self::apply)d before the next is asked for.
    pub fn replay(&self) -> impl Iterator<Item = Result<Entry, StoreError>> {
        std::iter::from_fn(|| {
            let height = self.tip().height + 1;
            let place = self.ledger.place(height)?;
            Some(self.ledger.read(height, place.offset))
        })
    }

    /// Makes a final block the last one; it, its state and its transactions are found at once.
    /// Nothing is durable before [`sync`](Self::sync). A block that is already applied changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotNext`] where the block, or what was prepared, does not follow on the last
    /// one; [`StoreError::Diverged`] where the ledger has another block of that height.
    pub fn apply(
        &self,
        block: Arc<Block>,
        certificate: Option<Certificate>,
        prepared: Arc<Prepared>,
    ) -> Result<(), StoreError> {
        let hash = block.hash();
        let header = &block.header;
        let height = header.height;
        let tip = self.tip();
        if height <= tip.height {
            return self.check_applied(height, hash);
        }
        let not_next = |what| StoreError::NotNext {
            height,
            tip: tip.height,
            what,
        };
        if header.parent != tip.hash {
            return Err(not_next("its parent is another block"));
        }
        if prepared.height != height || prepared.root != header.state {
            return Err(not_next("what was prepared is not its state"));
        }
        if let Some(place) = self.ledger.place(height)
            && place.hash != hash
        {
            return Err(StoreError::Diverged {
                height,
                ledger: place.hash,
                state: hash,
            });
        }
        let indexed = Arc::new(Indexed::new(Entry { block, certificate }, hash));
        let mut index = self.index.write();
        self.state.apply(prepared, hash)?;
        index.1.push(indexed);
        Ok(())
    }

    /// Checks that the block applied at `height` is `hash`.
    fn check_applied(&self, height: u64, hash: BlockHash) -> Result<(), StoreError> {
        if self.height_of(&hash)? == Some(height) {
            return Ok(());
        }
        Err(StoreError::NotNext {
            height,
            tip: self.tip().height,
            what: "another block of that height is final",
        })
    }

    /// Makes everything applied before the call durable: appends it to the ledger, with one sync.
    /// Gives the height of the last durable block.
    ///
    /// # Errors
    ///
    /// What failed. The blocks stay in memory, and calling again is right.
    pub fn sync(&self) -> Result<u64, StoreError> {
        let _syncing = self.syncing.lock();
        let (durable, _) = self.ledger.tip();
        let blocks: Vec<_> = {
            let index = self.index.read();
            let blocks = index.1.blocks.iter();
            blocks
                .filter(|block| block.height() > durable)
                .cloned()
                .collect()
        };
        let entries = blocks.iter().map(|block| (&block.entry, block.hash));
        self.ledger.append(entries)?;
        Ok(self.ledger.tip().0)
    }

    /// How many applied blocks the state database does not have yet. Each costs memory, a little
    /// time in every read, and its execution at the next start after a crash: the caller bounds
    /// it by [`flush`](Self::flush).
    pub fn unflushed(&self) -> usize {
        self.index.read().1.blocks.len()
    }

    /// Makes everything applied before the call durable, and writes it to the state database in
    /// one transaction.
    ///
    /// # Errors
    ///
    /// What failed. Where [`sync`](Self::sync) failed, calling again is right. Where the state
    /// database did, it takes no more reads or writes until the store is opened again.
    pub fn flush(&self) -> Result<(), StoreError> {
        let database = self.database.lock();
        let durable = self.sync()?;
        let blocks: Vec<_> = {
            let index = self.index.read();
            let blocks = index.1.blocks.iter();
            blocks
                .take_while(|block| block.height() <= durable)
                .cloned()
                .collect()
        };
        let Some(last) = blocks.last() else {
            return Ok(());
        };
        let place = |block: &Indexed| {
            let missing = "a durable block is not in the ledger";
            let place = self.ledger.place(block.height());
            place.ok_or_else(|| StoreError::Database(missing.into()))
        };
        let prepared = self.state.unflushed(last.height());
        let transaction = database.begin_write()?;
        let old = state::write(&transaction, &prepared)?;
        for block in &blocks {
            block.write(&transaction, place(block)?.offset)?;
        }
        let tip = Tip {
            height: last.height(),
            hash: last.hash,
            root: last.entry.block.header.state,
        };
        State::prune(&transaction, tip.height)?;
        write_tip(&transaction, tip, place(last)?.end)?;
        transaction.commit()?;
        self.publish(Arc::new(Snapshot::new(&database, tip)?), old);
        Ok(())
    }

    /// From here on, what was flushed is read from disk.
    fn publish(&self, snapshot: Arc<Snapshot>, old: Vec<Changes>) {
        let height = snapshot.tip.height;
        let mut index = self.index.write();
        self.state.flushed(snapshot.clone(), old);
        index.0 = snapshot;
        index.1.forget(height);
        self.ledger.flushed(height);
    }

    /// The block of `height` with its certificate.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or is damaged.
    pub fn entry(&self, height: u64) -> Result<Option<Entry>, StoreError> {
        if height == 0 {
            return Ok(Some(Entry {
                block: self.genesis.clone(),
                certificate: None,
            }));
        }
        let snapshot = {
            let index = self.index.read();
            if let Some(block) = index.1.block(height) {
                return Ok(Some(block.entry.clone()));
            }
            index.0.clone()
        };
        let offset = snapshot.offset(height)?;
        offset
            .map(|offset| self.ledger.read(height, offset))
            .transpose()
    }

    /// The block of `height`.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or is damaged.
    pub fn block(&self, height: u64) -> Result<Option<Arc<Block>>, StoreError> {
        Ok(self.entry(height)?.map(|entry| entry.block))
    }

    /// The certificate of the block of `height`, where it has one of its own.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or is damaged.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, StoreError> {
        let snapshot = {
            let index = self.index.read();
            if let Some(block) = index.1.block(height) {
                return Ok(block.entry.certificate.clone());
            }
            index.0.clone()
        };
        match snapshot.offset(height)? {
            Some(offset) => self.ledger.certificate(height, offset),
            None => Ok(None),
        }
    }

    /// The first height at or above `height` whose block has a certificate of its own.
    ///
    /// # Errors
    ///
    /// Where the state database cannot be read.
    pub fn certified_from(&self, height: u64) -> Result<Option<u64>, StoreError> {
        let (snapshot, recent) = {
            let index = self.index.read();
            let recent = index.1.certified.range(height..).next().copied();
            (index.0.clone(), recent)
        };
        Ok(snapshot.certified_from(height)?.or(recent))
    }

    /// The height of a block.
    ///
    /// # Errors
    ///
    /// Where the state database cannot be read.
    pub fn height_of(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError> {
        if self.genesis.hash() == *hash {
            return Ok(Some(0));
        }
        let (snapshot, recent) = {
            let index = self.index.read();
            (index.0.clone(), index.1.heights.get(hash).copied())
        };
        recent.map_or_else(|| snapshot.height_of(hash), |at| Ok(Some(at)))
    }

    /// Where a transaction is.
    ///
    /// # Errors
    ///
    /// Where the state database cannot be read.
    pub fn transaction(&self, hash: &TransactionHash) -> Result<Option<Location>, StoreError> {
        let (snapshot, recent) = {
            let index = self.index.read();
            (index.0.clone(), index.1.transactions.get(hash).copied())
        };
        recent.map_or_else(|| snapshot.transaction(hash), |at| Ok(Some(at)))
    }

    /// Where the transaction is that committed an operation.
    ///
    /// # Errors
    ///
    /// Where the state database cannot be read.
    pub fn operation(&self, id: &OperationId) -> Result<Option<Location>, StoreError> {
        let (snapshot, recent) = {
            let index = self.index.read();
            (index.0.clone(), index.1.operations.get(id).copied())
        };
        recent.map_or_else(|| snapshot.operation(id), |at| Ok(Some(at)))
    }

    /// Where the last of a session's transactions is that was not committed. It may be committed all
    /// the same, by another one: then [`operation`](Self::operation) has the operation that names it.
    ///
    /// # Errors
    ///
    /// Where the state database cannot be read.
    pub fn uncommitted(&self, id: &SessionId) -> Result<Option<Location>, StoreError> {
        let (snapshot, recent) = {
            let index = self.index.read();
            (index.0.clone(), index.1.sessions.get(id).copied())
        };
        recent.map_or_else(|| snapshot.session(id), |at| Ok(Some(at)))
    }
}

/// Writes the state at height 0 to a new database.
fn create(database: &Database, genesis: &Genesis, changes: Changes) -> Result<Meta, StoreError> {
    let prepared = Prepared::over(&NodeChanges::new(), EMPTY, 0, changes)?;
    let meta = Meta {
        genesis_state: prepared.root,
        tip: Tip {
            height: 0,
            hash: Block::genesis(genesis, prepared.root).hash(),
            root: prepared.root,
        },
        ledger: 0,
    };
    let transaction = database.begin_write()?;
    state::write(&transaction, &[Arc::new(prepared)])?;
    database::create_tables(&transaction)?;
    write_genesis(&transaction, genesis, meta.genesis_state)?;
    write_tip(&transaction, meta.tip, meta.ledger)?;
    transaction.commit()?;
    Ok(meta)
}

/// Checks that the ledger's block is the one the state was made from.
fn check_same(ledger: &Ledger, snapshot: &Snapshot) -> Result<(), StoreError> {
    let tip = snapshot.tip;
    let Some(offset) = snapshot.offset(tip.height)? else {
        return Ok(());
    };
    let found = ledger.read(tip.height, offset)?.block.hash();
    if found == tip.hash {
        return Ok(());
    }
    Err(StoreError::Diverged {
        height: tip.height,
        ledger: found,
        state: tip.hash,
    })
}
