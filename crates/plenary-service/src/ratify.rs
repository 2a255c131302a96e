//! Ratification: re-executes a transaction on the state of its block and decides its outcome.
//!
//! ProcessProposal of the paper's Algorithm 1, with the decision of this project's invariants 4
//! and 5. All responses agree: committed, whether what was read is still current or not. A
//! response differs: then either state has moved on since the operation was simulated, which is a
//! conflict, or it has not, and the originator lied.
//!
//! Whether state has moved on shows in the reads. A handler is a function of what it reads, so an
//! honest record and the re-execution ask for the same keys in the same order, up to the first
//! read that finds another version. Records that differ in any other way are made up, and no
//! excuse.

use crate::{
    executor::{ExecuteError, Execution, Executor, origin, versioned},
    session::Session,
    state::StateView,
};
use plenary_types::{
    Changes, Digest, Operation, Outcome, Problem, Read, Reason, SessionId, Stage, StateKey,
    Transaction, Version,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most keys that a conflict names.
pub const MAX_CONFLICT_KEYS: usize = 64;

/// What ratification decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratification {
    /// The outcome.
    pub outcome: Outcome,
    /// What the transaction changes: nothing unless it is committed.
    pub changes: Changes,
    /// The steps that re-execution spent, whatever the outcome.
    pub steps: u64,
}

impl Executor {
    /// Re-executes a transaction on `view`, the state right before it, and decides its outcome.
    /// `version` names its place: the height of its block and its index there.
    ///
    /// The transaction must have passed [`Transaction::validate`], which looks at signatures.
    ///
    /// # Errors
    ///
    /// Where state could not be read, or a handler is seen not to be deterministic: there is no
    /// outcome then, and no vote.
    pub fn ratify(
        &self,
        view: Arc<dyn StateView>,
        transaction: &Transaction,
        version: Version,
    ) -> Result<Ratification, ExecuteError> {
        self.ratify_watched(view, transaction, version, |_| ())
    }

    /// As [`ratify`](Self::ratify); `begins` is told the index of each operation before it runs,
    /// for whoever may have to give it up.
    ///
    /// # Errors
    ///
    /// As [`ratify`](Self::ratify).
    pub fn ratify_watched(
        &self,
        view: Arc<dyn StateView>,
        transaction: &Transaction,
        version: Version,
        begins: impl FnMut(usize),
    ) -> Result<Ratification, ExecuteError> {
        let mut steps = 0;
        let decided = self.decide(view, transaction, version, &mut steps, begins)?;
        let (outcome, changes) = match decided {
            Ok(changes) => (Outcome::Committed, changes),
            Err(outcome) => (outcome, Changes::new()),
        };
        Ok(Ratification {
            outcome,
            changes,
            steps,
        })
    }

    fn decide(
        &self,
        view: Arc<dyn StateView>,
        transaction: &Transaction,
        version: Version,
        steps: &mut u64,
        mut begins: impl FnMut(usize),
    ) -> Result<Result<Changes, Outcome>, ExecuteError> {
        let rejected = |step: usize, reason| Outcome::Rejected {
            step: step as u32,
            reason,
            signer: transaction.originator,
        };
        if let Some((step, reason)) = self.misplaced(transaction) {
            return Ok(Err(rejected(step, reason)));
        }
        let id = transaction.session().unwrap_or(SessionId([0; 32]));
        let mut session = Session::open(id);
        let mut computed = Vec::with_capacity(transaction.operations.len());
        for (step, operation) in transaction.operations.iter().enumerate() {
            let alone = transaction.operations.len() == 1;
            begins(step);
            let execution = self.re_execute(Arc::clone(&view), &session, operation, alone)?;
            *steps = steps.saturating_add(execution.steps);
            let agrees = execution.answer.as_ref() == Ok(&operation.response);
            if agrees {
                session.keep(execution.writes);
                computed.push(execution.reads);
                continue;
            }
            let response = execution.response();
            computed.push(execution.reads);
            let keys = moved_on(&transaction.operations, &computed, version);
            if !keys.is_empty() {
                let step = step as u32;
                return Ok(Err(Outcome::Conflict { step, keys }));
            }
            let reason = Reason::WrongResponse {
                claimed: operation.response.digest(),
                computed: response.digest(),
            };
            return Ok(Err(rejected(step, reason)));
        }
        Ok(Ok(versioned(session.into_writes(), version)))
    }

