//! One value or more of every encoded type, with every variant of every enumeration.

use bytes::Bytes;
use commonware_codec::{Codec, Error};
use plenary_types::{
    Author, Block, Certificate, ClientSignature, Commitment, Digest, Draft, Endorsement, Evidence,
    Genesis, Header, Method, Operation, Outcome, Promise, PublicKey, Read, Reason, Request,
    Response, Round, ServiceId, SessionId, StateKey, Timestamp, Transaction, Version, Versioned,
    decode, encode,
    genesis::{ClientSignatures, GenesisFile, Member},
    session::chain_digest,
    testing::{self, NOW, Network, client, request, response},
};

/// A value's name and encoding, and how to decode and encode it again.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) reencode: fn(Bytes) -> Result<Bytes, Error>,
}

fn reencode<T: Codec<Cfg = ()>>(bytes: Bytes) -> Result<Bytes, Error> {
    decode::<T>(bytes).map(|value| encode(&value))
}

fn sample<T: Codec<Cfg = ()>>(name: &str, value: &T) -> Sample {
    Sample {
        name: name.into(),
        bytes: encode(value),
        reencode: reencode::<T>,
    }
}

pub(crate) fn key(table: &str, key: &str) -> StateKey {
    StateKey::new(table, key.as_bytes()).unwrap()
}

pub(crate) fn reads() -> Vec<Read> {
    let version = Version {
        height: 3,
        index: 1,
    };
    vec![
        Read::Key {
            key: key("packages", "PKG-1"),
            version: Some(version),
        },
        Read::Key {
            key: key("packages", "PKG-2"),
            version: None,
        },
        Read::Range {
            from: key("packages", ""),
            to: key("packages", "Z"),
            digest: Digest([5; 32]),
        },
    ]
}

pub(crate) fn outcomes() -> Vec<(&'static str, Outcome)> {
    let rejected = |reason| Outcome::Rejected {
        step: 2,
        reason,
        signer: PublicKey([9; 32]),
    };
    let conflict = Outcome::Conflict {
        step: 1,
        keys: vec![key("packages", "PKG-1"), key("work", "7")],
    };
    let wrong = Reason::WrongResponse {
        claimed: Digest([1; 32]),
        computed: Digest([2; 32]),
    };
    vec![
        ("outcome committed", Outcome::Committed),
        ("outcome conflict", conflict),
        ("outcome wrong response", rejected(wrong)),
        ("outcome not an operation", rejected(Reason::NotAnOperation)),
        ("outcome other session", rejected(Reason::OtherSession)),
    ]
}

