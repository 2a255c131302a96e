//! The log on disk: one row of a redb database for every group.
//!
//! A group is what one commit makes durable. redb gives what a log needs besides: a commit is
//! whole or not there, its space is used again, its pages have checksums. One row for a group, and
//! not one for an entry, is what makes it as fast as a plain file: `docs/session-log.md`.

use super::{
    MAX_ENTRY_BYTES, Recovered,
    error::LogError,
    record::{Record, records},
    space::Space,
};
use bytes::Bytes;
use plenary_types::SessionId;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition,
    TableHandle,
};
use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Number of the group -> its records. The name changes with the format.
const GROUPS: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new("session log, format 1");
/// What redb may keep in memory, in bytes. Only groups that are written again are read.
const CACHE_BYTES: usize = 4 << 20;
/// How many groups one commit removes at most, so that none waits long for it.
const MAX_REMOVED: usize = 256;
/// How much of old groups a commit writes again at least where that is due, in bytes.
const REWRITE_BYTES: usize = 64 << 10;

/// The groups on disk, and the accounts of them.
pub(super) struct Groups {
    database: Database,
    space: Space,
    /// The number of the next group.
    next: u64,
}

impl Groups {
    /// Opens or creates the log, and reads what it has. Beyond twice what is needed, its groups
    /// may take `slack` bytes.
    pub(super) fn open(
        backend: impl StorageBackend,
        slack: u64,
    ) -> Result<(Self, Vec<Recovered>), LogError> {
        // redb 4.4 reads where its space is free before it checks those pages, and panics on some
        // that are damaged.
        let open = AssertUnwindSafe(|| Self::open_unguarded(backend, slack));
        catch_unwind(open).unwrap_or(Err(LogError::Pages))
    }

    fn open_unguarded(
        backend: impl StorageBackend,
        slack: u64,
    ) -> Result<(Self, Vec<Recovered>), LogError> {
        plenary_store::reset_unfinished(&backend)?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create_with_backend(backend)?;
        check_format(&database)?;
        let mut groups = Self {
            database,
            space: Space::new(slack),
            next: 0,
        };
        let recovered = groups.read()?;
        // A database that was closed is not looked through when it is opened.
        if !groups.database.check_integrity()? {
            return Err(LogError::Repaired);
        }
        Ok((groups, recovered))
    }

    /// Reads every group, in order, into the accounts; gives the sessions that are not forgotten
    /// in the order of their first entries.
    fn read(&mut self) -> Result<Vec<Recovered>, LogError> {
        let mut sessions: Vec<Recovered> = Vec::new();
        let mut places: HashMap<SessionId, usize> = HashMap::new();
        let mut marks = Vec::new();
        let transaction = self.database.begin_read()?;
        for row in transaction.open_table(GROUPS)?.iter()? {
            let (group, bytes) = row?;
            let group = group.value();
            for record in records(Bytes::copy_from_slice(bytes.value())) {
                let record = record.map_err(damaged(group))?;
                let length = record.length() as u64;
                match record {
                    Record::Entry(session, entry) => {
                        self.space.add(group, session, length);
                        let place = *places.entry(session).or_insert(sessions.len());
                        if place == sessions.len() {
                            let entries = Vec::new();
                            sessions.push(Recovered { session, entries });
                        }
                        if let Some(recovered) = sessions.get_mut(place) {
                            recovered.entries.push(entry);
                        }
                    }
                    Record::Forgotten(session) => marks.push((group, session)),
                }
            }
            self.next = group.saturating_add(1);
        }
        for (group, session) in marks {
            self.space.forget(session);
            self.space.mark(group, session);
        }
        // They have their marks.
        self.space.take_unmarked();
        sessions.retain(|recovered| !self.space.is_forgotten(&recovered.session));
        Ok(sessions)
    }

