//! What a replica keeps: a record for each key, in one file, on the disk before anything that depends on it is sent.

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use std::path::Path;

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// A key and its record.
pub(super) type Kept = (Vec<u8>, Vec<u8>);

/// The store of one replica. A second program cannot open it.
pub(super) struct Storage(Database);

impl Storage {
    /// Opens the store in a directory, which is made where there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, redb::Error> {
        std::fs::create_dir_all(directory)?;
        let database = Database::create(directory.join("replica.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.commit()?;
        Ok(Self(database))
    }

    /// All keys and their records.
    pub(super) fn all(&self) -> Result<Vec<Kept>, redb::Error> {
        let table = self.0.begin_read()?.open_table(RECORDS)?;
        let mut all = Vec::new();
        for row in table.iter()? {
            let (key, record) = row?;
            all.push((key.value().to_vec(), record.value().to_vec()));
        }
        Ok(all)
    }

    /// Keeps records, all of them or none; they are on the disk when this returns.
    pub(super) fn put<'a>(
        &self,
        records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (key, record) in records {
                table.insert(key, record)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
