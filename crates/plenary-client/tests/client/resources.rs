//! The framework's resources, and that no validator is believed.

use crate::fake::{Fake, busy, client, json, pending, problem, wary};
use axum::response::Response;
use plenary_client::{ClientError, Landed, TransactionStatus};
use plenary_types::{
    Block, Digest, Header, Outcome, Problem, Receipt, Stage, StateKey, Transaction,
    TransactionHash, Version, Versioned, decode,
    state_proof::{StateLeaf, StateProof},
    testing::Network,
};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

/// A validator that has resources by target.
async fn serving(resources: impl IntoIterator<Item = (String, Value)>) -> Fake {
    let resources: HashMap<String, Value> = resources.into_iter().collect();
    Fake::start(move |_, asked| match resources.get(&asked.target) {
        Some(value) => json(200, value),
        None => problem(&Problem::not_found("resource", &asked.target)),
    })
    .await
}

fn network() -> Network {
    Network::new(4)
}

fn block(network: &Network) -> Block {
    let transactions = (1..4).map(|number| network.numbered_transaction(number));
    network.committed(&network.genesis_block().header, transactions.collect())
}

/// A receipt as a resource, at the target of the transaction it should be of.
fn receipt_at(hash: TransactionHash, receipt: &Receipt) -> (String, Value) {
    (format!("/plenary/v1/receipts/{hash}"), json!(receipt))
}

fn block_at(block: &Block, network: Option<&Network>) -> (String, Value) {
    let transactions = block.transactions.iter().zip(&block.outcomes);
    let transactions = transactions
        .map(|(transaction, outcome)| json!({ "hash": transaction.hash(), "outcome": outcome }));
    let value = json!({
        "hash": block.hash(),
        "header": block.header,
        "transactions": transactions.collect::<Vec<_>>(),
        "certificate": network.map(|network| network.certificate(&block.header)),
    });
    (format!("/plenary/v1/blocks/{}", block.header.height), value)
}

