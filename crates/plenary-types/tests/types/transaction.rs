//! ValidateTransaction: what can be said of a transaction without state.

use crate::samples::{anonymous, session};
use plenary_types::{
    Author, Commitment, Content, Genesis, GenesisFile, Operation, Response, ServiceId, Signature,
    SignatureError, Timestamp, Transaction, TransactionError, decode, encode,
    genesis::{ClientSignatures, Member},
    session::chain_digest,
    testing::{NOW, Network, client, operation, request, response, signed},
};

/// The transaction with some content altered and the originator's signature made anew, as a lying
/// originator would.
fn resigned(network: &Network, alter: impl FnOnce(&mut Content)) -> Transaction {
    let mut content = session(network).content().clone();
    alter(&mut content);
    Transaction::sign(
        &network.validators[1],
        &network.genesis.hash(),
        content.service,
        content.operations,
        content.commitment,
        content.endorsements,
    )
    .unwrap()
}

fn refused(network: &Network, alter: impl FnOnce(&mut Content)) -> TransactionError {
    let transaction = resigned(network, alter);
    transaction.validate(&network.genesis).unwrap_err()
}

/// The network's genesis with some of it altered.
fn altered(network: &Network, alter: impl FnOnce(&mut GenesisFile)) -> Genesis {
    let mut file = GenesisFile::from(network.genesis.clone());
    alter(&mut file);
    file.try_into().unwrap()
}

#[test]
fn sessions_and_single_operations_are_valid() {
    let network = Network::new(4);
    assert_eq!(session(&network).validate(&network.genesis), Ok(()));
    let single = network.numbered_transaction(1);
    assert_eq!(single.validate(&network.genesis), Ok(()));
}

#[test]
fn a_transaction_survives_its_encoding_with_the_same_hash() {
    let network = Network::new(4);
    let made = session(&network);
    let read: Transaction = decode(encode(&made)).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.content(), made.content());
    assert_eq!(read.hash(), made.hash());
    assert_eq!(Transaction::new(made.content()).unwrap(), made);
}

#[test]
fn the_hash_and_the_originators_signature_cover_every_byte() {
    let network = Network::new(4);
    let made = network.numbered_transaction(1);
    let bytes = encode(&made);
    let mut decoded = 0;
    for position in 0..bytes.len() {
        let mut bytes = bytes.to_vec();
        bytes[position] ^= 1;
        if let Ok(altered) = decode::<Transaction>(bytes.into()) {
            assert_ne!(altered.hash(), made.hash(), "byte {position}");
            assert!(
                altered.validate(&network.genesis).is_err(),
                "byte {position}"
            );
            decoded += 1;
        }
    }
    assert!(decoded > 300);
}

#[test]
fn a_session_is_named_by_its_first_operation_and_a_retry_by_the_same_name() {
    let network = Network::new(4);
    let made = session(&network);
    assert_eq!(made.session(), Some(made.operations[0].id().into()));
    assert_eq!(made.operation_ids().count(), 2);

    let request = request("/", "");
    let first = operation(&client(1), "nonce", request.clone(), response(200, "a"));
    let retried = operation(&client(1), "nonce", request.clone(), response(200, "b"));
    assert_eq!(first.id(), retried.id());
    let other_client = operation(&client(2), "nonce", request.clone(), response(200, "a"));
    let other_nonce = operation(&client(1), "nonce2", request, response(200, "a"));
    assert_ne!(first.id(), other_client.id());
    assert_ne!(first.id(), other_nonce.id());
}

#[test]
fn another_service_or_version_is_refused() {
    let network = Network::new(4);
    let other = ServiceId {
        version: "2.0.0".into(),
        ..network.genesis.service.clone()
    };
    let error = refused(&network, |content| content.service = other);
    assert_eq!(
        error.to_string(),
        "the transaction ran on test 2.0.0, this network runs test 1.0.0"
    );
}

