//! What a node makes of its session log when it starts: sessions go on where they were.
//!
//! The ledger comes before the log. What layer 1 decided may have been followed, and the end of the
//! session not have been written.

use crate::{
    log::Recovered,
    node::{Node, OpenError},
    record::Record,
    session::{Entry, Replayed},
};
use plenary_types::{OperationId, Timestamp, Transaction, decode};
use plenary_validator::{
    error::Refusal as Layer1Refusal, finality::Landed, lookup::transaction_at,
};

impl Node {
    pub(crate) fn recover(&self, recovered: Recovered) -> Result<(), OpenError> {
        let life = recovered.session;
        let failed = |reason: String| OpenError::Log {
            session: life,
            reason,
        };
        let entries = recovered.entries.into_iter();
        let records =
            entries.map(|entry| decode::<Record>(entry).map_err(|error| failed(error.to_string())));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let Some(Replayed { entry, committing }) =
            Entry::replay(records, self.needed(), self.now())
        else {
            // Only the end of a session that was forgotten.
            self.log.forget(life);
            return Ok(());
        };
        let (entry, earlier) = self.sessions.replace(entry);
        if let Some(earlier) = earlier {
            // It was forgotten, and opened again.
            self.log.forget(earlier.life);
        }
        self.take_up(&entry, committing)
            .map_err(|error| failed(error.to_string()))
    }

    /// Goes on with the end of a session: what layer 1 decided of it, by whichever transaction, or
    /// the commit that a crash interrupted, by its transaction's hash, so that it ends once.
    fn take_up(&self, entry: &Entry, committing: Option<Transaction>) -> Result<(), Layer1Refusal> {
        let committed = self.store.operation(&OperationId(entry.id.0))?;
        let own = committing.as_ref().map(Transaction::hash);
        let decided = match (committed, own) {
            (None, Some(own)) => self.store.transaction(&own)?,
            (committed, _) => committed,
        };
        if let Some(location) = decided {
            let (transaction, outcome) = transaction_at(&self.store, location)?;
            let landed = Landed {
                height: location.height,
                index: location.index,
                outcome,
            };
            self.decide(entry, &transaction, landed);
        } else if let Some(transaction) = committing {
            self.submissions.add(transaction, Timestamp(0));
        }
        Ok(())
    }
}
