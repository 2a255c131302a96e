//! What a handler is given besides its request: state, and time, identifiers and random numbers
//! that are the same on every node.
//!
//! A [`Context`] reads through three layers: the operation's own writes, those of the session's
//! earlier operations, and the base view. It records every read of the base with its version, and
//! counts every step. Once it has ended its handler, it never answers again.

use crate::{
    bounds::after,
    budget::{ACCESS_STEPS, Bound, ENTRY_STEPS, Limits, Meter},
    recorder::Recorder,
    state::{StateError, StateView},
    unwind::end_handler,
};
use bytes::Bytes;
use plenary_types::{
    Changes, Digest, OperationId, Problem, PublicKey, Read, SessionId, StateKey, Timestamp,
    Versioned,
};
use std::{collections::BTreeMap, sync::Arc};

/// How many entries a scan loads at a time. It decides where a scan ends that goes over the
/// budget, so it is part of the protocol.
const PAGE_ENTRIES: usize = 64;

/// What operations have written and no block has a version for yet; `None` deletes.
pub type Writes = BTreeMap<StateKey, Option<Bytes>>;

/// What names an operation and says when and for whom it runs. With the request and the state,
/// all that a response may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationContext {
    /// The operation's name.
    pub operation: OperationId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// The key of the client that signed it, where one did.
    pub client: Option<PublicKey>,
    /// The originator's clock when it first ran the operation.
    pub time: Timestamp,
}

/// Why the executor ended a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It went over one of its bounds.
    Exhausted(Bound),
    /// It is a read and tried to write.
    WroteInRead,
    /// State could not be read: not the handler's fault, and no answer at all.
    State(StateError),
}

impl End {
    /// The refusal that the client gets, or the error of storage that leaves nothing to say.
    pub(crate) fn into_problem(self) -> Result<Problem, StateError> {
        match self {
            Self::State(error) => Err(error),
            end => Ok(end.problem()),
        }
    }

    fn problem(&self) -> Problem {
        match self {
            Self::Exhausted(bound) => Problem::new(
                500,
                "budget-exhausted",
                format_args!("the handler went over its limit of {}", bound.as_str()),
            ),
            Self::WroteInRead => Problem::new(
                500,
                "write-in-read",
                "the handler of a read tried to write; declare the route .operation() or give it \
                 a role in a session",
            ),
            Self::State(error) => Problem::new(500, "state-unreadable", error),
        }
    }
}

/// A handler's view of the world; see the [module](self).
pub struct Context {
    origin: OperationContext,
    view: Arc<dyn StateView>,
    earlier: Arc<Writes>,
    writes: Option<Writes>,
    recorder: Recorder,
    meter: Meter,
    drawn: u64,
    end: Option<End>,
}

/// What is left of a context after its handler.
pub(crate) struct Spent {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Writes,
    pub(crate) steps: u64,
    pub(crate) end: Option<End>,
}

impl Context {
    /// A context over `earlier` writes of the session over `view`. A read may not write.
    pub(crate) fn new(
        origin: OperationContext,
        view: Arc<dyn StateView>,
        earlier: Arc<Writes>,
        limits: Limits,
        may_write: bool,
    ) -> Self {
        Self {
            origin,
            view,
            earlier,
            writes: may_write.then(Writes::new),
            recorder: Recorder::default(),
            meter: Meter::new(limits),
            drawn: 0,
            end: None,
        }
    }

    /// A context for the genesis: nothing below, and no bounds.
    pub(crate) fn seeding(origin: OperationContext) -> Self {
        let nothing = Arc::new(Changes::new());
        Self::new(origin, nothing, Arc::default(), Limits::NONE, true)
    }

    pub(crate) fn into_spent(self) -> Spent {
        Spent {
            reads: self.recorder.into_reads(),
            writes: self.writes.unwrap_or_default(),
            steps: self.meter.spent(),
            end: self.end,
        }
    }

    /// The operation's time: the originator's clock when it first ran, the same on every node.
    /// Validators accept it only near the block's time, so it is "about now", never a proof.
    pub fn now(&self) -> Timestamp {
        self.origin.time
    }

    /// The key of the client that signed the request; `None` where the network takes unsigned
    /// requests and this is one.
    pub fn client(&self) -> Option<PublicKey> {
        self.origin.client
    }

    /// The session this operation belongs to. An operation outside any session is its own.
    pub fn session(&self) -> SessionId {
        self.origin.session
    }

    /// The operation's name: the same for every retry of the same request.
    pub fn operation(&self) -> OperationId {
        self.origin.operation
    }

