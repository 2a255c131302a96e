//! State keys: one order, one reading.

use crate::samples::key;
use bytes::Bytes;
use plenary_types::{StateKey, Timestamp, Version, state::range_digest};

#[test]
fn keys_sort_by_table_then_by_key_and_ranges_of_a_table_hold_no_other() {
    let mut keys = [
        key("b", ""),
        key("a", "z"),
        key("a", ""),
        key("ab", "a"),
        key("a", "\u{0}"),
        key("a", "a"),
    ];
    keys.sort();
    let sorted: Vec<(&str, &[u8])> = keys.iter().map(|key| (key.table(), key.key())).collect();
    assert_eq!(
        sorted,
        [
            ("a", &b""[..]),
            ("a", b"\0"),
            ("a", b"a"),
            ("a", b"z"),
            ("ab", b"a"),
            ("b", b""),
        ]
    );
}

#[test]
fn keys_survive_json_and_text_whatever_their_bytes() {
    for (table, bytes, text) in [
        ("packages", &b"PKG-1"[..], "packages/PKG-1"),
        ("t", b"a/b c", "t/a/b c"),
        ("t", b"", "t/"),
        ("t", "ä".as_bytes(), "t/ä"),
        ("t", &[0, 255, 10], "t/0x00ff0a"),
        ("t", b"0x00", "t/0x30783030"),
    ] {
        let key = StateKey::new(table, bytes).unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(text.parse(), Ok(key.clone()));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<StateKey>(&json).unwrap(), key);
        let raw = Bytes::copy_from_slice(key.as_bytes());
        assert_eq!(StateKey::from_bytes(raw), Some(key));
    }
}

#[test]
fn what_is_no_table_and_key_is_refused() {
    for table in ["", "a\0b", "a/b", "a\nb"] {
        assert_eq!(StateKey::new(table, b"a"), None);
        let raw = [table.as_bytes(), b"\0a"].concat();
        let read = StateKey::from_bytes(raw.into());
        assert_ne!(read.as_ref().map(StateKey::table), Some(table));
    }
    for bytes in [
        &b""[..],
        b"no separator",
        b"\0key",
        b"\xff\0key",
        b"a/b\0key",
    ] {
        assert_eq!(StateKey::from_bytes(Bytes::from_static(bytes)), None);
    }
    // Not a table and a key, or not the one way to write them.
    for text in [
        "a",
        "/a",
        "",
        "t/0xzz",
        "t/0x0",
        "t/0x61",
        "t/0xFF",
        "t/\n",
        "t/0X00\u{1}",
    ] {
        assert!(text.parse::<StateKey>().is_err(), "{text:?}");
    }
    assert!(serde_json::from_str::<StateKey>("1").is_err());
}

#[test]
fn a_range_digest_sees_every_key_version_and_phantom() {
    let version = |height| Version { height, index: 0 };
    let (a, b) = (key("t", "a"), key("t", "b"));
    let digest = |entries: &[(&StateKey, Version)]| range_digest(entries.iter().copied());
    let digests = [
        digest(&[]),
        digest(&[(&a, version(1))]),
        digest(&[(&a, version(2))]),
        digest(&[(&b, version(1))]),
        digest(&[(&a, version(1)), (&b, version(1))]),
    ];
    for (position, one) in digests.iter().enumerate() {
        assert!(!digests[..position].contains(one), "{position}");
    }
}

#[test]
fn times_read_as_rfc_3339() {
    for (time, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_001, "2023-11-14T22:13:20.001Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "253402300800000 ms"),
        (u64::MAX, "18446744073709551615 ms"),
    ] {
        assert_eq!(Timestamp(time).to_string(), text);
    }
}
