//! Decoding is total, bounded and canonical, whatever the bytes.

use crate::samples::samples;
use bytes::{BufMut, Bytes, BytesMut};
use commonware_codec::{EncodeSize as _, Write as _};
use plenary_types::{
    Author, Block, Certificate, Operation, Outcome, Request, Response, StateKey, Transaction,
    TransactionError, Versioned,
    certificate::ValidatorSignature,
    decode, encode,
    limits::{
        MAX_BLOCK_BYTES, MAX_BODY_BYTES, MAX_CONTENT_TYPE_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES,
        MAX_OPERATIONS, MAX_READS, MAX_TARGET_BYTES, MAX_TRANSACTION_BYTES, MAX_VALIDATORS,
        MAX_VALUE_BYTES,
    },
    testing::{Network, client, operation, request, response},
};
use proptest::{collection::vec, prelude::*, sample::Index};

/// What is accepted has one encoding: the bytes it came from.
fn assert_canonical(
    name: &str,
    reencode: fn(Bytes) -> Result<Bytes, commonware_codec::Error>,
    bytes: Bytes,
) {
    if let Ok(again) = reencode(bytes.clone()) {
        assert_eq!(again, bytes, "{name} accepted a second encoding");
    }
}

#[test]
fn every_sample_decodes_to_itself() {
    for sample in samples() {
        let again = (sample.reencode)(sample.bytes.clone());
        assert_eq!(again.unwrap(), sample.bytes, "{}", sample.name);
    }
}

#[test]
fn truncated_and_extended_encodings_are_refused() {
    for sample in samples() {
        for end in 0..sample.bytes.len() {
            let cut = sample.bytes.slice(..end);
            assert!(
                (sample.reencode)(cut).is_err(),
                "{} cut to {end}",
                sample.name
            );
        }
        let longer = [&sample.bytes[..], &[0]].concat();
        assert!((sample.reencode)(longer.into()).is_err(), "{}", sample.name);
    }
}

#[test]
fn every_changed_byte_is_refused_or_makes_another_canonical_value() {
    for sample in samples() {
        for position in 0..sample.bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = sample.bytes.to_vec();
                bytes[position] ^= flip;
                assert_canonical(&sample.name, sample.reencode, bytes.into());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..2048)) {
        for sample in samples() {
            assert_canonical(&sample.name, sample.reencode, bytes.clone().into());
        }
    }

    #[test]
    fn mutated_encodings_never_panic(
        edits in vec((any::<Index>(), any::<u8>(), 0..4u8), 1..8),
    ) {
        for sample in samples() {
            let mut bytes = sample.bytes.to_vec();
            for (position, byte, kind) in &edits {
                let position = position.index(bytes.len().max(1));
                match kind {
                    0 if position < bytes.len() => bytes[position] = *byte,
                    1 => bytes.insert(position.min(bytes.len()), *byte),
                    2 if position < bytes.len() => { bytes.remove(position); }
                    _ => bytes.truncate(position),
                }
            }
            assert_canonical(&sample.name, sample.reencode, bytes.into());
        }
    }
}

#[test]
fn lengths_beyond_the_bound_are_refused_before_anything_is_allocated() {
    // The largest length there is, with nothing behind it.
    let huge = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(decode::<StateKey>(huge.clone()).is_err());
    assert!(decode::<Transaction>(huge.clone()).is_err());
    assert!(decode::<Certificate>(huge.clone()).is_err());
    let mut outcome = BytesMut::from(&[1, 0, 0, 0, 0][..]);
    outcome.extend_from_slice(&huge);
    assert!(decode::<Outcome>(outcome.freeze()).is_err());
}

fn post(target: String, content_type: &str, body: usize) -> Request {
    Request {
        target,
        content_type: content_type.into(),
        body: vec![0; body].into(),
        ..request("/", "")
    }
}

