//! A receipt proves what it says, and nothing once any part of it is altered.

use crate::samples::full_block;
use plenary_types::{
    Certificate, CertificateError, Digest, Genesis, GenesisFile, Outcome, Receipt, ReceiptError,
    Signature, TransactionHash, decode, encode, limits::MAX_DESCENDANTS, testing::Network,
};
use serde_json::{Value, json};

/// Calls `act` with each way to alter one place of `json`, and where that is.
pub(crate) fn for_each_change(json: &Value, act: &mut dyn FnMut(&str, Value)) {
    change_below(json, "", &mut |path, changed| act(path, changed));
}

fn change_below(value: &Value, path: &str, act: &mut dyn FnMut(&str, Value)) {
    for other in alternatives(value) {
        act(path, other);
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                change_below(member, &format!("{path}.{name}"), &mut |path, changed| {
                    let mut members = members.clone();
                    members.insert(name.clone(), changed);
                    act(path, members.into());
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                change_below(item, &format!("{path}[{index}]"), &mut |path, changed| {
                    let mut items = items.clone();
                    items[index] = changed;
                    act(path, items.into());
                });
            }
        }
        _ => {}
    }
}

/// Other values that a forger would put in the place of `value`.
fn alternatives(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            let others = [number.checked_sub(1), number.checked_add(1), Some(u64::MAX)];
            others.into_iter().flatten().map(Value::from).collect()
        }
        Value::String(text) => {
            let flip = |position: usize| {
                let mut bytes = text.clone().into_bytes();
                bytes[position] = if bytes[position] == b'0' { b'1' } else { b'0' };
                Value::from(String::from_utf8(bytes).unwrap())
            };
            let cut = Value::from(&text[1..]);
            vec![
                flip(0),
                flip(text.len() / 2),
                flip(text.len() - 1),
                cut,
                "".into(),
            ]
        }
        Value::Array(items) => {
            let mut others = vec![];
            for index in 0..items.len() {
                let (mut without, mut twice, mut swapped) =
                    (items.clone(), items.clone(), items.clone());
                without.remove(index);
                twice.insert(index, items[index].clone());
                swapped.swap(index, (index + 1) % items.len());
                others.extend([without.into(), twice.into(), swapped.into()]);
            }
            others
        }
        Value::Object(members) => {
            let without = members.keys().map(|name| {
                let mut members = members.clone();
                members.remove(name);
                members.into()
            });
            let mut more = members.clone();
            more.insert("extra".into(), 1.into());
            without.chain([more.into()]).collect()
        }
        Value::Null | Value::Bool(_) => vec![json!(1)],
    }
}

fn network_and_receipt() -> (Network, Receipt) {
    let network = Network::new(4);
    let receipt = network.receipt(&full_block(&network), 1, 2);
    (network, receipt)
}

fn refused(receipt: &Receipt, network: &Network) -> ReceiptError {
    receipt.verify(&network.genesis).unwrap_err()
}

#[test]
fn a_receipt_says_what_it_proves() {
    let network = Network::new(4);
    let block = full_block(&network);
    for (index, outcome) in block.outcomes.iter().enumerate() {
        for descendants in [0, 1, 3] {
            let receipt = network.receipt(&block, index as u32, descendants);
            let verified = receipt.verify(&network.genesis).unwrap();
            assert_eq!(verified.transaction, block.transactions[index].hash());
            assert_eq!(verified.outcome, *outcome);
            assert_eq!(verified.block, block.hash());
            assert_eq!((verified.height, verified.index), (1, index as u32));
            assert_eq!(verified.time, block.header.time);
            assert_eq!(verified.certified_height, 1 + descendants as u64);
            assert_eq!(verified.network, "test-network");
            assert_eq!(
                verified.signers,
                ["validator-0", "validator-1", "validator-2"]
            );
        }
    }
    assert_eq!(
        Receipt::new(&block, 5, vec![], network.certificate(&block.header)),
        None
    );
}

#[test]
fn a_receipt_of_a_single_transaction_holds_with_any_quorum() {
    let network = Network::new(7);
    let block = network.committed(
        &network.genesis_block().header,
        vec![network.numbered_transaction(1)],
    );
    for signers in [vec![0, 1, 2, 3, 4], vec![2, 3, 4, 5, 6], (0..7).collect()] {
        let certificate = network.certificate_by(&block.header, &signers);
        let receipt = Receipt::new(&block, 0, vec![], certificate).unwrap();
        let verified = receipt.verify(&network.genesis).unwrap();
        assert_eq!(verified.signers.len(), signers.len());
    }
}

