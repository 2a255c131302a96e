//! The framework's own resources, under `/plenary/v1/`, and what a client with a genesis checks
//! of each.

use crate::{
    Client, ClientError,
    client::prefer,
    node::{Node, Reply},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use plenary_types::{
    BlockHash, Certificate, Digest, Evidence, Genesis, GenesisHash, Header, Outcome, PublicKey,
    Receipt, ServiceId, StateKey, Transaction, TransactionHash, Versioned, block::holds_outcomes,
    decode, encode, limits::MAX_DESCENDANTS, state_proof::StateProof,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Duration;

/// How long a resource may take.
const REPLY_WITHIN: Duration = Duration::from_secs(15);

/// A validator's view of the network and of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The network's name.
    pub network: String,
    /// The network.
    pub genesis: GenesisHash,
    /// What it runs.
    pub service: ServiceId,
    /// Who says so.
    pub validator: ValidatorStatus,
    /// The last final height.
    pub height: u64,
    /// The block there.
    pub block: BlockHash,
    /// The state's root after it.
    pub state_root: Digest,
    /// The engine's view.
    pub view: u64,
    /// The name of the view's leader, where it is known.
    pub leader: Option<String>,
    /// How many other validators it is connected with.
    pub peers: usize,
    /// How many transactions wait for a block.
    pub pending: usize,
}

/// Who a validator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorStatus {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// Its index, where the genesis names it.
    pub index: Option<u32>,
}

/// The validators, as one of them sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// All of them, by index.
    pub validators: Vec<Peer>,
    /// How many signatures make a certificate.
    pub quorum: usize,
    /// How many may be Byzantine.
    pub faults_tolerated: usize,
}

/// A validator, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// Whether they are connected.
    pub connected: bool,
}

/// A final block: its header, and which transactions had which outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSummary {
    /// The block's hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// Its transactions, in order.
    pub transactions: Vec<Decided>,
    /// The certificate of its own, where it has one; otherwise a descendant has.
    pub certificate: Option<Certificate>,
}

/// A transaction of a block, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The transaction.
    pub hash: TransactionHash,
    /// What became of it.
    pub outcome: Outcome,
}

impl BlockSummary {
    /// Whether hash, transactions and outcomes are the header's.
    fn is_whole(&self) -> bool {
        let decided = self.transactions.iter();
        let decided: Vec<_> = decided
            .map(|decided| (decided.hash, decided.outcome.clone()))
            .collect();
        self.hash == self.header.hash() && holds_outcomes(&self.header, &decided)
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionStatus {
    /// It waits for a block.
    Pending,
    /// It is in a final block.
    Final,
}

/// A transaction as a validator describes it to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransactionSummary {
    /// The transaction.
    pub hash: TransactionHash,
    /// Where it stands.
    pub status: TransactionStatus,
    /// The height of its block, once it is in one.
    pub height: Option<u64>,
    /// Its index in the block.
    pub index: Option<u32>,
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// What it ran on.
    pub service: ServiceId,
    /// The node that made it.
    pub originator: PublicKey,
    /// Its requests and responses.
    pub operations: Vec<Value>,
}

/// Where a transaction is in the ledger, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    /// The transaction.
    pub hash: TransactionHash,
    /// Its block's height.
    pub height: u64,
    /// Its index in the block.
    pub index: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// One entry of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The height at which the state has it.
    pub height: u64,
    /// The state's root there.
    pub state_root: Digest,
    /// The value, or nothing where the key has none.
    pub value: Option<Versioned>,
}

/// A validator that was seen to break the protocol, and the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convicted {
    /// Its name.
    pub name: Option<String>,
    /// Its key.
    pub key: Option<PublicKey>,
    /// The proof.
    pub evidence: Evidence,
}

impl Client {
    /// How the validator that answers is.
    ///
    /// # Errors
    ///
    /// Where nobody answers.
    pub async fn status(&self) -> Result<NetworkStatus, ClientError> {
        self.resource("status").await
    }

    /// The validators, as the one that answers sees them.
    ///
    /// # Errors
    ///
    /// Where nobody answers.
    pub async fn validators(&self) -> Result<Validators, ClientError> {
        self.resource("validators").await
    }

    /// The genesis that a validator claims. Whoever believes it needs another way to know it.
    ///
    /// # Errors
    ///
    /// Where nobody answers.
    pub async fn claimed_genesis(&self) -> Result<Genesis, ClientError> {
        self.first(|node| async move {
            let request = node.request("GET", "/plenary/v1/genesis")?;
            let reply = node.send(request.timeout(REPLY_WITHIN)).await?;
            node.check(reply.status, &reply.headers, &reply.body)?;
            let form = |reason: String| node.form(reply.status, reason);
            let text = std::str::from_utf8(&reply.body);
            let text = text.map_err(|error| form(error.to_string()))?;
            Genesis::from_toml(text).map_err(|error| form(error.to_string()))
        })
        .await
    }