#[test]
fn requests_at_their_bounds_decode_and_beyond_do_not() {
    let target = |length| format!("/{}", "a".repeat(length - 1));
    let fits = post(
        target(MAX_TARGET_BYTES),
        &"t".repeat(MAX_CONTENT_TYPE_BYTES),
        MAX_BODY_BYTES,
    );
    assert_eq!(decode::<Request>(encode(&fits)).unwrap(), fits);
    let over = [
        post(target(MAX_TARGET_BYTES + 1), "", 0),
        post("/".into(), &"t".repeat(MAX_CONTENT_TYPE_BYTES + 1), 0),
        post("/".into(), "", MAX_BODY_BYTES + 1),
    ];
    for request in over {
        assert!(request.check().is_err());
        assert!(decode::<Request>(encode(&request)).is_err());
    }
}

#[test]
fn requests_that_could_be_read_in_two_ways_do_not_decode() {
    for target in [
        "",
        "a",
        "http://other/",
        "/a b",
        "/a\n",
        "/ä",
        "/a#b",
        "/\u{7f}",
    ] {
        let request = post(target.into(), "", 0);
        assert!(request.check().is_err(), "{target:?}");
        assert!(decode::<Request>(encode(&request)).is_err(), "{target:?}");
    }
    for content_type in [" a", "a ", "a\nb", "a\r", "ä"] {
        let request = post("/".into(), content_type, 0);
        assert!(
            decode::<Request>(encode(&request)).is_err(),
            "{content_type:?}"
        );
    }
}

#[test]
fn responses_that_http_cannot_carry_do_not_decode() {
    for status in [0, 99, 100, 199, 600, 1000, u16::MAX] {
        let response = response(status, "");
        assert!(response.check().is_err(), "{status}");
        assert!(decode::<Response>(encode(&response)).is_err(), "{status}");
    }
    let mut line_break = response(200, "");
    line_break.content_type = "text/plain\r\nSet-Cookie: a=b".into();
    assert!(decode::<Response>(encode(&line_break)).is_err());
    let mut large = response(200, "");
    large.body = vec![0; MAX_BODY_BYTES + 1].into();
    assert!(decode::<Response>(encode(&large)).is_err());
}

#[test]
fn values_and_keys_are_bounded() {
    assert!(StateKey::new("t", &[0; MAX_KEY_BYTES]).is_some());
    assert!(StateKey::new("t", &[0; MAX_KEY_BYTES + 1]).is_none());
    assert!(StateKey::new(&"t".repeat(MAX_NAME_BYTES), b"").is_some());
    assert!(StateKey::new(&"t".repeat(MAX_NAME_BYTES + 1), b"").is_none());
    let large = Versioned {
        version: Default::default(),
        value: vec![0; MAX_VALUE_BYTES + 1].into(),
    };
    assert!(decode::<Versioned>(encode(&large)).is_err());
}

#[test]
fn a_transaction_over_a_bound_cannot_be_made() {
    let network = Network::new(4);
    let key = &network.validators[0];
    let (hash, service) = (network.genesis.hash(), network.genesis.service.clone());
    let sign =
        |operations| Transaction::sign(key, &hash, service.clone(), operations, None, Vec::new());
    let one = operation(&client(1), "n", request("/", ""), response(200, ""));

    assert!(matches!(sign(vec![]), Err(TransactionError::Malformed(_))));
    let many = vec![one.clone(); MAX_OPERATIONS + 1];
    assert!(matches!(sign(many), Err(TransactionError::Malformed(_))));
    let read = crate::samples::reads().remove(1);
    let curious = Operation {
        reads: vec![read; MAX_READS + 1],
        ..one.clone()
    };
    assert!(matches!(
        sign(vec![curious]),
        Err(TransactionError::Malformed(_))
    ));
    let nameless = Operation {
        author: Author::Anonymous {
            nonce: Bytes::new(),
        },
        ..one.clone()
    };
    assert!(matches!(
        sign(vec![nameless]),
        Err(TransactionError::Malformed(_))
    ));
    let wordy = Operation {
        response: Response {
            body: vec![0; MAX_BODY_BYTES].into(),
            ..one.response.clone()
        },
        ..one
    };
    assert!(matches!(
        sign(vec![wordy; 5]),
        Err(TransactionError::TooLarge { size }) if size > MAX_TRANSACTION_BYTES
    ));
}

