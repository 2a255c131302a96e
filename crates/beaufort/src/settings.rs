//! What can be set, with what it is set to.

use crate::{Millis, Rule};

/// How a replica behaves. All of a network's replicas should have the same, but nothing depends on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many connections a replica opens by its own choice; it accepts more (section 4.1: seven performed best).
    pub degree: usize,
    /// How long votes are gathered before they go to neighbours, in milliseconds.
    pub interval: Millis,
    /// To how many neighbours votes go each time.
    pub fanout: usize,
    /// To how many neighbours a new proposal, n - f votes or a decision go at once.
    pub burst: usize,
    /// How long a split round waits for more votes at first, in milliseconds.
    pub linger: Millis,
    /// How long a proposal may make no progress before neighbours are exchanged, in milliseconds.
    pub stall: Millis,
    /// How often one neighbour is exchanged for another whatever happens, in milliseconds.
    pub renewal: Millis,
    /// How often the tree of all keys is compared with a neighbour's, in milliseconds.
    pub comparison: Millis,
    /// How long every signature is verified on arrival after a false one was found, in milliseconds.
    pub caution: Millis,
    /// How a value is chosen after round 0.
    pub rule: Rule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            degree: 7,
            interval: 40,
            fanout: 1,
            burst: 3,
            linger: 400,
            stall: 3_000,
            renewal: 60_000,
            comparison: 10_000,
            caution: 60_000,
            rule: Rule::default(),
        }
    }
}