#[test]
fn a_receipt_with_any_one_place_of_its_json_altered_is_refused() {
    let (network, receipt) = network_and_receipt();
    let json = serde_json::to_value(&receipt).unwrap();
    let (mut altered, mut unreadable) = (0, 0);
    for_each_change(
        &json,
        &mut |path, changed| match serde_json::from_value::<Receipt>(changed.clone()) {
            Ok(changed) => {
                assert_ne!(changed, receipt, "{path} can be written in two ways");
                assert!(changed.verify(&network.genesis).is_err(), "{path}");
                altered += 1;
            }
            Err(_) => unreadable += 1,
        },
    );
    assert!(altered > 150 && unreadable > 50, "{altered}, {unreadable}");
}

#[test]
fn an_outcome_cannot_be_replaced_by_another() {
    let network = Network::new(4);
    let block = full_block(&network);
    for (index, real) in block.outcomes.iter().enumerate() {
        for forged in block.outcomes.iter().filter(|forged| *forged != real) {
            let mut receipt = network.receipt(&block, index as u32, 0);
            receipt.outcome = forged.clone();
            let transaction = receipt.transaction;
            assert_eq!(refused(&receipt, &network), ReceiptError::Path(transaction));
        }
    }
}

#[test]
fn a_receipt_cannot_stand_for_another_transaction() {
    let network = Network::new(4);
    let block = full_block(&network);
    let mut receipt = network.receipt(&block, 1, 0);
    receipt.transaction = block.transactions[2].hash();
    assert!(matches!(refused(&receipt, &network), ReceiptError::Path(_)));
    let mut receipt = network.receipt(&block, 1, 0);
    receipt.index = 2;
    assert!(matches!(refused(&receipt, &network), ReceiptError::Path(_)));
    let mut receipt = network.receipt(&block, 1, 0);
    receipt.transaction = TransactionHash([0; 32]);
    assert!(matches!(refused(&receipt, &network), ReceiptError::Path(_)));
}

#[test]
fn a_forged_block_needs_the_validators_signatures() {
    let (network, receipt) = network_and_receipt();
    // A whole block of the forger's own, consistent in itself, under the real certificate.
    let forged = network.committed(
        &network.genesis_block().header,
        vec![network.numbered_transaction(66)],
    );
    let forged = Receipt::new(&forged, 0, vec![], receipt.certificate).unwrap();
    assert!(matches!(
        refused(&forged, &network),
        ReceiptError::Certificate(CertificateError::Signature { .. })
    ));
}

#[test]
fn signatures_cannot_be_reused_for_another_header() {
    let network = Network::new(4);
    let one = network.committed(&network.genesis_block().header, vec![]);
    let two = network.committed(&one.header, vec![network.numbered_transaction(1)]);
    let certificate = network.certificate(&one.header);
    let receipt = Receipt::new(&two, 0, vec![], certificate).unwrap();
    assert!(matches!(
        refused(&receipt, &network),
        ReceiptError::Certificate(CertificateError::Signature { .. })
    ));
}

#[test]
fn votes_of_another_phase_are_no_certificate() {
    use plenary_types::certificate::{Phase, ValidatorSignature};
    let network = Network::new(4);
    let block = full_block(&network);
    let votes = (0..3).map(|validator| ValidatorSignature {
        validator: validator as u32,
        signature: network
            .vote(
                validator,
                Phase::Notarize,
                block.header.round,
                &block.header,
            )
            .signature,
    });
    let notarization = Certificate {
        signatures: votes.collect(),
    };
    assert!(matches!(
        notarization.verify(&block.header, &network.genesis),
        Err(CertificateError::Signature { validator: 0, .. })
    ));
}

#[test]
fn fewer_than_a_quorum_of_distinct_validators_prove_nothing() {
    for count in [4, 5, 6, 7, 16] {
        let network = Network::new(count);
        let quorum = network.genesis.quorum();
        assert_eq!(quorum, (2 * count + 1).div_ceil(3));
        let block = network.committed(
            &network.genesis_block().header,
            vec![network.numbered_transaction(1)],
        );
        let error = |signers: &[usize]| {
            let certificate = network.certificate_by(&block.header, signers);
            certificate
                .verify(&block.header, &network.genesis)
                .unwrap_err()
        };
        let all: Vec<usize> = (0..quorum).collect();
        let too_few = CertificateError::Quorum {
            quorum,
            found: quorum - 1,
        };
        assert_eq!(error(&all[1..]), too_few);
        assert_eq!(error(&[]), CertificateError::Quorum { quorum, found: 0 });

        let mut twice = all.clone();
        twice[quorum - 1] = quorum - 2;
        let position = quorum - 1;
        assert_eq!(error(&twice), CertificateError::Signers { position });
        let reversed: Vec<usize> = all.iter().rev().copied().collect();
        assert_eq!(error(&reversed), CertificateError::Signers { position: 1 });
    }
}