#[test]
fn the_largest_transaction_has_exactly_the_bytes_allowed() {
    let network = Network::new(4);
    let of = |length: usize| {
        let bodies = [MAX_BODY_BYTES, MAX_BODY_BYTES, MAX_BODY_BYTES, length];
        let operations = bodies.iter().enumerate().map(|(step, length)| {
            let reply = "x".repeat(*length);
            operation(
                &client(1),
                &step.to_string(),
                request("/", ""),
                response(200, &reply),
            )
        });
        let key = &network.validators[0];
        let service = network.genesis.service.clone();
        Transaction::sign(
            key,
            &network.genesis.hash(),
            service,
            operations.collect(),
            None,
            Vec::new(),
        )
    };
    let spare = MAX_TRANSACTION_BYTES - encode(&of(200_000).unwrap()).len();
    let largest = encode(&of(200_000 + spare).unwrap());
    assert_eq!(largest.len(), MAX_TRANSACTION_BYTES);
    assert!(decode::<Transaction>(largest).is_ok());
    let size = MAX_TRANSACTION_BYTES + 1;
    assert_eq!(
        of(200_001 + spare),
        Err(TransactionError::TooLarge { size })
    );
}

#[test]
fn a_malformed_operation_is_named_when_a_transaction_is_made() {
    let network = Network::new(4);
    let mut operation = operation(&client(1), "n", request("/", ""), response(200, ""));
    operation.response.status = 99;
    let error = Transaction::sign(
        &network.validators[0],
        &network.genesis.hash(),
        network.genesis.service.clone(),
        vec![operation],
        None,
        Vec::new(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "the transaction is malformed: the response must have a status of 200 to 599"
    );
}

#[test]
fn a_certificate_has_no_more_signatures_than_a_network_has_validators() {
    let network = Network::new(4);
    let header = network.genesis_block().header;
    let signature = network.certificate(&header).signatures.remove(0);
    let of = |count: usize| Certificate {
        signatures: (0..count as u32)
            .map(|validator| ValidatorSignature {
                validator,
                ..signature.clone()
            })
            .collect(),
    };
    assert!(decode::<Certificate>(encode(&of(MAX_VALIDATORS))).is_ok());
    assert!(decode::<Certificate>(encode(&of(MAX_VALIDATORS + 1))).is_err());
}

/// A transaction of nearly the largest size, another one for every `number`.
fn large_transaction(network: &Network, number: u8) -> Transaction {
    let reply = "x".repeat(MAX_BODY_BYTES);
    let operations = (0..3).map(|step| {
        let nonce = format!("{number}-{step}");
        operation(&client(1), &nonce, request("/", ""), response(200, &reply))
    });
    network.transaction(0, operations.collect())
}

#[test]
fn a_block_with_too_many_bytes_does_not_decode() {
    let network = Network::new(4);
    let genesis = network.genesis_block().header;
    let block = |count: u8| {
        let transactions = (0..count).map(|number| large_transaction(&network, number));
        network.committed(&genesis, transactions.collect())
    };
    let size =
        |block: &Block| -> usize { block.transactions.iter().map(|one| one.encode_size()).sum() };
    let (fits, over) = (block(2), block(3));
    assert!(size(&fits) <= MAX_BLOCK_BYTES && size(&over) > MAX_BLOCK_BYTES);
    assert!(encode(&fits).len() <= Block::max_encode_size());
    assert_eq!(decode::<Block>(encode(&fits)).unwrap(), fits);
    assert!(decode::<Block>(encode(&over)).is_err());
}

#[test]
fn a_block_decodes_from_the_middle_of_a_longer_message() {
    let network = Network::new(4);
    let block = crate::samples::full_block(&network);
    let mut message = BytesMut::new();
    message.put_u8(7);
    block.write(&mut message);
    message.extend_from_slice(&vec![0; 2 * Block::max_encode_size()]);
    let mut message = message.freeze().slice(1..);
    let read = <Block as commonware_codec::Read>::read_cfg(&mut message, &());
    assert_eq!(read.unwrap(), block);
}