    /// The first operation that is none, or that is in a transaction of another session.
    fn misplaced(&self, transaction: &Transaction) -> Option<(usize, Reason)> {
        let session = transaction.session()?;
        let alone = transaction.operations.len() == 1;
        let misplaced = |operation: &Operation| {
            let route = self.route(&operation.request).ok();
            if !route.is_some_and(|route| route.is_operation()) {
                return Some(Reason::NotAnOperation);
            }
            // Alone it is in direct mode, where the path names a session of the service's own.
            let belongs = alone || self.belongs(operation, session).is_ok();
            (!belongs).then_some(Reason::OtherSession)
        };
        let mut operations = transaction.operations.iter().enumerate();
        operations.find_map(|(step, operation)| Some((step, misplaced(operation)?)))
    }

    /// Whether an operation can be part of `session`: it opens it, its path names it, or its
    /// route says nothing of sessions.
    ///
    /// # Errors
    ///
    /// 409 `other-session`, and the refusals of [`session_of`](Self::session_of).
    pub(crate) fn belongs(&self, operation: &Operation, session: SessionId) -> Result<(), Problem> {
        let route = self.route(&operation.request)?;
        let named = self.session_of(&operation.request, operation.id())?;
        if route.role().is_none() || named == session {
            return Ok(());
        }
        let detail = format_args!("the request is for session {named}, not for {session}");
        Err(Problem::conflict("other-session", detail).at(Stage::Request))
    }

    fn re_execute(
        &self,
        view: Arc<dyn StateView>,
        session: &Session,
        operation: &Operation,
        alone: bool,
    ) -> Result<Execution, ExecuteError> {
        let id = if alone {
            match self.session_of(&operation.request, operation.id()) {
                Ok(id) => id,
                Err(problem) => return Ok(Execution::refused(problem)),
            }
        } else {
            session.id()
        };
        let origin = origin(operation, id);
        self.execute(view, session.overlay(), origin, &operation.request)
    }
}

/// The keys that have changed since `operations` read them, going by what re-execution has just
/// read: empty where the record shows no change, or none that an honest originator can have seen.
fn moved_on(operations: &[Operation], computed: &[Vec<Read>], version: Version) -> Vec<StateKey> {
    let recorded = operations.iter().map(|operation| &operation.reads);
    let recorded = recorded.take(computed.len());
    let mut pairs = recorded.clone().zip(computed).flat_map(|(recorded, now)| {
        let most = recorded.len().max(now.len());
        (0..most).map(|at| (recorded.get(at), now.get(at)))
    });
    let first = pairs.find(|(recorded, now)| recorded != now);
    let now = CurrentReads::new(computed.iter().flatten(), version);
    match first {
        Some((Some(recorded), Some(current)))
            if start(recorded) == start(current) && now.outdates(recorded) => {}
        _ => return Vec::new(),
    }
    let stale = recorded.flatten().filter(|read| now.outdates(read));
    let keys: BTreeSet<&StateKey> = stale.map(|read| start(read).1).collect();
    keys.into_iter().take(MAX_CONFLICT_KEYS).cloned().collect()
}

/// Whether a read is of a range, and its key or its range's first.
fn start(read: &Read) -> (bool, &StateKey) {
    match read {
        Read::Key { key, .. } => (false, key),
        Read::Range { from, .. } => (true, from),
    }
}

/// What re-execution has read, to hold records against.
struct CurrentReads<'a> {
    keys: BTreeMap<&'a StateKey, Option<Version>>,
    /// By first key, then by end: a scan with a limit ends where its entries do.
    ranges: BTreeMap<&'a StateKey, BTreeMap<&'a StateKey, &'a Digest>>,
    /// The version that the transaction itself would write.
    version: Version,
}

impl<'a> CurrentReads<'a> {
    fn new(reads: impl Iterator<Item = &'a Read>, version: Version) -> Self {
        let mut keys = BTreeMap::new();
        let mut ranges: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for read in reads {
            match read {
                Read::Key { key, version } => {
                    keys.insert(key, *version);
                }
                Read::Range { from, to, digest } => {
                    ranges.entry(from).or_default().insert(to, digest);
                }
            }
        }
        Self {
            keys,
            ranges,
            version,
        }
    }

    /// Whether re-execution has read the same and found it changed since. A record of a version
    /// that is yet to come is a lie.
    fn outdates(&self, recorded: &Read) -> bool {
        match recorded {
            Read::Key { key, version } => match (version, self.keys.get(key)) {
                (_, None) => false,
                (None, Some(now)) => now.is_some(),
                (Some(then), Some(Some(now))) => then < now,
                (Some(then), Some(None)) => *then < self.version,
            },
            Read::Range { from, to, digest } => {
                let now = self.ranges.get(from);
                now.is_some_and(|now| now.get(to) != Some(&digest))
            }
        }
    }
}
