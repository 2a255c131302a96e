//! What a node has asked others for and may not have got yet: it asks for the same again only after
//! a while. An answer does not help where the two have different chains, or the asker refuses what
//! comes; without this they would talk for ever.

use parking_lot::Mutex;
use plenary_types::{SessionId, Timestamp};
use std::collections::BTreeMap;

/// How long a node waits before it asks for the same again, in milliseconds.
const AGAIN_MS: u64 = 1_000;
/// Of how many sessions it may ask for steps within that time.
const MOST: usize = 4_096;

/// Of which sessions steps were asked for, from which on and when.
#[derive(Default)]
pub(crate) struct Asked(Mutex<BTreeMap<SessionId, (u32, Timestamp)>>);

impl Asked {
    /// Whether to ask for the steps of a session from `step` on; notes that it is done.
    pub(crate) fn ask(&self, session: SessionId, step: u32, now: Timestamp) -> bool {
        let mut asked = self.0.lock();
        if asked.len() >= MOST {
            asked.retain(|_, (_, time)| time.plus_ms(AGAIN_MS) > now);
        }
        let known = asked.get(&session);
        let lately =
            known.is_some_and(|(from, time)| *from == step && time.plus_ms(AGAIN_MS) > now);
        if lately || (known.is_none() && asked.len() >= MOST) {
            return false;
        }
        asked.insert(session, (step, now));
        true
    }
}
