//! The end of a session: its commit, and what the client checks of it by itself.

use super::{Session, Step, kept::Closing};
use crate::{
    Answer, ClientError, NotCommitted,
    client::{Purpose, json_request, nonce_or_new, prefer},
    error::Hope,
    node::{Node, Reply},
};
use bytes::Bytes;
use plenary_types::{
    BrokenPromise, Commitment, Draft, Method, Operation, Outcome, Receipt, Request, Response,
    Transaction, TransactionHash, encode, session::chain_link,
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::atomic::{AtomicU64, Ordering};

/// A session in the ledger: the transaction has exactly the steps that the client saw, and the
/// receipt proves, where the client has a genesis, that it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What was committed.
    pub transaction: Transaction,
    /// The proof.
    pub receipt: Receipt,
}

impl Committed {
    /// The height of its block.
    pub fn height(&self) -> u64 {
        self.receipt.header.height
    }

    /// The response to its last step.
    pub fn response(&self) -> Option<&Response> {
        self.transaction
            .operations
            .last()
            .map(|last| &last.response)
    }

    /// The body of that, which is JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Body`] where it is not, or has another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let body = self.response().map(|response| &response.body[..]);
        Ok(serde_json::from_slice(body.unwrap_or_default())?)
    }
}

/// The end of a session as a node says: [`Session::prove`] has the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// In which transaction it was decided.
    pub transaction: TransactionHash,
    /// The height of its block, where the node said it.
    pub height: Option<u64>,
    /// What the node answered, where it answered anew: the problem `conflict` among others.
    pub response: Option<Response>,
    /// The request that ended it, where that was a step.
    last: Option<Operation>,
}

impl Session {
    /// Commits the session as it is, and checks what was committed: the transaction and its receipt
    /// are fetched from a validator, and compared with what this client saw and was promised. Where
    /// all session nodes refuse, a validator is given the session itself.
    ///
    /// # Errors
    ///
    /// Where it is not committed: `conflict` among others, after which it can be
    /// [rebased](Self::rebase). [`Broken`](ClientError::Broken) where it is, but not as it was
    /// promised.
    pub async fn commit(&self) -> Result<Committed, ClientError> {
        let target = format!("/plenary/v1/sessions/{}/commit", self.id);
        let request = json_request(Method::Post, &target, Bytes::new());
        let word = self.word(|key, genesis| Commitment::sign(key, genesis, &self.chain))?;
        let nonce = nonce_or_new(None)?;
        self.prove(&self.close(&request, &nonce, None, word).await?)
            .await
    }