#[test]
fn signers_that_the_genesis_does_not_name_prove_nothing() {
    let network = Network::new(4);
    let block = full_block(&network);
    let mut certificate = network.certificate(&block.header);
    for outsider in [4, u32::MAX] {
        certificate.signatures[2].validator = outsider;
        assert_eq!(
            certificate.verify(&block.header, &network.genesis),
            Err(CertificateError::Signers { position: 2 })
        );
    }
}

#[test]
fn one_bad_signature_spoils_even_more_than_a_quorum() {
    let network = Network::new(4);
    let block = full_block(&network);
    let mut certificate = network.certificate_by(&block.header, &[0, 1, 2, 3]);
    certificate.signatures[3].signature = Signature([0; 64]);
    assert!(matches!(
        certificate.verify(&block.header, &network.genesis),
        Err(CertificateError::Signature { validator: 3, .. })
    ));
}

#[test]
fn a_receipt_holds_on_its_own_network_only() {
    let (network, receipt) = network_and_receipt();
    let mut file = GenesisFile::from(network.genesis.clone());
    file.network = "the same validators, another network".into();
    let other = Genesis::try_from(file).unwrap();
    assert_eq!(
        receipt.verify(&other),
        Err(ReceiptError::Certificate(CertificateError::Genesis {
            expected: other.hash(),
            found: network.genesis.hash(),
        }))
    );
}

#[test]
fn headers_between_block_and_certificate_must_be_linked() {
    let (network, receipt) = network_and_receipt();
    let link = |receipt: &Receipt| match refused(receipt, &network) {
        ReceiptError::Link { position, .. } => position,
        other => panic!("{other}"),
    };
    let mut missing = receipt.clone();
    missing.descendants.remove(0);
    assert_eq!(link(&missing), 0);
    let mut swapped = receipt.clone();
    swapped.descendants.swap(0, 1);
    assert_eq!(link(&swapped), 0);
    let mut jump = receipt.clone();
    jump.descendants[1].parent = receipt.header.hash();
    assert_eq!(link(&jump), 1);
    let mut without = receipt.clone();
    without.descendants.clear();
    assert!(matches!(
        refused(&without, &network),
        ReceiptError::Certificate(_)
    ));
    let mut endless = receipt;
    endless.descendants = vec![endless.descendants[0].clone(); MAX_DESCENDANTS + 1];
    assert_eq!(
        refused(&endless, &network),
        ReceiptError::Descendants(MAX_DESCENDANTS + 1)
    );
}

#[test]
fn receipts_of_another_form_are_refused_by_name() {
    let (network, mut receipt) = network_and_receipt();
    receipt.version = 2;
    assert_eq!(
        refused(&receipt, &network).to_string(),
        "receipt version 2 is not known to this program, which reads version 1"
    );
}

#[test]
fn a_path_of_the_wrong_length_is_refused() {
    let (network, receipt) = network_and_receipt();
    let mut longer = receipt.clone();
    longer.path.push(Digest([0; 32]));
    assert!(matches!(refused(&longer, &network), ReceiptError::Path(_)));
    let mut shorter = receipt;
    shorter.path.pop();
    assert!(matches!(refused(&shorter, &network), ReceiptError::Path(_)));
}

#[test]
fn what_a_receipt_proves_reads_as_a_sentence() {
    let (network, receipt) = network_and_receipt();
    let verified = receipt.verify(&network.genesis).unwrap();
    assert!(matches!(verified.outcome, Outcome::Conflict { .. }));
    assert_eq!(
        verified.to_string(),
        format!(
            "transaction {} is conflict at step 1 on packages/PKG-1 work/7 at height 1 of \
             test-network, signed by validator-0, validator-1, validator-2",
            receipt.transaction
        )
    );
}

#[test]
fn certificates_survive_their_encoding() {
    let (network, receipt) = network_and_receipt();
    let certificate: Certificate = decode(encode(&receipt.certificate)).unwrap();
    let last = receipt.descendants.last().unwrap();
    assert_eq!(certificate.verify(last, &network.genesis), Ok(()));
}
