//! What can be set, with what it is set to.

use crate::{Millis, Rule};

/// How a replica behaves. All of a network's replicas should have the same, but nothing depends on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many connections a replica opens by its own choice; it accepts more (section 4.1: seven performed best).
    pub degree: usize,
    /// How long a replica that is busy gathers what arrives before it decides and tells its neighbours, in
    /// milliseconds.
    pub interval: Millis,
    /// To how many neighbours a proposal that was not known goes at once.
    pub burst: usize,
    /// To how many neighbours that did not take part a certificate goes at once.
    pub spread: usize,
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
            burst: 3,
            spread: 1,
            linger: 400,
            stall: 3_000,
            renewal: 60_000,
            comparison: 10_000,
            caution: 60_000,
            rule: Rule::default(),
        }
    }
}
