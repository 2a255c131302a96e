//! Who may write what: asked before a replica votes for a value (section 4.1 of the paper).

/// Decides whether a value may take another's place.
///
/// Every honest replica must come to the same answer from the same arguments, or values may find no quorum.
pub trait Access {
    /// Whether `new` may take the place of `old` at this key; nothing stands for a key that is absent or deleted.
    fn allows(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool;
}

impl<F: Fn(&[u8], Option<&[u8]>, Option<&[u8]>) -> bool> Access for F {
    fn allows(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        self(key, old, new)
    }
}