    /// Commits the session by a route that the service declares to, with a JSON body: the request
    /// is its last step. Sending the same once more, after whatever error, is safe.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); and where the service refuses, which leaves the session open.
    pub async fn commit_with(
        &mut self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<Committed, ClientError> {
        let body = serde_json::to_vec(body)?;
        let request = json_request(Method::Post, target, body.into());
        self.commit_by(&request).await
    }

    /// Commits the session by any request that does.
    ///
    /// # Errors
    ///
    /// As [`commit_with`](Self::commit_with).
    pub async fn commit_by(&mut self, request: &Request) -> Result<Committed, ClientError> {
        let closed = self.close_by(request).await?;
        self.prove(&closed).await
    }

    /// The first half of [`commit_by`](Self::commit_by): until a node says how the session was
    /// decided, whose word that is. [`prove`](Self::prove) is the second half.
    ///
    /// # Errors
    ///
    /// Where nobody decides it, or the service refuses, which leaves the session open.
    pub async fn close_by(&mut self, request: &Request) -> Result<Closed, ClientError> {
        request.check()?;
        let nonce = self.closing_nonce(request)?;
        let last = self.last(request, &nonce)?;
        let word = self.word(|key, genesis| {
            Commitment::sign_closing(key, genesis, &self.chain, last.id(), request)
        })?;
        self.close(request, &nonce, Some(last), word).await
    }

    /// Has the session decided: by a session node, or by a validator where all of those refuse.
    async fn close(
        &self,
        request: &Request,
        nonce: &str,
        last: Option<Operation>,
        word: Option<Commitment>,
    ) -> Result<Closed, ClientError> {
        let decided = match self.ask_for_commit(request, nonce, word).await {
            Err(error) if error.hope() != Hope::Never => {
                match self.bring(last.clone(), word).await {
                    // The session node goes on by itself: this counts for more than that no
                    // validator would do it.
                    Err(_) if matches!(error, ClientError::Pending { .. }) => Err(error),
                    brought => brought,
                }
            }
            decided => decided,
        };
        Ok(Closed { last, ..decided? })
    }

    /// The nonce of the request that is to end the session: the same for the same request.
    fn closing_nonce(&mut self, request: &Request) -> Result<String, ClientError> {
        match &self.closing {
            Some(closing) if closing.request == *request => Ok(closing.nonce.clone()),
            _ => {
                let nonce = nonce_or_new(None)?;
                self.closing = Some(Closing {
                    request: request.clone(),
                    nonce: nonce.clone(),
                });
                Ok(nonce)
            }
        }
    }

    /// The last step, before it has been answered.
    fn last(&self, request: &Request, nonce: &str) -> Result<Operation, ClientError> {
        // It is one operation, whichever node it is signed for.
        let node = self.nodes.node(0);
        let composed = self.client.compose(node, request, nonce, Purpose::Step)?;
        Ok(Operation {
            request: request.clone(),
            author: composed.1,
            time: now(),
            reads: Vec::new(),
            response: Response {
                status: 200,
                content_type: String::new(),
                body: Bytes::new(),
            },
        })
    }

    /// The client's signature, where it signs.
    fn word(
        &self,
        sign: impl FnOnce(&plenary_types::PrivateKey, &plenary_types::GenesisHash) -> Commitment,
    ) -> Result<Option<Commitment>, ClientError> {
        match (self.client.key(), self.client.genesis()) {
            (None, _) => Ok(None),
            (Some(key), Some(genesis)) => Ok(Some(sign(key, &genesis.hash()))),
            (Some(_), None) => Err(ClientError::NoGenesis),
        }
    }

    /// Asks the session nodes to commit, until one says in which transaction the session was
    /// decided.
    async fn ask_for_commit(
        &self,
        request: &Request,
        nonce: &str,
        word: Option<Commitment>,
    ) -> Result<Closed, ClientError> {
        self.nodes
            .first(self.client.patience(), |node| async move {
                let composed = self.client.compose(&node, request, nonce, Purpose::Step)?;
                let mut http = self.mark(composed.0);
                if let Some(word) = word {
                    http = http.header("plenary-commitment", word.signature.to_string());
                }
                decided(&node, node.send(http).await?)
            })
            .await
    }

    /// Takes the session to a validator, which runs it again on a state that is as late as the steps' own. Where one is
    /// behind that height it is no longer asked for: the session node that promised it may have lied.
    async fn bring(
        &self,
        last: Option<Operation>,
        commitment: Option<Commitment>,
    ) -> Result<Closed, ClientError> {
        let steps = self.steps.iter().map(|step| step.operation.clone());
        let draft = Draft {
            operations: steps.chain(last).collect(),
            commitment,
        };
        let draft = &encode(&draft);
        let heights = self.steps.iter().map(|step| step.promise.height);
        let height = &AtomicU64::new(heights.max().unwrap_or_default());
        self.client
            .first(|node| async move {
                let http = node.request("POST", "/plenary/v1/drafts")?;
                let http = http
                    .timeout(crate::client::REPLY_WITHIN)
                    .header("prefer", prefer())
                    .header("plenary-height", height.load(Ordering::Relaxed))
                    .header("content-type", "application/octet-stream");
                let decided = decided(&node, node.send(http.body(draft.clone())).await?);
                if matches!(&decided, Err(error) if error.is_behind()) {
                    height.store(0, Ordering::Relaxed);
                }
                decided
            })
            .await
    }

    /// Fetches what was decided, with its proof, from a validator, and compares it with what this
    /// client saw and was promised.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub async fn prove(&self, closed: &Closed) -> Result<Committed, ClientError> {
        let (hash, client) = (&closed.transaction, &self.client);
        let (transaction, receipt) = client
            .first(|node| async move {
                let transaction = client.content_from(&node, hash).await;
                let transaction = transaction.map_err(not_there_yet(*hash))?;
                let receipt = client.receipt_from(&node, hash).await;
                Ok((transaction, receipt.map_err(not_there_yet(*hash))?))
            })
            .await?;
        if transaction.session() != Some(self.id) {
            let node = self.nodes.node(0);
            return Err(node.unproven("the transaction it names is of another session"));
        }
        if receipt.outcome != Outcome::Committed {
            return Err(ClientError::NotCommitted(Box::new(NotCommitted {
                session: self.id,
                transaction: *hash,
                outcome: receipt.outcome,
                winner: closed.response.as_ref().and_then(winner),
            })));
        }
        self.compare(
            Committed {
                transaction,
                receipt,
            },
            closed.last.as_ref(),
        )
    }