    /// `N` bytes that differ from draw to draw and from operation to operation.
    ///
    /// They follow from the operation's name alone, which its client chooses with the nonce: a
    /// client can try nonces until it likes the numbers. Good for identifiers and for spreading
    /// load; never for lotteries, keys or secrets.
    pub fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            let draw = self.drawn.to_be_bytes();
            self.drawn += 1;
            let digest = Digest::of("plenary random", &[&self.origin.operation.0, &draw]);
            chunk.copy_from_slice(&digest.0[..chunk.len()]);
        }
        bytes
    }

    /// A number as [`random_bytes`](Self::random_bytes) draws them, with the same warning.
    pub fn random_u64(&mut self) -> u64 {
        u64::from_be_bytes(self.random_bytes())
    }

    /// A fresh identifier, `prefix-` and 26 characters of Crockford's base 32: 128 bits, so that
    /// no client finds two that are equal by trying.
    pub fn new_id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let number = u128::from_be_bytes(self.random_bytes());
        let mut id = String::with_capacity(prefix.len() + 27);
        id.push_str(prefix);
        id.push('-');
        id.extend((0..26).rev().map(|place| {
            let digit = (number >> (place * 5)) & 31;
            char::from(ALPHABET[digit as usize])
        }));
        id
    }

    /// Counts one step. Call it in every loop whose length comes from data and that touches no
    /// table, so that it ends the same way on every node; see `docs/determinism.md`.
    pub fn step(&mut self) {
        self.steps(1);
    }

    /// Counts `count` steps at once.
    pub fn steps(&mut self, count: u64) {
        // The error is for handlers that are unwinding already; there is nothing left to stop.
        let _ = self.spend(|meter| meter.steps(count));
    }

    /// The value under `key`.
    pub(crate) fn get(&mut self, key: &StateKey) -> Result<Option<Bytes>, Problem> {
        self.spend(|meter| meter.steps(ACCESS_STEPS))?;
        let value = match self.written(key) {
            Some(written) => written,
            None => self.get_base(key)?,
        };
        let size = value.as_ref().map_or(0, Bytes::len);
        self.spend(|meter| meter.bytes(size))?;
        Ok(value)
    }

    /// What this session has written under `key`, where it has.
    fn written(&self, key: &StateKey) -> Option<Option<Bytes>> {
        let own = self.writes.as_ref().and_then(|writes| writes.get(key));
        own.or_else(|| self.earlier.get(key)).cloned()
    }

    fn get_base(&mut self, key: &StateKey) -> Result<Option<Bytes>, Problem> {
        let found = match self.view.get(key) {
            Ok(found) => found,
            Err(error) => return Err(self.finish(End::State(error))),
        };
        let version = found.as_ref().map(|found| found.version);
        if self.recorder.key(key, version) {
            self.spend(|meter| meter.read(key.as_bytes().len()))?;
        }
        Ok(found.map(|found| found.value))
    }

    /// Puts, or with `None` deletes, the value under `key`.
    pub(crate) fn write(&mut self, key: StateKey, value: Option<Bytes>) -> Result<(), Problem> {
        let size = key.as_bytes().len() + value.as_ref().map_or(0, Bytes::len);
        self.spend(|meter| meter.steps(ACCESS_STEPS))?;
        self.spend(|meter| meter.bytes(size))?;
        let Some(writes) = &mut self.writes else {
            return Err(self.finish(End::WroteInRead));
        };
        writes.insert(key, value);
        let keys = writes.len();
        self.spend(|meter| meter.write(keys, size))
    }

    /// The first `limit` entries from `from` up to, not including, `to`.
    pub(crate) fn scan(
        &mut self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Bytes)>, Problem> {
        if limit == 0 || from >= to {
            return self.alive().map(|()| Vec::new());
        }
        let changed = self.changed_between(from, to);
        self.spend(|meter| meter.steps(ENTRY_STEPS * changed.len() as u64))?;
        // Only a deletion hides an entry of the base, so that many more are looked at.
        let hidden = changed.values().filter(|change| change.is_none()).count();
        let base = self.scan_base(from, to, limit.saturating_add(hidden))?;
        let mut merged: BTreeMap<StateKey, Bytes> = base
            .into_iter()
            .map(|(key, found)| (key, found.value))
            .collect();
        for (key, change) in changed {
            match change {
                Some(value) => merged.insert(key, value),
                None => merged.remove(&key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    fn changed_between(&self, from: &StateKey, to: &StateKey) -> Writes {
        let layers = [Some(&*self.earlier), self.writes.as_ref()];
        let entries = layers.into_iter().flatten();
        entries
            .flat_map(|layer| layer.range(from..to))
            .map(|(key, change)| (key.clone(), change.clone()))
            .collect()
    }

    /// Looks at entries of the base page by page, so that the budget ends a scan before it has
    /// loaded much more than it may. What was looked at is recorded even then: a range that has
    /// grown past the budget must show as stale.
    fn scan_base(
        &mut self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, Problem> {
        let mut seen: Vec<(StateKey, Versioned)> = Vec::new();
        let mut next = from.clone();
        let mut paid = Ok(());
        while paid.is_ok() && next < *to && seen.len() < limit {
            let page = PAGE_ENTRIES.min(limit - seen.len());
            paid = self.meter.steps(ACCESS_STEPS);
            if paid.is_err() {
                break;
            }
            let entries = match self.view.range(&next, to, page) {
                Ok(entries) => entries,
                Err(error) => return Err(self.finish(End::State(error))),
            };
            next = match entries.last() {
                Some((last, _)) if entries.len() == page => {
                    after(last).unwrap_or_else(|| to.clone())
                }
                _ => to.clone(),
            };
            paid = entries.iter().try_for_each(|(_, found)| {
                self.meter.steps(ENTRY_STEPS)?;
                self.meter.bytes(found.value.len())
            });
            seen.extend(entries);
        }
        if self.recorder.range(from, &next, &seen) {
            let key_bytes = from.as_bytes().len() + next.as_bytes().len();
            paid = paid.and(self.meter.read(key_bytes));
        }
        self.spend(|_| paid)?;
        Ok(seen)
    }

    fn alive(&self) -> Result<(), Problem> {
        match &self.end {
            None => Ok(()),
            Some(end) => {
                end_handler();
                Err(end.problem())
            }
        }
    }

    /// Spends of the budget; over it, the handler ends here and does not return.
    fn spend(&mut self, on: impl FnOnce(&mut Meter) -> Result<(), Bound>) -> Result<(), Problem> {
        self.alive()?;
        on(&mut self.meter).map_err(|bound| self.finish(End::Exhausted(bound)))
    }

    /// Ends the handler. Returns only to a handler that is unwinding already.
    fn finish(&mut self, end: End) -> Problem {
        let end = self.end.get_or_insert(end);
        end_handler();
        end.problem()
    }
}
