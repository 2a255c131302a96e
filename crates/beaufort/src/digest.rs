//! Hashes: BLAKE3 with a context for each use, so that no value of one kind can stand for one of another.

/// A BLAKE3 hash.
pub type Digest = [u8; 32];

/// The hash of some parts, each with its length before it, in a context of its own.
pub(crate) fn hash(context: &'static str, parts: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// What stands for a value in votes; `None` is what a deleted key holds.
pub fn value(value: Option<&[u8]>) -> Digest {
    match value {
        Some(bytes) => hash("beaufort 2026 value", &[bytes]),
        None => hash("beaufort 2026 tombstone", &[]),
    }
}