#[test]
fn only_nodes_of_the_network_originate_transactions() {
    let network = Network::new(4);
    let outsider = client(50);
    let made = session(&network);
    let by_outsider = Transaction::sign(
        &outsider,
        &network.genesis.hash(),
        made.service.clone(),
        made.operations.clone(),
        made.commitment,
        Vec::new(),
    )
    .unwrap();
    let unknown = TransactionError::UnknownOriginator(outsider.public_key());
    assert_eq!(by_outsider.validate(&network.genesis), Err(unknown));

    let with_session_node = altered(&network, |file| {
        file.session_nodes.push(Member {
            name: "session-0".into(),
            key: outsider.public_key(),
        });
    });
    let by_session_node = Transaction::sign(
        &outsider,
        &with_session_node.hash(),
        made.service.clone(),
        vec![made.operations[0].clone()],
        None,
        Vec::new(),
    );
    assert_eq!(
        by_session_node.unwrap().validate(&with_session_node),
        Ok(())
    );
}

#[test]
fn a_transaction_is_valid_on_its_own_network_only() {
    let network = Network::new(4);
    let other = altered(&network, |file| file.network = "other".into());
    let originator = network.validators[1].public_key();
    let error = TransactionError::OriginatorSignature(originator);
    assert_eq!(session(&network).validate(&other), Err(error));
}

#[test]
fn nobody_can_put_another_originator_to_a_transaction() {
    let network = Network::new(4);
    let mut content = session(&network).content().clone();
    content.originator = network.validators[2].public_key();
    let stolen = Transaction::new(&content).unwrap();
    let error = TransactionError::OriginatorSignature(content.originator);
    assert_eq!(stolen.validate(&network.genesis), Err(error));
}

#[test]
fn an_originator_cannot_forge_a_request() {
    let network = Network::new(4);
    let error = refused(&network, |content| {
        content.operations[1].request.target = "/session/7/scan/PKG-2".into();
    });
    let error_is_of_step_1 = matches!(
        error,
        TransactionError::ClientSignature {
            step: 1,
            error: SignatureError::Invalid(_)
        }
    );
    assert!(error_is_of_step_1, "{error}");
}

