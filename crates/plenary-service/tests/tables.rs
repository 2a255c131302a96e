//! Tables behave as ordered maps, through every layer of a session, and record what they read.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use plenary_service::{Execution, Executor, TableKey, Writes, prelude::*};
use plenary_types::{Changes, Read, StateKey, Version, state::range_digest};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

const NAMES: Table<String, u64> = Table::new("names");
const PAIRS: Table<(String, u64), String> = Table::new("pairs");

/// Runs `body` as a handler on the session's `earlier` writes over `base`, and returns what it
/// returned.
fn within<T: Send + 'static>(
    base: Changes,
    earlier: Writes,
    body: impl Fn(&mut Context) -> Result<T, Problem> + Send + Sync + 'static,
) -> (T, Execution) {
    let result: Arc<Mutex<Option<T>>> = Arc::default();
    let slot = result.clone();
    let handler = move |cx: &mut Context| -> Result<(), Problem> {
        *slot.lock().unwrap() = Some(body(cx)?);
        Ok(())
    };
    let executor: Executor = executor(Service::new("test", "1").post("/run", handler));
    let execution = executor.execute(Arc::new(base), &Arc::new(earlier), origin(), &post("/run"));
    let execution = execution.unwrap();
    assert_eq!(code(&execution), (204, ""), "{execution:?}");
    let result = result.lock().unwrap().take();
    (result.unwrap(), execution)
}

fn named(entries: &[(&str, u64)]) -> Changes {
    let entries = entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    state("names", 3, entries)
}

fn read_key(name: &str, version: Option<Version>) -> Read {
    let key = key("names", name.as_bytes());
    Read::Key { key, version }
}

const V3: Version = Version {
    height: 3,
    index: 0,
};