    /// Whether the validator that is asked first says that it is ready: the height advances when
    /// there is work.
    pub async fn is_ready(&self) -> bool {
        let node = self.validators.node(0);
        let Ok(request) = node.request("GET", "/readyz") else {
            return false;
        };
        let reply = node.send(request.timeout(REPLY_WITHIN)).await;
        reply.is_ok_and(|reply| reply.status == 200)
    }

    /// A final block. With a genesis, it is the block that the validators certified.
    ///
    /// # Errors
    ///
    /// Where there is no such block, or nobody answers, or no answer holds.
    pub async fn block(&self, height: u64) -> Result<BlockSummary, ClientError> {
        self.first(|node| async move {
            match self.genesis() {
                Some(genesis) => certified(&node, genesis, height).await,
                None => fetch_block(&node, height).await,
            }
        })
        .await
    }

    /// A transaction that is final or waiting, as a validator describes it. Its
    /// [receipt](Self::receipt) proves what became of it.
    ///
    /// # Errors
    ///
    /// Where there is no such transaction, or nobody answers.
    pub async fn transaction(
        &self,
        hash: &TransactionHash,
    ) -> Result<TransactionSummary, ClientError> {
        self.resource(&format!("transactions/{hash}")).await
    }

    /// The receipt of a final transaction. With a genesis, it holds.
    ///
    /// # Errors
    ///
    /// Where the transaction is not final in time, or nobody answers, or no answer holds.
    pub async fn receipt(&self, hash: &TransactionHash) -> Result<Receipt, ClientError> {
        self.first(|node| async move { self.receipt_from(&node, hash).await })
            .await
    }

    pub(crate) async fn receipt_from(
        &self,
        node: &Node,
        hash: &TransactionHash,
    ) -> Result<Receipt, ClientError> {
        let target = format!("/plenary/v1/receipts/{hash}");
        let receipt: Receipt = node.get(&target).await?;
        if receipt.transaction != *hash {
            return Err(node.unproven("the receipt is of another transaction"));
        }
        if let Some(genesis) = self.genesis() {
            receipt
                .verify(genesis)
                .map_err(|error| node.unproven(error))?;
        }
        Ok(receipt)
    }

    /// A transaction that is final or waiting, itself: what its hash stands for.
    ///
    /// # Errors
    ///
    /// Where there is no such transaction, or nobody answers.
    pub async fn content(&self, hash: &TransactionHash) -> Result<Transaction, ClientError> {
        self.first(|node| async move { self.content_from(&node, hash).await })
            .await
    }

    pub(crate) async fn content_from(
        &self,
        node: &Node,
        hash: &TransactionHash,
    ) -> Result<Transaction, ClientError> {
        let request = node.request("GET", &format!("/plenary/v1/transactions/{hash}"))?;
        let request = request.timeout(REPLY_WITHIN);
        let reply = node
            .send(request.header("accept", "application/octet-stream"))
            .await?;
        node.check(reply.status, &reply.headers, &reply.body)?;
        let transaction = decode::<Transaction>(reply.body);
        let transaction =
            transaction.map_err(|error| node.form(reply.status, error.to_string()))?;
        match transaction.hash() == *hash {
            true => Ok(transaction),
            false => Err(node.unproven("the transaction has another hash")),
        }
    }

    /// An entry of the state at `height`, or at the last final height. With a genesis, it is what
    /// the validators certified; otherwise it is what the answering one claims.
    ///
    /// # Errors
    ///
    /// Where the height cannot be read any more, or nobody answers, or no answer holds.
    pub async fn state(&self, key: &StateKey, height: Option<u64>) -> Result<Entry, ClientError> {
        let table = utf8_percent_encode(key.table(), NON_ALPHANUMERIC);
        let at = height.map_or_else(String::new, |height| format!("?height={height}"));
        let target = &format!("/plenary/v1/state/{table}/0x{}{at}", hex::encode(key.key()));
        self.first(|node| async move {
            let told: Told = node.get(target).await?;
            let value = told.proof.verify(&told.state_root, key);
            let value = value.map_err(|error| node.unproven(error))?.cloned();
            if let Some(genesis) = self.genesis() {
                let block = certified(&node, genesis, told.height).await?;
                if block.header.state != told.state_root {
                    return Err(node.unproven("the state root is not the certified block's"));
                }
            }
            if height.is_some_and(|height| height != told.height) {
                return Err(node.unproven("the state is of another height"));
            }
            Ok(Entry {
                height: told.height,
                state_root: told.state_root,
                value,
            })
        })
        .await
    }