#[test]
fn an_originator_cannot_change_what_the_client_saw() {
    let network = Network::new(4);
    let lies: [fn(&mut Content); 5] = [
        |content| content.operations[1].response = response(200, "{\"source\":\"SUP-002\"}"),
        |content| content.operations.swap(0, 1),
        |content| content.commitment = None,
        |content| drop(content.operations.pop()),
        |content| {
            let repeated = operation(&client(1), "3", request("/", ""), response(200, ""));
            content.operations.push(repeated);
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        assert_eq!(
            refused(&network, lie),
            TransactionError::Commitment,
            "{number}"
        );
    }
}

#[test]
fn a_commitment_is_the_clients_over_these_operations_on_this_network() {
    let network = Network::new(4);
    let hash = network.genesis.hash();
    let other = altered(&network, |file| file.network = "other".into()).hash();
    let real = session(&network);
    let sign = |key, genesis, operations: &[Operation]| {
        Commitment::sign(&client(key), genesis, &chain_digest(operations))
    };
    let forged = Commitment {
        signature: Signature([0; 64]),
        ..sign(1, &hash, &real.operations)
    };
    for commitment in [
        sign(2, &hash, &real.operations),
        sign(1, &other, &real.operations),
        sign(1, &hash, &real.operations[..1]),
        forged,
    ] {
        let error = refused(&network, |content| content.commitment = Some(commitment));
        assert_eq!(error, TransactionError::Commitment);
    }
}

#[test]
fn one_client_makes_a_session() {
    let network = Network::new(4);
    let error = refused(&network, |content| {
        let request = content.operations[1].request.clone();
        content.operations[1].author = signed(&client(2), &request, "nonce-2");
    });
    assert_eq!(error, TransactionError::Authors { step: 1 });
}

#[test]
fn an_operation_is_once_in_a_transaction() {
    let network = Network::new(4);
    let error = refused(&network, |content| {
        content.operations[1] = content.operations[0].clone();
    });
    assert_eq!(error, TransactionError::Repeated { step: 1 });
}

#[test]
fn an_originator_cannot_keep_a_request_back_for_later() {
    let network = Network::new(4);
    let late = Timestamp(NOW.0 * 2);
    let error = refused(&network, |content| content.operations[0].time = late);
    let time_of_step_0 = matches!(
        error,
        TransactionError::ClientSignature {
            step: 0,
            error: SignatureError::Time { .. }
        }
    );
    assert!(time_of_step_0, "{error}");
}

#[test]
fn unsigned_operations_are_valid_only_where_the_genesis_says_so() {
    let network = Network::new(4);
    let made = network.transaction(0, vec![anonymous()]);
    let unsigned = TransactionError::Unsigned { step: 0 };
    assert_eq!(made.validate(&network.genesis), Err(unsigned));

    let lenient = altered(&network, |file| file.clients = ClientSignatures::Optional);
    let sign = |operations, commitment| {
        let key = &network.validators[0];
        let service = lenient.service.clone();
        let made = Transaction::sign(
            key,
            &lenient.hash(),
            service,
            operations,
            commitment,
            Vec::new(),
        );
        made.unwrap().validate(&lenient)
    };
    assert_eq!(sign(vec![anonymous()], None), Ok(()));
    let by_client = operation(&client(1), "n", request("/", ""), response(200, ""));
    let mixed = vec![anonymous(), by_client];
    assert_eq!(
        sign(mixed, None),
        Err(TransactionError::Authors { step: 1 })
    );
    let commitment = Commitment::sign(&client(1), &lenient.hash(), &chain_digest(&[anonymous()]));
    let committed = sign(vec![anonymous()], Some(commitment));
    assert_eq!(committed, Err(TransactionError::Commitment));
}

#[test]
fn a_chain_digest_covers_requests_responses_names_and_order() {
    let one = operation(&client(1), "1", request("/a", ""), response(200, "a"));
    let two = operation(&client(1), "2", request("/b", ""), response(200, "b"));
    let other_response = Operation {
        response: Response {
            status: 201,
            ..one.response.clone()
        },
        ..one.clone()
    };
    let other_request = Operation {
        request: request("/c", ""),
        ..one.clone()
    };
    let other_name = operation(&client(1), "3", request("/a", ""), response(200, "a"));
    let chains = [
        vec![],
        vec![&one],
        vec![&one, &two],
        vec![&two, &one],
        vec![&other_response, &two],
        vec![&other_request, &two],
        vec![&other_name, &two],
    ];
    let digests = chains.map(chain_digest);
    for (position, one) in digests.iter().enumerate() {
        assert!(!digests[..position].contains(one), "{position}");
    }
    let Author::Signed(_) = one.author else {
        panic!("signed")
    };
}

#[test]
fn a_batch_answers_as_each_alone_would() {
    let network = Network::new(4);
    let forged = resigned(&network, |content| {
        content.operations[0].request.body = "forged".into();
    });
    let uncommitted = resigned(&network, |content| content.commitment = None);
    let mut content = session(&network).content().clone();
    content.signature.0[5] ^= 1;
    let tampered = Transaction::new(&content).unwrap();
    let good: Vec<_> = (0..20)
        .map(|number| network.numbered_transaction(number))
        .collect();

    for bad in [forged, uncommitted, tampered] {
        for position in [0, 7, 20] {
            let mut batch = good.clone();
            batch.insert(position, bad.clone());
            let each: Vec<_> = batch
                .iter()
                .map(|one| one.validate(&network.genesis))
                .collect();
            assert!(each[position].is_err());
            assert_eq!(each.iter().filter(|answer| answer.is_err()).count(), 1);
            assert_eq!(Transaction::validate_all(&batch, &network.genesis), each);
        }
    }
    assert!(
        Transaction::validate_all(&good, &network.genesis)
            .iter()
            .all(Result::is_ok)
    );
    assert!(Transaction::validate_all(&[], &network.genesis).is_empty());
}
