//! Looking at sessions and session nodes, giving a session up, and running it again after a
//! conflict.

use super::Session;
use crate::{
    Client, ClientError,
    client::{Purpose, json_request, nonce_or_new},
    sse::{Message, Stream},
};
use bytes::Bytes;
use plenary_types::{
    Author, BlockHash, Digest, GenesisHash, Method, Problem, PublicKey, Request, Response,
    ServiceId, SessionId, Timestamp, TransactionHash,
};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// It takes steps.
    Open,
    /// Its transaction is on its way.
    Committing,
    /// It is in the ledger.
    Committed,
    /// Others changed what it had read; it can be rebased.
    Conflict,
    /// Layer 1 found a response in it wrong, or will have it in no block.
    Rejected,
    /// Its owner gave it up.
    Aborted,
    /// Its time was over.
    Expired,
}

/// A session, as a session node describes it to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The session.
    pub session: SessionId,
    /// Where it is in its life.
    pub status: SessionState,
    /// The key that it belongs to; nothing where its client does not sign.
    #[serde(default)]
    pub owner: Option<PublicKey>,
    /// When the node first heard of it.
    #[serde(default)]
    pub opened: Option<Timestamp>,
    /// Until when it may last; nothing once the ledger has it.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The digest of its chain of operations.
    #[serde(default)]
    pub chain: Option<Digest>,
    /// Its steps.
    #[serde(default)]
    pub operations: Vec<StepStatus>,
    /// The transaction, once there is one.
    #[serde(default)]
    pub transaction: Option<TransactionHash>,
    /// The height of the block that decided it.
    #[serde(default)]
    pub height: Option<u64>,
    /// Why it is not committed.
    #[serde(default)]
    pub why: Option<Problem>,
}

/// A step, as a session node describes it to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Its number, from 0.
    pub sequence: u32,
    /// The request's method.
    pub method: Method,
    /// The request's target.
    pub target: String,
    /// The response's status.
    pub status: u16,
    /// `simulated`, `replicated` or `final`.
    pub finality: String,
    /// The final height that it ran on; nothing of a session that the ledger has.
    #[serde(default)]
    pub height: Option<u64>,
}

/// A session node, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNodeStatus {
    /// The network's name.
    pub network: String,
    /// The network.
    pub genesis: GenesisHash,
    /// What it runs.
    pub service: ServiceId,
    /// Who says so.
    pub session_node: SessionNodeName,
    /// The last final height that it has executed.
    pub height: u64,
    /// The block there.
    pub block: BlockHash,
    /// The name of the validator that it follows.
    pub follows: Option<String>,
    /// The names of the other session nodes that it is connected with.
    pub peers: Vec<Option<String>>,
    /// How many session nodes a step needs.
    pub participation: String,
    /// How many sessions are open there.
    pub sessions: usize,
    /// How many transactions it waits for.
    pub pending: usize,
}

/// Who a session node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNodeName {
    /// Its name, where the genesis has it.
    pub name: Option<String>,
    /// Its key.
    pub key: PublicKey,
}

/// Something that happened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum SessionEvent {
    /// A step is durable at the node that ran it.
    Simulated {
        /// The step.
        sequence: u32,
    },
    /// Other session nodes have the step and agree.
    Replicated {
        /// The step.
        sequence: u32,
    },
    /// The session's transaction is on its way to layer 1.
    Submitted {
        /// The transaction.
        transaction: TransactionHash,
    },
    /// It is committed.
    Final {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block.
        height: u64,
    },
    /// Others changed what it had read.
    Conflict {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block.
        height: u64,
    },
    /// Layer 1 found a response in it wrong, or will have it in no block.
    Rejected {
        /// The transaction.
        transaction: TransactionHash,
        /// The height of its block, where it is in one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        height: Option<u64>,
    },
    /// Its requests were run again after a conflict.
    Rebased,
    /// Its owner gave it up.
    Aborted,
    /// Its time was over.
    Expired,
}

impl SessionEvent {
    /// Whether nothing can follow it.
    pub fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Final { .. } | Self::Rejected { .. } | Self::Aborted | Self::Expired
        )
    }
}

/// What happens in a session, as session nodes tell it. Another node than before, or the same after
/// a restart, tells it from the beginning.
#[derive(Debug)]
pub struct SessionEvents {
    stream: Stream,
    target: String,
    seen: Option<String>,
    over: bool,
}

impl SessionEvents {
    /// What happens next; nothing after what ends the session. Safe to cancel.
    ///
    /// # Errors
    ///
    /// Where no session node that has the session has answered for as long as the client is patient.
    pub async fn next(&mut self) -> Result<Option<SessionEvent>, ClientError> {
        if self.over {
            return Ok(None);
        }
        let seen = self.seen.as_deref();
        let read = |node: &crate::node::Node, message: Message| {
            let event: SessionEvent = serde_json::from_slice(&message.data)
                .map_err(|error| node.form(200, error.to_string()))?;
            Ok((message.id, event))
        };
        let (id, event) = self.stream.next(&self.target, seen, read).await?;
        self.seen = Some(id);
        self.over = event.is_last();
        Ok(Some(event))
    }
}