    /// Nothing of `session` is needed any more. Written with the next group.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.space.forget(session);
    }

    /// Makes `entries` durable, and that `forgotten` are, with one sync. After an error nothing
    /// more can be written.
    pub(super) fn write(
        &mut self,
        entries: &[(SessionId, Bytes)],
        forgotten: &HashSet<SessionId>,
    ) -> Result<(), LogError> {
        for session in forgotten {
            self.space.forget(*session);
        }
        let kept = entries.iter().filter(|(session, _)| {
            // An entry and its session's end in one group: neither is needed.
            !forgotten.contains(session) && !self.space.is_forgotten(session)
        });
        let mut group: Vec<Record> = kept
            .map(|(session, entry)| match entry.len() {
                0..=MAX_ENTRY_BYTES => Ok(Record::Entry(*session, entry.clone())),
                length => Err(LogError::TooLong(length)),
            })
            .collect::<Result<_, _>>()?;
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(GROUPS)?;
            make_room(&mut self.space, &mut table, length(&group))?;
            let marks = self.space.take_unmarked();
            group.extend(marks.into_iter().map(Record::Forgotten));
            if !group.is_empty() {
                insert(&mut table, self.next, &group)?;
            }
        }
        transaction.commit()?;
        for record in group {
            match record {
                Record::Entry(session, _) => {
                    let length = record.length() as u64;
                    self.space.add(self.next, session, length);
                }
                Record::Forgotten(session) => self.space.mark(self.next, session),
            }
        }
        self.next += 1;
        Ok(())
    }

    /// Writes what is left and closes the file.
    pub(super) fn close(mut self) -> Result<(), LogError> {
        match self.space.is_due() {
            true => self.write(&[], &HashSet::new()),
            false => Ok(()),
        }
    }
}

/// Refuses a database of something else, and makes the table where the database is new.
fn check_format(database: &Database) -> Result<(), LogError> {
    let transaction = database.begin_read()?;
    let names: Vec<_> = transaction.list_tables()?.collect();
    if names.is_empty() {
        let transaction = database.begin_write()?;
        transaction.open_table(GROUPS)?;
        return Ok(transaction.commit()?);
    }
    match names.iter().any(|table| table.name() == GROUPS.name()) {
        true => Ok(()),
        false => Err(LogError::Foreign),
    }
}

fn damaged(group: u64) -> impl Fn((usize, &'static str)) -> LogError {
    move |(offset, what)| LogError::Damaged {
        group,
        offset,
        what,
    }
}

fn length(records: &[Record]) -> usize {
    records.iter().map(Record::length).sum()
}

/// Writes a group's row, straight into the database's page.
fn insert(
    table: &mut Table<'_, u64, &'static [u8]>,
    group: u64,
    records: &[Record],
) -> Result<(), LogError> {
    let mut row = table.insert_reserve(group, length(records))?;
    let mut rest = row.as_mut();
    for record in records {
        rest = record.write(rest);
    }
    Ok(())
}

/// Removes groups that nothing is needed of, and writes wasteful ones again: more than the
/// `appended` bytes bring, so that the log's size has a bound.
fn make_room(
    space: &mut Space,
    table: &mut Table<'_, u64, &'static [u8]>,
    appended: usize,
) -> Result<(), LogError> {
    let mut quota = REWRITE_BYTES + 2 * appended;
    while quota > 0
        && let Some(group) = space.wasteful()
    {
        let row = table.get(group)?;
        let bytes = row.map(|row| Bytes::copy_from_slice(row.value()));
        let bytes = bytes.unwrap_or_default();
        quota = quota.saturating_sub(bytes.len());
        let mut needed = Vec::new();
        for record in records(bytes) {
            let record = record.map_err(damaged(group))?;
            let keep = match &record {
                Record::Entry(session, _) => !space.is_forgotten(session),
                Record::Forgotten(session) => space.is_forgotten(session),
            };
            needed.extend(keep.then_some(record));
        }
        insert(table, group, &needed)?;
        space.rewritten(group, length(&needed) as u64);
    }
    for _ in 0..MAX_REMOVED {
        let Some(group) = space.take_unneeded() else {
            break;
        };
        table.remove(group)?;
    }
    Ok(())
}
