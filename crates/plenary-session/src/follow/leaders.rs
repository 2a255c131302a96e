//! Whom to give a transaction: the validator that leads next, and then those after it.
//!
//! Leaders take turns in the order of their keys, so the next one is known from the last final block's
//! proposer. A validator that did not take a transaction is tried after all others from then on, until
//! a block of it is final: one that is gone would otherwise cost a round trip, or the patience for it,
//! in every turn of it, and the network passes over it anyway.

use parking_lot::Mutex;
use plenary_types::{Header, PublicKey};

/// The validators in the order of their keys, and whose turn it is.
#[derive(Debug)]
pub struct Leaders {
    keys: Vec<PublicKey>,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    /// The index of the validator that leads next.
    next: usize,
    /// Who did not take a transaction, and has not proposed a final block since.
    gone: Vec<bool>,
}

impl Leaders {
    /// The validators with `keys`, after the final block `tip`.
    pub fn new(mut keys: Vec<PublicKey>, tip: &Header) -> Self {
        keys.sort_unstable();
        let turn = Turn {
            next: 0,
            gone: vec![false; keys.len()],
        };
        let leaders = Self {
            keys,
            turn: Mutex::new(turn),
        };
        leaders.followed(tip);
        leaders
    }

    /// Takes note of the last final block.
    pub fn followed(&self, tip: &Header) {
        let mut turn = self.turn.lock();
        let after = self.keys.partition_point(|key| *key <= tip.proposer);
        turn.next = after % self.keys.len().max(1);
        if let Some(proposer) = after.checked_sub(1) {
            turn.gone[proposer] &= self.keys[proposer] != tip.proposer;
        }
    }

    /// Takes note that a validator, by its index, did not take a transaction.
    pub fn failed(&self, validator: usize) {
        if let Some(gone) = self.turn.lock().gone.get_mut(validator) {
            *gone = true;
        }
    }

    /// The indices of all validators, in the order in which to try them with a transaction that was
    /// sent `attempts` times before.
    pub fn order(&self, attempts: usize) -> Vec<usize> {
        let turn = self.turn.lock();
        let count = self.keys.len();
        let mut order: Vec<usize> = (0..count)
            .map(|step| turn.next.wrapping_add(step) % count)
            .collect();
        order.sort_by_key(|validator| turn.gone[*validator]);
        let here = turn.gone.iter().filter(|gone| !**gone).count();
        if let Some(first) = attempts.checked_rem(here) {
            order[..here].rotate_left(first);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenary_types::testing::Network;

    fn proposed_by(network: &Network, validator: usize) -> Header {
        let mut header = network.genesis_block().header;
        header.proposer = network.genesis.validators[validator].key;
        header
    }

    #[test]
    fn who_did_not_take_a_transaction_is_tried_last_until_it_proposes_a_final_block() {
        let network = Network::new(4);
        let keys = network.genesis.validators.iter().map(|member| member.key);
        let leaders = Leaders::new(keys.collect(), &proposed_by(&network, 0));
        assert_eq!(leaders.order(0), [1, 2, 3, 0]);
        assert_eq!(leaders.order(1), [2, 3, 0, 1]);
        assert_eq!(leaders.order(4), [1, 2, 3, 0]);
        leaders.failed(1);
        assert_eq!(leaders.order(0), [2, 3, 0, 1]);
        assert_eq!(leaders.order(1), [3, 0, 2, 1]);
        leaders.followed(&proposed_by(&network, 2));
        assert_eq!(leaders.order(0), [3, 0, 2, 1]);
        leaders.followed(&proposed_by(&network, 1));
        assert_eq!(leaders.order(0), [2, 3, 0, 1]);
        (0..4).for_each(|validator| leaders.failed(validator));
        assert_eq!(leaders.order(3), [2, 3, 0, 1], "all are tried all the same");
    }
}
