//! Sessions at session nodes (`docs/sessions.md`): steps that are answered at once, and one commit.
//!
//! The session keeps what it asked, what it was answered and what it was promised. An answer whose
//! promise is not by a session node of the network, or not for exactly this step of this chain,
//! counts as none: the next node is asked with the same nonce, signed anew. What is committed in the
//! end is checked against all of it ([`Session::commit`]).

mod commit;
mod kept;
mod look;

pub use commit::{Closed, Committed};
pub use kept::Kept;
pub use look::{
    Change, SessionEvent, SessionEvents, SessionNodeName, SessionNodeStatus, SessionState,
    SessionStatus, StepStatus,
};

use crate::{
    Answer, Client, ClientError,
    client::{Purpose, json_request, nonce_or_new},
    node::Node,
    ring::Ring,
};
use bytes::Bytes;
use kept::Closing;
use plenary_types::{
    Author, Digest, Method, Operation, Promise, Request, Response, SessionId,
    session::{EMPTY_CHAIN, chain_link},
};
use reqwest::RequestBuilder;
use serde::{Serialize, de::DeserializeOwned};

/// Where a session of any service is opened.
const OPEN: &str = "/plenary/v1/sessions";

/// A session that its client works in. Steps run one after the other.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// The session nodes, the one that this session is at first.
    nodes: Ring,
    id: SessionId,
    /// Of a client that does not sign.
    token: Option<String>,
    steps: Vec<Step>,
    /// The digest of the steps' chain.
    chain: Digest,
    /// The request that is to end it, once it was sent.
    closing: Option<Closing>,
}

/// A step as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Request, signature, time and response; its reads are not the client's to know.
    pub operation: Operation,
    /// The session node's word for it.
    pub promise: Promise,
}

impl Step {
    /// What the handler answered.
    pub fn response(&self) -> &Response {
        &self.operation.response
    }

    /// The body of what it answered, which is JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Body`] where it is not, or has another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        Ok(serde_json::from_slice(&self.response().body)?)
    }
}

impl Client {
    /// Opens a session by a route that the service declares to open one, with a JSON body. The
    /// answer is the session's first step.
    ///
    /// # Errors
    ///
    /// Where the service refuses, no session node answers as it should, or a client that signs has
    /// no genesis.
    pub async fn open(&self, target: &str, body: &impl Serialize) -> Result<Session, ClientError> {
        let body = serde_json::to_vec(body)?;
        let request = json_request(Method::Post, target, body.into());
        self.open_with(&request, None).await
    }

    /// Opens a session of any service.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_plain(&self) -> Result<Session, ClientError> {
        let request = json_request(Method::Post, OPEN, Bytes::new());
        self.open_with(&request, None).await
    }

    /// Opens a session with any request that does, and with a nonce, drawn where none is given: the
    /// same nonce finds the session again.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(
        &self,
        request: &Request,
        nonce: Option<&str>,
    ) -> Result<Session, ClientError> {
        request.check()?;
        let (nodes, nonce) = (&self.session_ring()?, &nonce_or_new(nonce)?);
        nodes
            .first(self.patience(), |node| async move {
                let (http, author) = self.compose(&node, request, nonce, Purpose::Step)?;
                let id = author.operation().into();
                let mut session = Session::new(self.clone(), nodes.clone(), id);
                let taken = session.take(&node, request, http, author).await?;
                let step = taken.step.ok_or_else(|| {
                    node.unproven(
                        "the request has opened no session, or opened one before that is committed",
                    )
                })?;
                session.token = taken.token;
                session.push(step);
                Ok(session)
            })
            .await
    }

    /// The session nodes, for one session.
    fn session_ring(&self) -> Result<Ring, ClientError> {
        if self.session_nodes.is_empty() {
            return Err(ClientError::NoSessionNode);
        }
        if self.key().is_some() && self.genesis().is_none() {
            return Err(ClientError::NoGenesis);
        }
        Ok(self.session_nodes.fork())
    }
}

/// What a session node answered to a request in a session.
struct Taken {
    answer: Answer,
    /// Absent for what only reads.
    step: Option<Step>,
    token: Option<String>,
}