fn unproven<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Unproven { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_receipt_is_the_first_that_holds() {
    let network = network();
    let real = network.receipt(&block(&network), 1, 1);
    let hash = real.transaction;
    let mut forged = real.clone();
    forged.outcome = Outcome::Conflict {
        step: 0,
        keys: vec![],
    };
    let other = network.receipt(&block(&network), 2, 0);

    let liar = serving([receipt_at(hash, &forged)]).await;
    let confused = serving([receipt_at(hash, &other)]).await;
    let honest = serving([receipt_at(hash, &real)]).await;
    let urls = [liar.url.as_str(), &confused.url, &honest.url];
    assert_eq!(wary(&urls, &network).receipt(&hash).await.unwrap(), real);

    let reason = unproven(wary(&urls[..1], &network).receipt(&hash).await);
    assert!(reason.contains("was altered"), "{reason}");
    let reason = unproven(client(&urls[1..2]).receipt(&hash).await);
    assert_eq!(reason, "the receipt is of another transaction");
    // Who trusts nobody's genesis believes what it is told.
    assert_eq!(client(&urls[..1]).receipt(&hash).await.unwrap(), forged);
}

#[tokio::test]
async fn a_receipt_of_another_network_proves_nothing() {
    let (ours, theirs) = (network(), Network::of_service(4, "other", "1.0.0"));
    let receipt = theirs.receipt(&block(&theirs), 0, 0);
    let validator = serving([receipt_at(receipt.transaction, &receipt)]).await;
    let answer = wary(&[&validator.url], &ours)
        .receipt(&receipt.transaction)
        .await;
    let reason = unproven(answer);
    assert!(reason.contains("is of network"), "{reason}");
}

#[tokio::test]
async fn a_receipt_is_waited_for_until_there_is_a_certificate() {
    let network = network();
    let receipt = network.receipt(&block(&network), 0, 0);
    let hash = receipt.transaction;
    let validator = Fake::start(move |count, _| match count {
        0..3 => busy(),
        _ => json(200, &receipt),
    })
    .await;
    let client = wary(&[&validator.url], &network).with_patience(Duration::from_secs(30));
    assert_eq!(client.receipt(&hash).await.unwrap().transaction, hash);
}

#[tokio::test]
async fn a_block_is_certified_by_itself_or_by_a_descendant() {
    let network = network();
    let first = block(&network);
    let second = network.committed(&first.header, vec![network.numbered_transaction(9)]);
    let third = network.committed(&second.header, vec![network.numbered_transaction(10)]);
    let blocks = [
        block_at(&network.genesis_block(), None),
        block_at(&first, Some(&network)),
        block_at(&second, None),
        block_at(&third, Some(&network)),
    ];
    let validator = serving(blocks).await;
    let client = wary(&[&validator.url], &network);
    for (height, block) in [
        (0, network.genesis_block()),
        (1, first),
        (2, second),
        (3, third),
    ] {
        let summary = client.block(height).await.unwrap();
        assert_eq!((summary.hash, summary.header), (block.hash(), block.header));
        let hashes: Vec<_> = summary.transactions.iter().map(|one| one.hash).collect();
        let real: Vec<_> = block.transactions.iter().map(Transaction::hash).collect();
        assert_eq!(hashes, real);
    }
}

#[tokio::test]
async fn a_block_that_the_validators_did_not_certify_is_not_believed() {
    let network = network();
    let real = block(&network);
    let refused = async |blocks: Vec<(String, Value)>| {
        let validator = serving(blocks).await;
        unproven(wary(&[&validator.url], &network).block(1).await)
    };

    let mut uncertified = block_at(&real, Some(&network));
    uncertified.1["certificate"] =
        block_at(&network.genesis_block(), Some(&network)).1["certificate"].clone();
    assert!(refused(vec![uncertified]).await.contains("does not verify"));

    let mut outcome = block_at(&real, Some(&network));
    outcome.1["transactions"][0]["outcome"] = json!({ "conflict": { "step": 0, "keys": [] } });
    assert!(refused(vec![outcome]).await.contains("not its header's"));

    let mut fewer = block_at(&real, Some(&network));
    fewer.1["transactions"].as_array_mut().unwrap().pop();
    assert!(refused(vec![fewer]).await.contains("not its header's"));

    let mut hash = block_at(&real, Some(&network));
    hash.1["hash"] = json!("00".repeat(32));
    assert!(refused(vec![hash]).await.contains("not its header's"));

    let mut height = block_at(&network.genesis_block(), Some(&network));
    height.0 = "/plenary/v1/blocks/1".into();
    assert!(refused(vec![height]).await.contains("another height"));

    let stranger = network.committed(
        &network
            .committed(&network.genesis_block().header, vec![])
            .header,
        vec![],
    );
    let unlinked = vec![block_at(&real, None), block_at(&stranger, Some(&network))];
    assert!(refused(unlinked).await.contains("not linked"));
}

/// A state of one entry, under a block.
struct OneEntry {
    network: Network,
    header: Header,
    key: StateKey,
    value: Versioned,
}

impl OneEntry {
    fn new() -> Self {
        let network = network();
        let key = StateKey::new("packages", b"PKG-1").unwrap();
        let value = Versioned {
            version: Version {
                height: 1,
                index: 0,
            },
            value: "{\"qty\":3}".into(),
        };
        let mut header = network
            .committed(&network.genesis_block().header, vec![])
            .header;
        header.state = StateLeaf::new(&key, &value).hash();
        Self {
            network,
            header,
            key,
            value,
        }
    }

    fn block(&self) -> Block {
        Block {
            header: self.header.clone(),
            transactions: vec![],
            outcomes: vec![],
        }
    }

    fn told(&self, root: Digest, proof: &StateProof) -> Value {
        json!({ "height": 1, "state_root": root, "key": self.key, "proof": proof })
    }
}

#[tokio::test]
async fn state_is_what_the_validators_certified() {
    let state = OneEntry::new();
    let present = StateProof::new(Some(state.value.clone()), None, vec![]);
    let absent = StateProof::new(None, Some(StateLeaf::new(&state.key, &state.value)), vec![]);
    let validator = serving([
        block_at(&state.block(), Some(&state.network)),
        (
            "/plenary/v1/state/packages/0x504b472d31".into(),
            state.told(state.header.state, &present),
        ),
        (
            "/plenary/v1/state/packages/0x504b472d31?height=1".into(),
            state.told(state.header.state, &present),
        ),
        (
            "/plenary/v1/state/packages/0x504b472d32".into(),
            state.told(state.header.state, &absent),
        ),
        (
            "/plenary/v1/state/a%20b/0x".into(),
            state.told(state.header.state, &absent),
        ),
    ])
    .await;
    let client = wary(&[&validator.url], &state.network);
    for height in [None, Some(1)] {
        let entry = client.state(&state.key, height).await.unwrap();
        assert_eq!((entry.height, entry.state_root), (1, state.header.state));
        assert_eq!(entry.value, Some(state.value.clone()));
    }
    for other in [
        StateKey::new("packages", b"PKG-2").unwrap(),
        StateKey::new("a b", b"").unwrap(),
    ] {
        assert_eq!(client.state(&other, None).await.unwrap().value, None);
    }
}

#[tokio::test]
async fn state_that_the_validators_did_not_certify_is_not_believed() {
    let state = OneEntry::new();
    let refused = async |told: Value, height: Option<u64>| {
        let validator = Fake::start({
            let block = block_at(&state.block(), Some(&state.network));
            move |_, asked| match asked.target == block.0 {
                true => json(200, &block.1),
                false => json(200, &told),
            }
        })
        .await;
        unproven(
            wary(&[&validator.url], &state.network)
                .state(&state.key, height)
                .await,
        )
    };
    let altered = Versioned {
        value: "{\"qty\":4}".into(),
        ..state.value.clone()
    };
    let proof = StateProof::new(Some(altered.clone()), None, vec![]);
    let reason = refused(state.told(state.header.state, &proof), None).await;
    assert!(reason.contains("leads to"), "{reason}");
    // A proof that is right about a root of the liar's own.
    let root = StateLeaf::new(&state.key, &altered).hash();
    let reason = refused(state.told(root, &proof), None).await;
    assert!(reason.contains("not the certified block's"), "{reason}");
    let honest = StateProof::new(Some(state.value.clone()), None, vec![]);
    let reason = refused(state.told(state.header.state, &honest), Some(2)).await;
    assert!(reason.contains("another height"), "{reason}");
}

#[tokio::test]
async fn evidence_convicts_only_whom_it_proves_guilty() {
    let network = network();
    let real = network.equivocation(2);
    let mut framed = real.clone();
    framed.validator = 1;
    let entry = |evidence: &plenary_types::Evidence| {
        let all = json!({ "evidence": [{ "name": "x", "key": null, "evidence": evidence }] });
        [("/plenary/v1/evidence".to_owned(), all)]
    };
    let honest = serving(entry(&real)).await;
    let liar = serving(entry(&framed)).await;
    let evidence = wary(&[&liar.url, &honest.url], &network)
        .evidence()
        .await
        .unwrap();
    assert_eq!(evidence[0].evidence, real);
    unproven(wary(&[&liar.url], &network).evidence().await);
}

fn outcome_of(transaction: &Transaction, outcome: &Outcome) -> Value {
    json!({
        "hash": transaction.hash(),
        "status": "final",
        "height": 5,
        "index": 2,
        "outcome": outcome,
        "service": transaction.service,
        "originator": transaction.originator,
        "operations": [],
    })
}

/// A validator that answers submissions as the test says, and knows the outcome.
async fn deciding(
    transaction: &Transaction,
    outcome: Outcome,
    submitted: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
) -> Fake {
    let found = outcome_of(transaction, &outcome);
    Fake::start(move |count, asked| match asked.method.as_str() {
        "POST" => submitted(count),
        _ => json(200, &found),
    })
    .await
}

#[tokio::test]
async fn a_submitted_transaction_arrives_whole_and_has_its_outcome() {
    let transaction = network().numbered_transaction(1);
    let landed = outcome_of(&transaction, &Outcome::Committed);
    let validator = deciding(&transaction, Outcome::Committed, move |_| {
        json(200, &landed)
    })
    .await;
    let landed = client(&[&validator.url])
        .submit(&transaction)
        .await
        .unwrap();
    let expected = Landed {
        hash: transaction.hash(),
        height: 5,
        index: 2,
        outcome: Outcome::Committed,
    };
    assert_eq!(landed, expected);
    let asked = &validator.asked()[0];
    assert_eq!(asked.header("content-type"), "application/octet-stream");
    assert_eq!(
        decode::<Transaction>(asked.body.clone()).unwrap(),
        transaction
    );
}

#[tokio::test]
async fn a_conflict_is_an_outcome_and_no_error() {
    let transaction = network().numbered_transaction(1);
    let conflict = Outcome::Conflict {
        step: 0,
        keys: vec![StateKey::new("packages", b"PKG-1").unwrap()],
    };
    let decided = Problem::conflict("conflict", "others changed it")
        .at(Stage::Layer1)
        .retryable()
        .about(transaction.hash());
    let validator = deciding(&transaction, conflict.clone(), move |_| problem(&decided)).await;
    let landed = client(&[&validator.url])
        .submit(&transaction)
        .await
        .unwrap();
    assert_eq!(landed.outcome, conflict);
}

#[tokio::test]
async fn submitting_twice_gives_the_first_outcome() {
    let transaction = network().numbered_transaction(1);
    let hash = transaction.hash();
    let validator = deciding(&transaction, Outcome::Committed, move |count| match count {
        0 => pending(hash),
        _ => problem(&Problem::conflict("already-in-block", "it is").about(hash)),
    })
    .await;
    let client = client(&[&validator.url]).with_patience(Duration::from_secs(30));
    let landed = client.submit(&transaction).await.unwrap();
    assert_eq!((landed.hash, landed.outcome), (hash, Outcome::Committed));
}

#[tokio::test]
async fn a_transaction_that_is_not_valid_is_a_problem_and_one_on_its_way_is_named() {
    let transaction = network().numbered_transaction(1);
    let invalid = Problem::unprocessable("unknown-originator", "no node");
    let validator = Fake::start(move |_, _| problem(&invalid)).await;
    let error = client(&[&validator.url])
        .submit(&transaction)
        .await
        .unwrap_err();
    assert_eq!(error.problem().unwrap().code, "unknown-originator");

    let hash = transaction.hash();
    let slow = Fake::start(move |_, _| pending(hash)).await;
    let error = client(&[&slow.url]).submit(&transaction).await.unwrap_err();
    assert!(matches!(error, ClientError::Pending { transaction, .. } if transaction == hash));
}

#[tokio::test]
async fn what_validators_say_of_themselves_is_read() {
    let network = network();
    let key = network.validators[0].public_key();
    let status = json!({
        "network": "test-network",
        "genesis": network.genesis.hash(),
        "service": { "name": "test", "version": "1.0.0" },
        "mode": "direct",
        "validator": { "name": "validator-0", "key": key, "index": 0 },
        "height": 12, "block": "00".repeat(32), "state_root": "11".repeat(32),
        "view": 14, "leader": "validator-2", "peers": 3, "pending": 0,
    });
    let peer = json!({ "index": 0, "name": "validator-0", "key": key, "connected": true });
    let transaction = network.numbered_transaction(1);
    let hash = transaction.hash();
    let resources = [
        ("/plenary/v1/status".to_owned(), status),
        (
            "/plenary/v1/validators".into(),
            json!({ "validators": [peer], "quorum": 3, "faults_tolerated": 1 }),
        ),
        (
            format!("/plenary/v1/transactions/{hash}"),
            outcome_of(&transaction, &Outcome::Committed),
        ),
    ];
    let validator = serving(resources).await;
    let client = client(&[&validator.url]);
    let status = client.status().await.unwrap();
    assert_eq!((status.height, status.validator.key), (12, key));
    assert_eq!(client.validators().await.unwrap().quorum, 3);
    let summary = client.transaction(&hash).await.unwrap();
    assert_eq!(
        (summary.status, summary.height),
        (TransactionStatus::Final, Some(5))
    );
    let unknown = client
        .transaction(&TransactionHash([0; 32]))
        .await
        .unwrap_err();
    assert_eq!(unknown.problem().unwrap().code, "unknown-resource");
    assert!(!client.is_ready().await);
}

#[tokio::test]
async fn a_claimed_genesis_is_read_whole() {
    let network = network();
    let toml = network.genesis.to_toml().unwrap();
    let validator = Fake::start(move |_, asked| {
        assert_eq!(asked.target, "/plenary/v1/genesis");
        Response::new(toml.clone().into())
    })
    .await;
    let claimed = client(&[&validator.url]).claimed_genesis().await.unwrap();
    assert_eq!(claimed, network.genesis);
}
