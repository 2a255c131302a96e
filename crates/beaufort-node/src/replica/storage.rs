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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use beaufort::{
        Ballot, Evidence, Exclusion, MemberId, Members, Output, Phase, Replica, Scheme as _, Scope,
        Settings, Signed, Signers,
        bls::{Bls, SecretKey},
    };

    const CULPRIT: MemberId = MemberId(3);

    fn secrets() -> Vec<SecretKey> {
        let mut secrets: Vec<_> = (0..4)
            .map(|seed| SecretKey::from_seed(&[seed; 32]))
            .collect();
        secrets.sort_by(|one, other| one.public().cmp(other.public()));
        secrets
    }

    fn members() -> Members<Bls> {
        let keys = secrets().into_iter().map(|secret| secret.public().clone());
        Members::new(keys.collect()).unwrap()
    }

    fn start(storage: &Storage) -> Replica<Bls> {
        let access = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
        let (secret, settings) = (secrets().remove(0), Settings::default());
        let kept = storage.all().unwrap();
        Replica::new(
            Bls,
            members(),
            secret,
            settings,
            Box::new(access),
            [0; 32],
            kept,
        )
        .unwrap()
    }

    /// Votes of the culprit for two values.
    fn evidence() -> Evidence {
        let (key, view) = (b"key".to_vec(), 1);
        let scope = Scope::new(&members().network(), &key, view);
        let votes = [[1; 32], [2; 32]].map(|value| {
            let (round, phase) = (0, Phase::PreCommit);
            let ballot = Ballot {
                round,
                phase,
                value,
            };
            let point = Bls.sign(&secrets()[3], &scope.message(&ballot));
            Signed {
                ballot,
                signers: Signers::one(4, CULPRIT),
                signature: Bls.encode(&point),
            }
        });
        Evidence {
            culprit: CULPRIT,
            key,
            view,
            votes,
        }
    }

    /// Evidence was not kept: after a restart the culprit's votes counted again, until a neighbour told of it.
    #[test]
    fn who_voted_twice_is_known_when_the_program_starts_again() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path()).unwrap();
        let mut replica = start(&storage);
        replica.connected(0, MemberId(1));
        let message = [vec![6], postcard::to_stdvec(&evidence()).unwrap()].concat();
        replica.receive(0, MemberId(1), &message);
        let outputs = replica.poll(0);
        let records = outputs.iter().filter_map(|output| match output {
            Output::Persist { key, record } => Some((key.as_slice(), record.as_slice())),
            _ => None,
        });
        storage.put(records).unwrap();
        drop((replica, storage));
        let storage = Storage::open(directory.path()).unwrap();
        let excluded = start(&storage).status().excluded;
        assert_eq!(
            excluded,
            [(CULPRIT, Exclusion::DoubleVote(Box::new(evidence())))]
        );
    }
}
