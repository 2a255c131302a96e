//! The encodings are pinned: a certificate, a ledger or a genesis of an earlier program must mean
//! the same to this one.

use crate::samples::{full_block, genesis_with_everything, samples, session};
use plenary_types::{Genesis, Receipt, testing::Network};

/// Compares a pinned file with what this program makes.
fn assert_pinned(file: &str, pinned: &str, made: &str) {
    assert!(
        pinned == made,
        "the encoding in tests/types/{file} has changed. If that is meant, every stored and signed \
         value changes with it; then the file is now:\n{made}"
    );
}

#[test]
fn every_type_has_its_pinned_encoding() {
    let lines = samples().into_iter().map(|sample| {
        let hex = hex::encode(&sample.bytes);
        format!("{}: {hex}\n", sample.name)
    });
    assert_pinned(
        "golden.txt",
        include_str!("golden.txt"),
        &lines.collect::<String>(),
    );
}

#[test]
fn every_hash_has_its_pinned_value() {
    let network = Network::new(4);
    let block = full_block(&network);
    let session = session(&network);
    let hashes = [
        ("genesis", network.genesis.hash().to_string()),
        ("block", block.hash().to_string()),
        ("transaction", session.hash().to_string()),
        ("session", session.session().unwrap().to_string()),
        (
            "request",
            session.operations[0].request.digest().to_string(),
        ),
        (
            "response",
            session.operations[0].response.digest().to_string(),
        ),
    ];
    let lines = hashes.map(|(name, hash)| format!("{name}: {hash}\n"));
    assert_pinned("hashes.txt", include_str!("hashes.txt"), &lines.concat());
}

#[test]
fn receipts_have_their_pinned_json() {
    let network = Network::new(4);
    let receipt = network.receipt(&full_block(&network), 1, 1);
    let json = serde_json::to_string_pretty(&receipt).unwrap() + "\n";
    assert_pinned("receipt.json", include_str!("receipt.json"), &json);
    let read: Receipt = serde_json::from_str(&json).unwrap();
    assert_eq!(read, receipt);
}

#[test]
fn genesis_files_have_their_pinned_toml() {
    let assert_toml = |file: &str, pinned: &str, genesis: Genesis| {
        assert_pinned(file, pinned, &genesis.to_toml().unwrap());
        assert_eq!(Genesis::from_toml(pinned).unwrap(), genesis);
    };
    let everything = include_str!("genesis.toml");
    assert_toml("genesis.toml", everything, genesis_with_everything());
    // Of the network of receipt.json.
    let network = include_str!("network.toml");
    assert_toml("network.toml", network, Network::new(4).genesis);
}
