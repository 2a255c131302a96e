//! Typed tables over the state: where a service keeps what it knows.
//!
//! A table is a name; its entries are in the state under that name, values as JSON so that
//! auditors can read them. Two constants of one name are one table: that they agree on the types
//! is the author's part.

use crate::{
    bounds::{after, after_prefix, table_end, table_start},
    context::Context,
    key::TableKey,
};
use plenary_types::{
    Problem, StateKey,
    limits::{MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

/// Entries of a table, in order of their keys.
pub type Entries<K, V> = Vec<(K, V)>;

/// A table from keys to values.
///
/// ```
/// use plenary_service::Table;
/// const STOCK: Table<String, u64> = Table::new("stock");
/// ```
///
/// Every method ends the handler where the operation goes over its [`Limits`](crate::Limits), or
/// where the node's storage fails; then it does not return.
pub struct Table<K, V> {
    name: &'static str,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.name)
    }
}

impl<K: TableKey, V: Serialize + DeserializeOwned> Table<K, V> {
    /// Names a table: lower-case letters, digits, `-`, `_` and `.`, at most 63 bytes.
    ///
    /// # Panics
    ///
    /// Where the name is another; in a `const` that is an error of the compiler's.
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_table_name(name),
            "a table's name has 1 to 63 of a-z, 0-9, `-`, `_` and `.`"
        );
        Self {
            name,
            types: PhantomData,
        }
    }

    /// The table's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where `key`'s value is in the state.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`.
    pub fn state_key(&self, key: &K) -> Result<StateKey, Problem> {
        let mut bytes = Vec::new();
        key.encode_last(&mut bytes);
        self.join(&bytes)
    }

    fn join(&self, key: &[u8]) -> Result<StateKey, Problem> {
        StateKey::new(self.name, key).ok_or_else(|| {
            let detail = format!(
                "a key of the table {} has {} bytes, more than the {MAX_KEY_BYTES} allowed",
                self.name,
                key.len()
            );
            Problem::bad_request("key-too-long", detail)
        })
    }

    /// The value of `key`, where there is one.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`; 500 `undecodable-value` where the value is not a `V`, as after a
    /// change of the type without a migration.
    pub fn get(&self, cx: &mut Context, key: &K) -> Result<Option<V>, Problem> {
        let key = self.state_key(key)?;
        let value = cx.get(&key)?;
        value.map(|value| decode_value(&key, &value)).transpose()
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`.
    pub fn contains(&self, cx: &mut Context, key: &K) -> Result<bool, Problem> {
        let key = self.state_key(key)?;
        Ok(cx.get(&key)?.is_some())
    }

    /// Makes `value` the value of `key`.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`; 500 `value-too-large`; 500 `unencodable-value` where JSON has no word
    /// for the value, as for a map whose keys are no texts.
    pub fn put(&self, cx: &mut Context, key: &K, value: &V) -> Result<(), Problem> {
        let key = self.state_key(key)?;
        let bytes = serde_json::to_vec(value).map_err(|error| {
            let detail = format!("the value of {key} has no JSON: {error}");
            Problem::new(500, "unencodable-value", detail)
        })?;
        if bytes.len() > MAX_VALUE_BYTES {
            let detail = format!(
                "the value of {key} has {} bytes, more than the {MAX_VALUE_BYTES} allowed",
                bytes.len()
            );
            return Err(Problem::new(500, "value-too-large", detail));
        }
        cx.write(key, Some(bytes.into()))
    }

    /// Removes `key` and its value, where there is one.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`.
    pub fn delete(&self, cx: &mut Context, key: &K) -> Result<(), Problem> {
        let key = self.state_key(key)?;
        cx.write(key, None)
    }

    /// The first `limit` entries with keys in `range`, in order of their keys. `..` is the whole
    /// table. Another operation that adds or removes an entry among those that were looked at
    /// makes this one stale.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`; 500 `undecodable-value`.
    pub fn scan(
        &self,
        cx: &mut Context,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Entries<K, V>, Problem> {
        let from = match range.start_bound() {
            Bound::Included(key) => Some(self.state_key(key)?),
            Bound::Excluded(key) => after(&self.state_key(key)?).or_else(|| table_end(self.name)),
            Bound::Unbounded => table_start(self.name),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => after(&self.state_key(key)?).or_else(|| table_end(self.name)),
            Bound::Excluded(key) => Some(self.state_key(key)?),
            Bound::Unbounded => table_end(self.name),
        };
        self.entries(cx, from, to, limit)
    }

    fn entries(
        &self,
        cx: &mut Context,
        from: Option<StateKey>,
        to: Option<StateKey>,
        limit: usize,
    ) -> Result<Entries<K, V>, Problem> {
        let (Some(from), Some(to)) = (from, to) else {
            let detail = format_args!("the table {} has no bounds", self.name);
            return Err(Problem::new(500, "invalid-table", detail));
        };
        let entries = cx.scan(&from, &to, limit)?;
        let decode = |(key, value): (StateKey, bytes::Bytes)| {
            let decoded = K::decode_last(key.key()).ok_or_else(|| undecodable(&key, "its key"))?;
            Ok((decoded, decode_value(&key, &value)?))
        };
        entries.into_iter().map(decode).collect()
    }
}

impl<A: TableKey, B: TableKey, V: Serialize + DeserializeOwned> Table<(A, B), V> {
    /// The first `limit` entries whose keys begin with `first`, in order of their keys; stale as
    /// [`scan`](Self::scan) is.
    ///
    /// # Errors
    ///
    /// 400 `key-too-long`; 500 `undecodable-value`.
    pub fn scan_prefix(
        &self,
        cx: &mut Context,
        first: &A,
        limit: usize,
    ) -> Result<Entries<(A, B), V>, Problem> {
        let mut prefix = Vec::new();
        first.encode(&mut prefix);
        let from = self.join(&prefix)?;
        let to = after_prefix(self.name, &prefix).or_else(|| table_end(self.name));
        self.entries(cx, Some(from), to, limit)
    }
}

fn decode_value<V: DeserializeOwned>(key: &StateKey, value: &[u8]) -> Result<V, Problem> {
    serde_json::from_slice(value).map_err(|error| undecodable(key, error))
}

fn undecodable(key: &StateKey, what: impl fmt::Display) -> Problem {
    let detail = format_args!("the entry {key} is not of the table's type: {what}");
    Problem::new(500, "undecodable-value", detail)
}

const fn is_table_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= MAX_NAME_BYTES {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.') {
            return false;
        }
        at += 1;
    }
    true
}