    /// The validators that were seen to break the protocol. With a genesis, the proofs hold.
    ///
    /// # Errors
    ///
    /// Where nobody answers, or no answer holds.
    pub async fn evidence(&self) -> Result<Vec<Convicted>, ClientError> {
        #[derive(Deserialize)]
        struct All {
            evidence: Vec<Convicted>,
        }
        self.first(|node| async move {
            let All { evidence } = node.get("/plenary/v1/evidence").await?;
            if let Some(genesis) = self.genesis()
                && !evidence.iter().all(|one| one.evidence.verify(genesis))
            {
                return Err(node.unproven("some evidence proves nothing"));
            }
            Ok(evidence)
        })
        .await
    }

    /// Submits a transaction and waits until it has its outcome, whatever that is. Submitting one
    /// again gives the same.
    ///
    /// # Errors
    ///
    /// Where it is not valid, or not final in time ([`Pending`](ClientError::Pending)), or nobody
    /// answers.
    pub async fn submit(&self, transaction: &Transaction) -> Result<Landed, ClientError> {
        let (body, hash) = (&encode(transaction), transaction.hash());
        self.first(|node| async move {
            let request = node.request("POST", "/plenary/v1/transactions")?;
            let request = request
                .timeout(REPLY_WITHIN)
                .header("prefer", prefer())
                .header("content-type", "application/octet-stream");
            let reply = node.send(request.body(body.clone())).await?;
            match landed(&node, &reply, hash) {
                // Decided, now or before: the ledger has the outcome.
                Err(ClientError::Problem { problem, .. })
                    if problem.tx_hash == Some(hash) && is_decision(&problem.code) =>
                {
                    find(&node, hash).await
                }
                landed => landed,
            }
        })
        .await
    }

    /// Gets any resource of the framework as JSON, by its path below `/plenary/v1/`.
    ///
    /// # Errors
    ///
    /// Where it has another form, or nobody answers.
    pub async fn resource<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let target = &format!("/plenary/v1/{path}");
        self.first(|node| async move { node.get(target).await })
            .await
    }
}

/// What a validator tells of an entry of the state.
#[derive(Deserialize)]
struct Told {
    height: u64,
    state_root: Digest,
    proof: StateProof,
}

/// Whether a problem says that a transaction is in the ledger.
fn is_decision(code: &str) -> bool {
    ["conflict", "rejected", "already-in-block"].contains(&code)
}

fn landed(node: &Node, reply: &Reply, hash: TransactionHash) -> Result<Landed, ClientError> {
    if reply.status == 202 {
        return Err(ClientError::Pending {
            transaction: hash,
            why: None,
        });
    }
    let landed: Landed = node.json(reply)?;
    match landed.hash == hash {
        true => Ok(landed),
        false => Err(node.unproven("the answer is about another transaction")),
    }
}

async fn find(node: &Node, hash: TransactionHash) -> Result<Landed, ClientError> {
    let target = format!("/plenary/v1/transactions/{hash}");
    let summary: TransactionSummary = node.get(&target).await?;
    match summary {
        TransactionSummary {
            hash,
            height: Some(height),
            index: Some(index),
            outcome: Some(outcome),
            ..
        } => Ok(Landed {
            hash,
            height,
            index,
            outcome,
        }),
        _ => Err(ClientError::Pending {
            transaction: hash,
            why: None,
        }),
    }
}

async fn fetch_block(node: &Node, height: u64) -> Result<BlockSummary, ClientError> {
    let target = format!("/plenary/v1/blocks/{height}");
    let block: BlockSummary = node.get(&target).await?;
    if block.header.height != height {
        return Err(node.unproven("the block is of another height"));
    }
    match block.is_whole() {
        true => Ok(block),
        false => Err(node.unproven("the block's hash or content is not its header's")),
    }
}

/// The block at `height`, with proof that it is final: a certificate of its own, or its
/// descendants' up to one that has.
async fn certified(
    node: &Node,
    genesis: &Genesis,
    height: u64,
) -> Result<BlockSummary, ClientError> {
    let block = fetch_block(node, height).await?;
    let mut last = block.clone();
    for _ in 0..=MAX_DESCENDANTS {
        if let Some(certificate) = &last.certificate {
            certificate
                .verify(&last.header, genesis)
                .map_err(|error| node.unproven(error))?;
            return Ok(block);
        }
        let next = fetch_block(node, last.header.height.saturating_add(1)).await?;
        if next.header.parent != last.hash {
            return Err(node.unproven("its blocks are not linked"));
        }
        last = next;
    }
    Err(node.unproven(format!(
        "there is no certificate among {MAX_DESCENDANTS} blocks after {height}"
    )))
}
