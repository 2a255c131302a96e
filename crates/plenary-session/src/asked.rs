//! What a node has said to others lately, and need not say again yet: what it asked them for, and
//! which of its steps it showed them in the place of theirs. An answer does not help where the two
//! have different chains, or one refuses what comes; without this they would talk for ever.

use parking_lot::Mutex;
use plenary_types::Timestamp;
use std::collections::BTreeMap;

/// How long a node waits before it says the same again, in milliseconds.
const AGAIN_MS: u64 = 1_000;
/// How much it may say within that time.
const MOST: usize = 16_384;

/// What was said, and when.
pub(crate) struct Asked<T>(Mutex<BTreeMap<T, Timestamp>>);

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Ord> Asked<T> {
    /// Whether to say this now; notes that it is done.
    pub(crate) fn ask(&self, what: T, now: Timestamp) -> bool {
        let mut asked = self.0.lock();
        if asked.len() >= MOST {
            asked.retain(|_, time| time.plus_ms(AGAIN_MS) > now);
        }
        let known = asked.get(&what);
        let lately = known.is_some_and(|time| time.plus_ms(AGAIN_MS) > now);
        if lately || (known.is_none() && asked.len() >= MOST) {
            return false;
        }
        asked.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the last thing that was said of a session was remembered. Two nodes whose chains differed
    /// before their last steps asked each other for two steps in turn, each answer led to both
    /// questions again, and a storm of messages came of it that did not end.
    #[test]
    fn what_was_said_is_not_said_again_because_something_else_was() {
        let asked = Asked::default();
        let now = Timestamp(5_000);
        assert!(asked.ask((1, 7), now));
        assert!(asked.ask((1, 8), now));
        assert!(!asked.ask((1, 7), now));
        assert!(!asked.ask((1, 8), now.plus_ms(AGAIN_MS - 1)));
        assert!(asked.ask((1, 7), now.plus_ms(AGAIN_MS)));
    }

    #[test]
    fn who_has_said_too_much_says_nothing_new_for_a_while() {
        let asked = Asked::default();
        let now = Timestamp(5_000);
        assert!((0..MOST).all(|what| asked.ask(what, now)));
        assert!(!asked.ask(MOST, now));
        assert!(asked.ask(MOST, now.plus_ms(AGAIN_MS)));
    }
}
