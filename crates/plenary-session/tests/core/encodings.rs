//! What comes from other nodes and from disk decodes totally, and has one encoding, which is pinned.

use crate::{support::Client, world::World};
use bytes::Bytes;
use commonware_codec::{Decode, Encode};
use plenary_session::{
    evidence::Contradiction,
    message::{Endorse, Given, Message, Owner, Proposal},
    record::{Record, StepRecord},
    refused::Reason,
};
use plenary_types::{
    Endorsement, Operation, StateKey, Timestamp, Transaction, TransactionHash, decode, encode,
};
use plenary_validator::testing::bank::deposit_request;
use proptest::{collection::vec, prelude::*, sample::Index};

struct Sample {
    name: &'static str,
    bytes: Bytes,
    reencode: fn(Bytes) -> Option<Bytes>,
}

fn sample<T: Encode + Decode<Cfg = ()>>(name: &'static str, value: &T) -> Sample {
    Sample {
        name,
        bytes: value.encode(),
        reencode: |bytes| Some(decode::<T>(bytes).ok()?.encode()),
    }
}

/// One value of each kind.
fn samples() -> Vec<Sample> {
    let world = World::new(2);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    let genesis = world.layer1.genesis.hash();
    let key = world.places[1].key;
    let (session, promise) = (client.session(), step.promise);
    let operation = Operation::clone(&step.operation);
    let owner = Owner::Client(client.key.public_key());
    let proposal = Proposal {
        owner,
        promise,
        history: step.history,
        operation: operation.clone(),
        firm: false,
    };
    let operations = vec![operation.clone()];
    let contradiction = Contradiction::sign(
        &key,
        &genesis,
        promise,
        Vec::new(),
        operations,
        &"byte 0: 5, 6",
    );
    let endorsement = Endorsement::sign(&key, &genesis, &promise.chain);
    let write = |name: &[u8], value| (StateKey::new("accounts", name).unwrap(), value);
    let writes = [
        write(b"ann", Some(Bytes::from_static(b"5"))),
        write(b"bob", None),
    ];
    let kept = StepRecord {
        promise,
        operation: operation.clone(),
        writes: writes.into_iter().collect(),
    };
    let service = world.layer1.genesis.service.clone();
    let transaction = Transaction::sign(&key, &genesis, service, vec![operation], None, Vec::new());
    let opened = |owner| Record::Opened {
        session,
        owner,
        time: Timestamp(9),
    };
    let refused = Reason {
        transaction: TransactionHash([6; 32]),
        time: Timestamp(9),
        code: "operation-time".into(),
        detail: "too late".into(),
    };
    let over = |given| Message::Over { session, given };
    vec![
        sample("propose", &Message::Propose(Box::new(proposal))),
        sample(
            "endorse",
            &Message::Endorse(Endorse {
                session,
                sequence: 3,
                chain: promise.chain,
                signature: endorsement.signature,
            }),
        ),
        sample("behind", &Message::Behind { session, from: 3 }),
        sample("refuse", &Message::Refuse(Box::new(contradiction.clone()))),
        sample("over aborted", &over(Given::Aborted)),
        sample("over expired", &over(Given::Expired)),
        sample("contradiction", &contradiction),
        sample("opened by a client", &opened(owner)),
        sample("opened with a token", &opened(Owner::Token(promise.chain))),
        sample("step", &Record::Step(Box::new(kept.clone()))),
        sample("committing", &Record::Committing(transaction.unwrap())),
        sample("rebased", &Record::Rebased { steps: 3 }),
        sample("over", &Record::Over(Given::Expired)),
        sample("refused", &Record::Refused(refused)),
        Sample {
            name: "step entry",
            bytes: kept.entry(),
            reencode: |bytes| Some(encode(&decode::<Record>(bytes).ok()?)),
        },
    ]
}

/// What is accepted has one encoding: the bytes that it came from.
fn assert_canonical(sample: &Sample, bytes: Bytes) {
    if let Some(again) = (sample.reencode)(bytes.clone()) {
        assert_eq!(again, bytes, "{} accepts a second encoding", sample.name);
    }
}

#[test]
fn every_message_and_record_has_its_pinned_encoding() {
    let lines = samples().into_iter().map(|sample| {
        let hex = hex::encode(&sample.bytes);
        format!("{}: {hex}\n", sample.name)
    });
    let made: String = lines.collect();
    assert!(
        include_str!("golden.txt") == made,
        "the encoding in tests/core/golden.txt has changed. If that is meant, session nodes and \
         their logs must be of one version; then the file is now:\n{made}"
    );
}

#[test]
fn every_sample_decodes_to_itself_and_nothing_shorter_or_longer_does() {
    for sample in samples() {
        let bytes = &sample.bytes;
        assert_eq!(
            (sample.reencode)(bytes.clone()).as_ref(),
            Some(bytes),
            "{}",
            sample.name
        );
        for end in 0..bytes.len() {
            let cut = (sample.reencode)(bytes.slice(..end));
            assert!(cut.is_none(), "{} cut to {end}", sample.name);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(
            (sample.reencode)(longer.into()).is_none(),
            "{}",
            sample.name
        );
    }
}

#[test]
fn every_changed_byte_is_refused_or_makes_another_canonical_value() {
    for sample in samples() {
        for position in 0..sample.bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = sample.bytes.to_vec();
                bytes[position] ^= flip;
                assert_canonical(&sample, bytes.into());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..2048)) {
        for sample in samples() {
            assert_canonical(&sample, bytes.clone().into());
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
            assert_canonical(&sample, bytes.into());
        }
    }
}

/// A node that gets them goes on as if nothing had come.
#[test]
fn a_node_survives_every_changed_message() {
    let world = World::new(2);
    let from = world.places[0].key.public_key();
    for sample in samples() {
        for position in 0..sample.bytes.len() {
            let mut bytes = sample.bytes.to_vec();
            bytes[position] ^= 0xff;
            world.node(1).receive(from, bytes.into());
        }
    }
    let mut client = Client::new(1, "b");
    world.step(1, &mut client, deposit_request("ann", 5));
}

#[test]
fn a_difference_of_any_length_is_cut_to_its_bound() {
    let world = World::new(2);
    let mut client = Client::new(1, "a");
    let step = world.step(0, &mut client, deposit_request("ann", 5));
    let (genesis, key) = (&world.layer1.genesis, world.places[1].key);
    let operations = vec![Operation::clone(&step.operation)];
    let long = "ä".repeat(5_000);
    let contradiction = {
        let hash = genesis.hash();
        Contradiction::sign(&key, &hash, step.promise, Vec::new(), operations, &long)
    };
    let again = decode::<Contradiction>(encode(&contradiction)).unwrap();
    assert!(again.verify(genesis));
    let other = Contradiction {
        difference: "none".into(),
        ..again
    };
    assert!(!other.verify(genesis), "the finder signs the words as well");
}