#[test]
fn an_operation_reads_its_own_writes_then_the_sessions_then_the_base() {
    let base = named(&[("base", 1), ("session", 1), ("own", 1), ("gone", 1)]);
    let earlier = Writes::from([
        (key("names", b"session"), Some("2".into())),
        (key("names", b"own"), Some("2".into())),
        (key("names", b"gone"), None),
    ]);
    let (values, execution) = within(base, earlier, |cx| {
        NAMES.put(cx, &"own".into(), &3)?;
        ["base", "session", "own", "gone", "never"]
            .into_iter()
            .map(|name| NAMES.get(cx, &name.into()))
            .collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(values, [Some(1), Some(2), Some(3), None, None]);
    // What the session wrote itself cannot become stale.
    assert_eq!(
        execution.reads,
        [read_key("base", Some(V3)), read_key("never", None)]
    );
    let writes = Writes::from([(key("names", b"own"), Some("3".into()))]);
    assert_eq!(execution.writes, writes);
}

#[test]
fn reads_are_recorded_once_in_the_order_of_the_first() {
    let ((), execution) = within(named(&[("a", 1)]), Writes::new(), |cx| {
        for name in ["b", "a", "b", "a"] {
            NAMES.contains(cx, &name.into())?;
        }
        NAMES.scan(cx, .., 10)?;
        NAMES.scan(cx, .., 10).map(drop)
    });
    assert_eq!(execution.reads.len(), 3);
    assert_eq!(
        execution.reads[..2],
        [read_key("b", None), read_key("a", Some(V3))]
    );
}

#[test]
fn a_delete_after_a_put_deletes_and_a_put_after_a_delete_puts() {
    let ((), execution) = within(named(&[("a", 1), ("b", 1)]), Writes::new(), |cx| {
        NAMES.put(cx, &"a".into(), &2)?;
        NAMES.delete(cx, &"a".into())?;
        NAMES.delete(cx, &"b".into())?;
        NAMES.put(cx, &"b".into(), &2)
    });
    let writes = Writes::from([
        (key("names", b"a"), None),
        (key("names", b"b"), Some("2".into())),
    ]);
    assert_eq!(execution.writes, writes);
}

#[test]
fn a_scan_with_a_limit_records_only_what_it_looked_at() {
    let base = named(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    let (entries, execution) = within(base.clone(), Writes::new(), |cx| NAMES.scan(cx, .., 2));
    assert_eq!(entries, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let (a, b) = (key("names", b"a"), key("names", b"b"));
    let looked_at = Read::Range {
        from: key("names", b""),
        to: key("names", b"b\0"),
        digest: range_digest([(&a, V3), (&b, V3)]),
    };
    assert_eq!(execution.reads, [looked_at]);

    let (entries, execution) = within(base, Writes::new(), |cx| NAMES.scan(cx, .., 9));
    assert_eq!(entries.len(), 4);
    let [Read::Range { to, .. }] = &execution.reads[..] else {
        panic!("{:?}", execution.reads)
    };
    assert!(
        *to > key("names", b"\xFF\xFF") && *to < key("names-", b""),
        "{to:?}"
    );
}

#[test]
fn a_scan_sees_the_sessions_writes_and_is_not_short_for_its_deletions() {
    let base = named(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    let earlier = Writes::from([
        (key("names", b"a"), None),
        (key("names", b"c"), Some("33".into())),
        (key("names", b"bb"), Some("22".into())),
    ]);
    let (entries, _) = within(base, earlier, |cx| {
        NAMES.delete(cx, &"b".into())?;
        NAMES.scan(cx, .., 2)
    });
    assert_eq!(entries, [("bb".to_owned(), 22), ("c".to_owned(), 33)]);
}

#[test]
fn ranges_are_what_they_say() {
    let base = named(&[("a", 1), ("b", 2), ("c", 3), ("c\0", 4), ("d", 5)]);
    let text = |text: &str| text.to_owned();
    let (all, _) = within(base, Writes::new(), move |cx| {
        let mut all = Vec::new();
        for found in [
            NAMES.scan(cx, text("b")..text("c"), 9)?,
            NAMES.scan(cx, text("b")..=text("c"), 9)?,
            NAMES.scan(cx, ..=text("a"), 9)?,
            NAMES.scan(cx, text("c\0").., 9)?,
            NAMES.scan(cx, text("d")..text("a"), 9)?,
            NAMES.scan(cx, .., 0)?,
        ] {
            all.push(
                found
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect::<Vec<_>>(),
            );
        }
        Ok(all)
    });
    assert_eq!(
        all,
        [vec![2], vec![2, 3], vec![1], vec![4, 5], vec![], vec![]]
    );
}

#[test]
fn a_prefix_finds_all_keys_with_that_first_part_and_no_others() {
    let (found, _) = within(Changes::new(), Writes::new(), |cx| {
        for first in ["a", "a\0", "ab", "b"] {
            for second in [0, 7, u64::MAX] {
                PAIRS.put(
                    cx,
                    &(first.to_owned(), second),
                    &format!("{first} {second}"),
                )?;
            }
        }
        PAIRS.scan_prefix(cx, &"a".into(), 9)
    });
    let expected = [0, 7, u64::MAX].map(|n| (("a".to_owned(), n), format!("a {n}")));
    assert_eq!(found, expected);
}

#[test]
fn a_value_of_another_type_is_a_refusal_that_names_it() {
    const TEXTS: Table<String, String> = Table::new("names");
    fn get(cx: &mut Context) -> Result<Json<Option<String>>, Problem> {
        TEXTS.get(cx, &"a".into()).map(Json)
    }
    let executor = executor(Service::new("test", "1").post("/run", get));
    let execution = run(&executor, named(&[("a", 1)]), "/run").unwrap();
    assert_eq!(code(&execution), (500, "undecodable-value"));
    assert!(execution.answer.unwrap_err().detail.contains("names/a"));
}

#[test]
fn a_key_of_the_greatest_length_is_a_key_like_others() {
    let long = |last: char| format!("{}{last}", "k".repeat(1023));
    let (found, execution) = within(Changes::new(), Writes::new(), move |cx| {
        NAMES.put(cx, &long('a'), &1)?;
        NAMES.put(cx, &long('b'), &2)?;
        NAMES.scan(cx, long('a')..=long('a'), 9)
    });
    assert_eq!(found.len(), 1);
    assert_eq!(execution.writes.len(), 2);
}

fn encoded(key: &impl TableKey) -> (Vec<u8>, Vec<u8>) {
    let (mut inside, mut last) = (Vec::new(), Vec::new());
    key.encode(&mut inside);
    key.encode_last(&mut last);
    (inside, last)
}

fn assert_faithful<K: TableKey + Ord + std::fmt::Debug>(a: &K, b: &K) {
    let (first, second) = (encoded(a), encoded(b));
    assert_eq!(first.1.cmp(&second.1), a.cmp(b), "{a:?} {b:?}");
    assert_eq!(first.0.cmp(&second.0), a.cmp(b), "{a:?} {b:?}");
    assert_eq!(K::decode_last(&first.1).as_ref(), Some(a));
    let input = [first.0, vec![1, 2]].concat();
    let mut rest = &input[..];
    assert_eq!(K::decode(&mut rest).as_ref(), Some(a));
    assert_eq!(rest, [1, 2]);
}

/// Short texts of few characters, so that prefixes and zero bytes are common.
fn text() -> impl Strategy<Value = String> {
    "[\0\u{1}a\u{FF}]{0,4}"
}

proptest! {
    #[test]
    fn keys_sort_as_their_values_and_read_back(a: (u64, u8), b: (u64, u8), c in text(), d in text(), e in text(), f in text()) {
        assert_faithful(&a.0, &b.0);
        assert_faithful(&a, &b);
        assert_faithful(&c, &d);
        assert_faithful(&(c.clone(), e.clone()), &(d.clone(), f.clone()));
        assert_faithful(&((c.clone(), a.0), e), &((d, a.0), f));
        assert_faithful(&(a.0, c.clone()), &(a.0, c));
    }

    #[test]
    fn any_bytes_decode_to_a_key_or_to_none(bytes: Vec<u8>) {
        let _ = <(String, u64)>::decode_last(&bytes);
        let _ = <(u64, String)>::decode_last(&bytes);
        if let Some(key) = <((String, u8), String)>::decode_last(&bytes) {
            prop_assert_eq!(encoded(&key).1, bytes);
        }
    }

    /// A table over three layers is an ordered map: whatever was written where, a scan finds what
    /// the map has.
    #[test]
    fn a_scan_finds_what_an_ordered_map_has(
        base in proptest::collection::btree_map("[a-d]{1,2}", 0u64..9, 0..30),
        earlier in proptest::collection::btree_map("[a-d]{1,2}", proptest::option::of(0u64..9), 0..10),
        own in proptest::collection::vec(("[a-d]{1,2}", proptest::option::of(0u64..9)), 0..10),
        from in "[a-d]{0,2}",
        to in "[a-e]{0,2}",
        limit in 0usize..12,
    ) {
        let mut expected: BTreeMap<String, u64> = base.clone();
        for (key, value) in earlier.clone().into_iter().chain(own.clone()) {
            match value {
                Some(value) => expected.insert(key, value),
                None => expected.remove(&key),
            };
        }
        let expected: Vec<(String, u64)> = match from < to {
            true => expected.range(from.clone()..to.clone()).take(limit).map(|(k, v)| (k.clone(), *v)).collect(),
            false => Vec::new(),
        };
        let in_names = |name: &str| key("names", name.as_bytes());
        let overlay: Writes = earlier
            .iter()
            .map(|(name, value)| (in_names(name), value.map(|value| value.to_string().into())))
            .collect();
        let base_state = state("names", 3, base.clone());
        let (found, execution) = within(base_state, overlay, move |cx| {
            for (name, value) in &own {
                match value {
                    Some(value) => NAMES.put(cx, name, value)?,
                    None => NAMES.delete(cx, name)?,
                }
            }
            NAMES.scan(cx, from.clone()..to.clone(), limit)
        });
        prop_assert_eq!(&found, &expected);
        // The recorded digest is the base's between the recorded ends, so that a validator with
        // the same base sees no change.
        for read in &execution.reads {
            let Read::Range { from, to, digest } = read else { continue };
            let keys: BTreeSet<StateKey> = base.keys().map(|name| in_names(name)).collect();
            let between = keys.range(from..to).map(|key| (key, V3));
            prop_assert_eq!(*digest, range_digest(between));
        }
    }
}