/// A step that was run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The request.
    pub request: Request,
    /// What it was answered before.
    pub before: Response,
    /// What it is answered now.
    pub after: Response,
}

impl Change {
    /// Whether the answer is another now.
    pub fn changed(&self) -> bool {
        self.before != self.after
    }
}

impl Client {
    /// How the session node that answers is.
    ///
    /// # Errors
    ///
    /// Where nobody answers.
    pub async fn session_node_status(&self) -> Result<SessionNodeStatus, ClientError> {
        self.at_session_node("status").await
    }

    /// A session, as the session node that answers describes it.
    ///
    /// # Errors
    ///
    /// Where no session node has it, or none answers.
    pub async fn session_status(&self, id: &SessionId) -> Result<SessionStatus, ClientError> {
        self.at_session_node(&format!("sessions/{id}")).await
    }

    /// What happens in a session, from its beginning.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoSessionNode`].
    pub fn session_events(&self, id: &SessionId) -> Result<SessionEvents, ClientError> {
        Ok(SessionEvents {
            stream: Stream::new(self.session_ring()?, self.patience()),
            target: format!("/plenary/v1/sessions/{id}/events"),
            seen: None,
            over: false,
        })
    }

    async fn at_session_node<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        if self.session_nodes.is_empty() {
            return Err(ClientError::NoSessionNode);
        }
        let target = &format!("/plenary/v1/{path}");
        self.session_nodes
            .first(
                self.patience(),
                |node| async move { node.get(target).await },
            )
            .await
    }
}

impl Session {
    /// The session, as the session node that answers describes it.
    ///
    /// # Errors
    ///
    /// Where no session node has it, or none answers.
    pub async fn status(&self) -> Result<SessionStatus, ClientError> {
        self.client.session_status(&self.id).await
    }

    /// What happens in the session, from its beginning.
    ///
    /// # Errors
    ///
    /// None once there is a session.
    pub fn events(&self) -> Result<SessionEvents, ClientError> {
        self.client.session_events(&self.id)
    }

    /// Gives the session up: nothing of it is committed.
    ///
    /// # Errors
    ///
    /// Where it is no longer open, or no session node answers.
    pub async fn abort(&self) -> Result<(), ClientError> {
        let _: IgnoredAny = self.about(Method::Delete, "").await?;
        Ok(())
    }

    /// After a conflict, has the session's requests run again on the current state, and opens it
    /// anew. Says what each step is answered now: it is the caller's to commit that, or not. Doing so
    /// twice is safe.
    ///
    /// # Errors
    ///
    /// Where the session is not in conflict, or the service refuses one of the requests now.
    pub async fn rebase(&mut self) -> Result<Vec<Change>, ClientError> {
        match self.about::<IgnoredAny>(Method::Post, "/rebase").await {
            // Of an attempt before, whose answer was lost.
            Err(error)
                if error
                    .problem()
                    .is_some_and(|it| it.code == "not-in-conflict") => {}
            done => drop(done?),
        }
        // Every step is asked for again, by its nonce: so its answer is promised to the byte.
        let mut again = Self::new(self.client.clone(), self.nodes.clone(), self.id);
        let mut changes = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let request = &step.operation.request;
            let nonce = match &step.operation.author {
                Author::Signed(signature) => signature.nonce().to_owned(),
                Author::Anonymous { nonce } => String::from_utf8_lossy(nonce).into_owned(),
            };
            let taken = again.ask(request, &nonce).await?;
            let Some(now) = taken.step else {
                let node = self.nodes.node(0);
                return Err(node.unproven("a step of the session is none any more"));
            };
            changes.push(Change {
                request: request.clone(),
                before: step.response().clone(),
                after: now.response().clone(),
            });
            again.push(now);
        }
        (self.steps, self.chain) = (again.steps, again.chain);
        Ok(changes)
    }

    /// Sends a request about the session, which is no step of it.
    async fn about<T: DeserializeOwned>(
        &self,
        method: Method,
        what: &str,
    ) -> Result<T, ClientError> {
        let target = format!("/plenary/v1/sessions/{}{what}", self.id);
        let request = &json_request(method, &target, Bytes::new());
        let nonce = &nonce_or_new(None)?;
        self.nodes
            .first(self.client.patience(), |node| async move {
                let (http, _) = self.client.compose(&node, request, nonce, Purpose::Step)?;
                node.json(&node.send(self.mark(http)).await?)
            })
            .await
    }
}
