//! What can be set, with what it is set to.

use crate::{Millis, Rule};

/// How a replica behaves. All of a network's replicas should have the same, but nothing depends on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many connections a replica opens by its own choice; it accepts more (section 4.1: seven performed best).
    pub degree: usize,
    /// How long what arrives is gathered before anything is decided and told, in milliseconds.
    pub turn: Millis,
    /// How long votes are gathered before they go to neighbours, in milliseconds.
    pub interval: Millis,
    /// To how many neighbours a new proposal goes at once.
    pub burst: usize,
    /// How long a view may not come further before its votes go to neighbours drawn at random, in milliseconds.
    pub patience: Millis,
    /// To how many neighbours they go then each time.
    pub fanout: usize,
    /// How long a split round waits for more votes at first, in milliseconds.
    pub linger: Millis,
    /// How long a proposal may make no progress before neighbours are exchanged, in milliseconds.
    pub stall: Millis,
    /// How often one neighbour is exchanged for another whatever happens, in milliseconds.
    pub renewal: Millis,
    /// How often the tree of all keys is compared with a neighbour's, in milliseconds.
    pub comparison: Millis,
    /// How long a new neighbour is believed only what it answers for, where false signatures were found not long ago, in
    /// milliseconds.
    pub caution: Millis,
    /// How a value is chosen after round 0.
    pub rule: Rule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            degree: 7,
            turn: 15,
            interval: 60,
            burst: 3,
            patience: 1_000,
            fanout: 1,
            linger: 400,
            stall: 3_000,
            renewal: 60_000,
            comparison: 10_000,
            caution: 10_000,
            rule: Rule::default(),
        }
    }
}
