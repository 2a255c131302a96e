//! A block's body is exactly the one its header binds.

use crate::samples::full_block;
use plenary_types::{
    Block, BlockError, Outcome, Transaction, block::holds_outcomes, decode, encode,
    testing::Network,
};

fn refused(block: &Block) -> BlockError {
    assert!(decode::<Block>(encode(block)).is_err());
    block.check_body().unwrap_err()
}

#[test]
fn a_block_with_a_foreign_body_does_not_decode() {
    let network = Network::new(4);
    let block = full_block(&network);
    let height = block.header.height;
    assert_eq!(block.check_body(), Ok(()));

    let mut swapped = block.clone();
    swapped.transactions.swap(1, 2);
    assert_eq!(refused(&swapped), BlockError::Transactions { height });

    let mut replaced = block.clone();
    replaced.transactions[1] = network.numbered_transaction(99);
    assert_eq!(refused(&replaced), BlockError::Transactions { height });

    let mut missing = block.clone();
    missing.transactions.pop();
    assert!(matches!(refused(&missing), BlockError::Count { .. }));

    let mut shorter = block.clone();
    shorter.transactions.pop();
    shorter.outcomes.pop();
    assert!(matches!(refused(&shorter), BlockError::Count { .. }));

    let mut upgraded = block.clone();
    upgraded.outcomes[1] = Outcome::Committed;
    assert_eq!(refused(&upgraded), BlockError::Outcomes { height });

    let mut exchanged = block;
    exchanged.outcomes.swap(0, 1);
    assert_eq!(refused(&exchanged), BlockError::Outcomes { height });
}

#[test]
fn a_block_binds_the_signatures_in_its_transactions() {
    let network = Network::new(4);
    let mut block = full_block(&network);
    let mut content = block.transactions[0].content().clone();
    content.signature.0[0] ^= 1;
    block.transactions[0] = Transaction::new(&content).unwrap();
    let height = block.header.height;
    assert_eq!(refused(&block), BlockError::Transactions { height });
}

#[test]
fn hashes_and_outcomes_alone_can_be_checked_against_a_header() {
    let network = Network::new(4);
    let block = full_block(&network);
    let hashes = block.transactions.iter().map(Transaction::hash);
    let real: Vec<_> = hashes.zip(block.outcomes.iter().cloned()).collect();
    assert!(holds_outcomes(&block.header, &real));
    assert!(!holds_outcomes(&block.header, &real[1..]));
    let mut swapped = real.clone();
    swapped.swap(0, 1);
    assert!(!holds_outcomes(&block.header, &swapped));
    let mut upgraded = real.clone();
    upgraded[1].1 = Outcome::Committed;
    assert!(!holds_outcomes(&block.header, &upgraded));
    let mut replaced = real;
    replaced[1].0 = network.numbered_transaction(99).hash();
    assert!(!holds_outcomes(&block.header, &replaced));
}

#[test]
fn every_field_of_a_header_is_in_the_hash() {
    let network = Network::new(4);
    let header = full_block(&network).header;
    let json = serde_json::to_value(&header).unwrap();
    let mut hashes = vec![header.hash()];
    crate::receipt::for_each_change(&json, &mut |path, changed| {
        if let Ok(changed) = serde_json::from_value::<plenary_types::Header>(changed) {
            let hash = changed.hash();
            assert!(!hashes.contains(&hash), "{path} is not in the hash");
            hashes.push(hash);
        }
    });
    assert!(hashes.len() > 12);
}
