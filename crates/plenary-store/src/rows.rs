//! What one block replaced, as one row of the database: sorted pairs of key and old value, to be
//! looked up where they are.
//!
//! Layout: the number of pairs, the end of each within what follows, then the pairs, each the
//! length of its key, the key, and the value. Numbers are big-endian; lengths of keys have 2
//! bytes, the others 4. A value without bytes means that there was nothing.

/// Pairs of key and value, sorted by key.
pub(crate) type Pairs<'a> = Vec<(&'a [u8], Vec<u8>)>;

/// Writes sorted pairs.
pub(crate) fn encode(pairs: &Pairs<'_>) -> Vec<u8> {
    let size = |(key, value): &(&[u8], Vec<u8>)| 2 + key.len() + value.len();
    let total: usize = pairs.iter().map(size).sum();
    let mut row = Vec::with_capacity(4 + 4 * pairs.len() + total);
    row.extend((pairs.len() as u32).to_be_bytes());
    let mut end = 0;
    for pair in pairs {
        end += size(pair) as u32;
        row.extend(end.to_be_bytes());
    }
    for (key, value) in pairs {
        row.extend((key.len() as u16).to_be_bytes());
        row.extend_from_slice(key);
        row.extend_from_slice(value);
    }
    row
}

/// A row as read. Whatever the bytes are, reading it ends, with `None` where they are no row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    ends: &'a [[u8; 4]],
    pairs: &'a [u8],
}

impl<'a> Row<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_be_bytes(*count) as usize;
        let (ends, pairs) = rest.split_at_checked(count.checked_mul(4)?)?;
        let ends = ends.as_chunks().0;
        Some(Self { ends, pairs })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The pair at `index`.
    pub(crate) fn pair(&self, index: usize) -> Option<(&'a [u8], &'a [u8])> {
        let end = |index: usize| Some(u32::from_be_bytes(*self.ends.get(index)?) as usize);
        let start = index.checked_sub(1).map_or(Some(0), end)?;
        let pair = self.pairs.get(start..end(index)?)?;
        let (length, pair) = pair.split_first_chunk::<2>()?;
        pair.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    }

    /// The value under `key`: `Ok(None)` where the row does not have it.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (found, value) = self.pair(middle)?;
            match found.cmp(key) {
                std::cmp::Ordering::Equal => return Some(Some(value)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_row_has_exactly_what_was_put_in(
            pairs in proptest::collection::btree_map("[a-c]{0,3}", "[a-z]{0,5}", 0..20),
            others in proptest::collection::vec("[a-c]{0,3}", 20),
        ) {
            let rows = pairs.iter().map(|(key, value)| (key.as_bytes(), value.clone().into_bytes()));
            let bytes = encode(&rows.collect());
            let row = Row::new(&bytes).unwrap();
            let read: Option<BTreeMap<_, _>> = (0..row.len()).map(|index| row.pair(index)).collect();
            let expected = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            prop_assert_eq!(read.unwrap(), expected.collect::<BTreeMap<_, _>>());
            for key in others.iter().chain(pairs.keys()) {
                let value = pairs.get(key).map(|value| value.as_bytes());
                prop_assert_eq!(row.get(key.as_bytes()).unwrap(), value);
            }
        }

        #[test]
        fn reading_garbage_ends(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(row) = Row::new(&bytes) {
                let _ = row.get(b"a");
                let _ = row.pair(row.len());
            }
        }
    }
}