impl Session {
    fn new(client: Client, nodes: Ring, id: SessionId) -> Self {
        Self {
            client,
            nodes,
            id,
            token: None,
            steps: Vec::new(),
            chain: EMPTY_CHAIN,
            closing: None,
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its steps, in order; the first one opened it.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The digest of the chain of its steps.
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// The answer to the request that opened it, which is JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Body`] where it is not, or has another form.
    pub fn opening<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        match self.steps.first() {
            Some(step) => step.json(),
            None => Err(ClientError::Kept("it has no step".into())),
        }
    }

    /// Sends a `GET` request in the session.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn get(&mut self, target: &str) -> Result<Answer, ClientError> {
        self.call(Method::Get, target, Bytes::new()).await
    }

    /// Sends a `POST` request in the session with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn post(
        &mut self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body)?;
        self.call(Method::Post, target, body.into()).await
    }

    /// Sends a request in the session; a body that is not empty is JSON.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn call(
        &mut self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        self.send(&json_request(method, target, body), None).await
    }

    /// Sends a request in the session until a session node answers as it should. What changes
    /// nothing is answered on what the session has written, and is no step. With the same nonce a
    /// request is answered again but not run again, at another node too and after a crash.
    ///
    /// # Errors
    ///
    /// Where the service refuses, which leaves no trace, or no session node answers as it should.
    pub async fn send(
        &mut self,
        request: &Request,
        nonce: Option<&str>,
    ) -> Result<Answer, ClientError> {
        request.check()?;
        let nonce = &nonce_or_new(nonce)?;
        let taken = self.ask(request, nonce).await?;
        if let Some(step) = taken.step {
            self.push(step);
        }
        Ok(taken.answer)
    }

    async fn ask(&self, request: &Request, nonce: &str) -> Result<Taken, ClientError> {
        self.nodes
            .first(self.client.patience(), |node| async move {
                let composed = self.client.compose(&node, request, nonce, Purpose::Step)?;
                let (http, author) = composed;
                self.take(&node, request, self.mark(http), author).await
            })
            .await
    }

    /// Names the session, and what of it the client has seen.
    fn mark(&self, http: RequestBuilder) -> RequestBuilder {
        let http = http
            .header("plenary-session", self.id.to_string())
            .header("plenary-chain", self.chain.to_string());
        match &self.token {
            Some(token) => http.header("plenary-session-token", token),
            None => http,
        }
    }

    /// Sends a request, and checks what a node promises with its answer.
    async fn take(
        &self,
        node: &Node,
        request: &Request,
        http: RequestBuilder,
        author: Author,
    ) -> Result<Taken, ClientError> {
        let reply = node.send(self.client.at_height(http)).await?;
        let token = reply.headers.get("plenary-session-token");
        let token = token.and_then(|token| Some(token.to_str().ok()?.to_owned()));
        let answer = Answer::read(reply);
        self.client.see(&answer);
        let answer = answer?;
        let Some(promise) = answer.promise else {
            return match answer.sequence {
                None => Ok(Taken {
                    answer,
                    step: None,
                    token,
                }),
                Some(_) => Err(node.unproven("it promises nothing for the step")),
            };
        };
        let operation = Operation {
            request: request.clone(),
            author,
            time: promise.time,
            reads: Vec::new(),
            response: answer.response(),
        };
        self.check(&operation, &promise)
            .map_err(|reason| node.unproven(reason))?;
        Ok(Taken {
            answer,
            step: Some(Step { operation, promise }),
            token,
        })
    }

    /// Whether a promise is one of the network's, for exactly this operation as the next step.
    fn check(&self, operation: &Operation, promise: &Promise) -> Result<(), &'static str> {
        if promise.session != self.id || promise.sequence as usize != self.steps.len() {
            return Err("the promise is for another step, or another session");
        }
        if promise.chain != chain_link(&self.chain, operation) {
            return Err("the promise is for another chain of requests and responses");
        }
        match self.client.genesis() {
            Some(genesis) if !genesis.is_session_node(&promise.node) => {
                Err("the promise is by no session node of the network")
            }
            Some(genesis) if !promise.verify(&genesis.hash()) => {
                Err("the promise's signature does not verify")
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, step: Step) {
        self.chain = step.promise.chain;
        self.steps.push(step);
    }
}
