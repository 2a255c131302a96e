//! Where ranges of state keys begin and end.

use bytes::Bytes;
use plenary_types::{StateKey, limits::MAX_KEY_BYTES};

/// The first key of a table.
pub(crate) fn table_start(table: &str) -> Option<StateKey> {
    StateKey::new(table, &[])
}

/// The first key that sorts after a whole table, and before any other: of what a state key may
/// have in its name a space sorts first, and names of tables have none.
pub(crate) fn table_end(table: &str) -> Option<StateKey> {
    StateKey::new(&format!("{table} "), &[])
}

/// The next key that can exist, within the same table; `None` where none can.
pub(crate) fn after(key: &StateKey) -> Option<StateKey> {
    if key.key().len() < MAX_KEY_BYTES {
        let mut bytes = Vec::with_capacity(key.as_bytes().len() + 1);
        bytes.extend_from_slice(key.as_bytes());
        bytes.push(0);
        return StateKey::from_bytes(Bytes::from(bytes));
    }
    // A longer key cannot exist, so the next is the next that does not begin with this one.
    after_prefix(key.table(), key.key())
}

/// The first key of a table that sorts after every key that begins with `prefix`; `None` where
/// none does.
pub(crate) fn after_prefix(table: &str, prefix: &[u8]) -> Option<StateKey> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if let Some(last) = last.checked_add(1) {
            next.push(last);
            return StateKey::new(table, &next);
        }
    }
    None
}