    /// Compares what was committed with what was promised, step by step.
    fn compare(
        &self,
        committed: Committed,
        last: Option<&Operation>,
    ) -> Result<Committed, ClientError> {
        let mut operations = committed.transaction.operations.iter();
        let mut chain = plenary_types::session::EMPTY_CHAIN;
        for Step { promise, .. } in &self.steps {
            let next = operations.next().map(|next| chain_link(&chain, next));
            chain = promise.chain;
            if next != Some(chain) {
                return Err(ClientError::Broken(Box::new(BrokenPromise {
                    promise: *promise,
                    transaction: committed.transaction,
                    receipt: committed.receipt,
                })));
            }
        }
        let more: Vec<_> = operations.map(Operation::id).collect();
        if more != last.map(Operation::id).as_slice() {
            return Err(ClientError::Added {
                session: self.id,
                transaction: committed.transaction.hash(),
            });
        }
        Ok(committed)
    }
}

fn now() -> plenary_types::Timestamp {
    plenary_types::Timestamp(crate::client::seconds().saturating_mul(1000))
}

/// What a node says of a session's end.
fn decided(node: &Node, reply: Reply) -> Result<Closed, ClientError> {
    let status = reply.status;
    let closed = |transaction, height, response| Closed {
        transaction,
        height,
        response,
        last: None,
    };
    match Answer::read(reply) {
        Ok(answer) => match (answer.finality.as_deref(), answer.transaction) {
            (Some("final"), Some(hash)) => Ok(closed(hash, answer.height, Some(answer.response()))),
            _ => Err(node.form(status, "it names no transaction".into())),
        },
        Err(ClientError::Problem { problem, url }) => match (problem.tx_hash, &*problem.code) {
            (Some(hash), "already-in-block") => Ok(closed(hash, None, None)),
            // Another transaction has it: asking again tells which.
            (Some(transaction), "superseded") => Err(ClientError::Pending {
                transaction,
                why: Some(*problem),
            }),
            _ => Err(ClientError::Problem { problem, url }),
        },
        Err(error) => Err(error),
    }
}

/// In a conflict, the transaction that was there before.
fn winner(response: &Response) -> Option<TransactionHash> {
    let problem = crate::answer::problem(&response.content_type, &response.body)?;
    problem.extra.get("winner")?.as_str()?.parse().ok()
}

/// A validator that has not got a transaction yet will have it soon.
fn not_there_yet(transaction: TransactionHash) -> impl Fn(ClientError) -> ClientError {
    move |error| match error.problem() {
        Some(problem) if problem.status == 404 => ClientError::Pending {
            transaction,
            why: None,
        },
        _ => error,
    }
}