/// A session of two signed operations, with the client's commitment.
pub(crate) fn session(network: &Network) -> Transaction {
    let operations = vec![
        testing::operation(
            &client(1),
            "nonce-1",
            request("/session/start?trace=1", r#"{"operator_id":"OPR-001"}"#),
            response(201, r#"{"id":"7"}"#),
        ),
        Operation {
            reads: reads(),
            ..testing::operation(
                &client(1),
                "nonce-2",
                Request {
                    method: Method::Get,
                    target: "/session/7/scan/PKG-1".into(),
                    content_type: String::new(),
                    body: Bytes::new(),
                },
                response(200, r#"{"source":"SUP-001"}"#),
            )
        },
    ];
    let genesis = &network.genesis;
    let commitment = Commitment::sign(&client(1), &genesis.hash(), &chain_digest(&operations));
    let service = genesis.service.clone();
    let originator = &network.validators[1];
    Transaction::sign(
        originator,
        &genesis.hash(),
        service,
        operations,
        Some(commitment),
        Vec::new(),
    )
    .unwrap()
}

pub(crate) fn anonymous() -> Operation {
    Operation {
        request: request("/items", "[1]"),
        author: Author::Anonymous {
            nonce: Bytes::from_static(b"idempotency-key"),
        },
        time: NOW,
        reads: Vec::new(),
        response: Response {
            status: 204,
            content_type: String::new(),
            body: Bytes::new(),
        },
    }
}

pub(crate) fn genesis_with_everything() -> Genesis {
    let network = Network::new(4);
    let file = GenesisFile {
        clients: ClientSignatures::Optional,
        session_nodes: vec![Member {
            name: "session-0".into(),
            key: client(200).public_key(),
        }],
        config: serde_json::json!({"b": [1, -2.5, "x\"y"], "a": {"deep": true}}),
        ..GenesisFile::from(network.genesis)
    };
    file.try_into().unwrap()
}

/// A block of which each transaction has another outcome.
pub(crate) fn full_block(network: &Network) -> Block {
    let outcomes: Vec<Outcome> = outcomes().into_iter().map(|(_, outcome)| outcome).collect();
    let numbers = 1..outcomes.len() as u64;
    let mut transactions = vec![session(network)];
    transactions.extend(numbers.map(|number| network.numbered_transaction(number)));
    network.block(&network.genesis_block().header, transactions, outcomes)
}

pub(crate) fn samples() -> Vec<Sample> {
    let network = Network::new(4);
    let genesis_block = network.genesis_block();
    let block = full_block(&network);
    let transaction = &block.transactions[0];
    let operation = &transaction.operations[1];
    let Author::Signed(signature) = &operation.author else {
        unreachable!("the session is signed");
    };
    let certificate = network.certificate(&block.header);
    let mut nullify = network.equivocation(2);
    let round = Round {
        parent_view: 0,
        ..block.header.round
    };
    let vote = |phase| network.vote(2, phase, round, &block.header);
    nullify.first = vote(plenary_types::certificate::Phase::Nullify);
    nullify.second = vote(plenary_types::certificate::Phase::Finalize);
    let version = Version {
        height: 1 << 40,
        index: 1999,
    };
    let versioned = Versioned {
        version,
        value: Bytes::from_static(b"{\"qty\":3}"),
    };

    let chain = chain_digest(&transaction.operations);
    let hash = network.genesis.hash();
    let endorsement = Endorsement::sign(&client(200), &hash, &chain);
    let session = SessionId([7; 32]);
    let promise = Promise::sign(&client(200), &hash, session, 1, NOW, 9, chain);
    let draft = Draft {
        operations: transaction.operations.clone(),
        commitment: transaction.commitment,
    };

    let mut samples = vec![
        sample::<Digest>("digest", &Digest::of("test", &[b"a"])),
        sample::<Timestamp>("timestamp", &NOW),
        sample::<PublicKey>("public key", &client(1).public_key()),
        sample::<StateKey>("state key", &key("packages", "PKG-1")),
        sample::<Version>("version", &version),
        sample::<Versioned>("versioned", &versioned),
        sample::<Request>("request", &operation.request),
        sample::<Response>("response", &operation.response),
        sample::<ClientSignature>("client signature", signature),
        sample::<Author>("author signed", &operation.author),
        sample::<Author>("author anonymous", &anonymous().author),
        sample::<Operation>("operation", operation),
        sample::<Operation>("operation anonymous", &anonymous()),
        sample::<ServiceId>("service id", &network.genesis.service),
        sample::<Commitment>("commitment", transaction.commitment.as_ref().unwrap()),
        sample::<Endorsement>("endorsement", &endorsement),
        sample::<Promise>("promise", &promise),
        sample::<Draft>("draft", &draft),
        sample::<Transaction>("transaction of a session", transaction),
        sample::<Transaction>("transaction of one operation", &block.transactions[1]),
        sample::<Round>("round", &block.header.round),
        sample::<Header>("header", &block.header),
        sample::<Block>("block genesis", &genesis_block),
        sample::<Block>("block", &block),
        sample::<Certificate>("certificate", &certificate),
        sample::<Evidence>("evidence equivocation", &network.equivocation(2)),
        sample::<Evidence>("evidence nullify and finalize", &nullify),
        sample::<Genesis>("genesis", &network.genesis),
        sample::<Genesis>("genesis with everything", &genesis_with_everything()),
    ];
    samples.extend(Method::ALL.map(|method| sample(&format!("method {method}"), &method)));
    let reads = reads();
    let names = ["read present", "read absent", "read range"];
    samples.extend(
        names
            .iter()
            .zip(&reads)
            .map(|(name, read)| sample(name, read)),
    );
    let outcomes = outcomes();
    samples.extend(outcomes.iter().map(|(name, outcome)| sample(name, outcome)));
    samples
}
