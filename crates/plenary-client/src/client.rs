//! The client: whom it asks, as whom, in what order and how long; and a service's requests.

use crate::{Answer, ClientError, node::Node, ring::Ring};
use bytes::Bytes;
use plenary_types::{
    Author, ClientSignature, Genesis, Method, PrivateKey, Request, signature::content_digest,
};
use reqwest::RequestBuilder;
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long one validator may wait for finality before the next is asked, and may take for its
/// answer beyond that.
const WAIT: Duration = Duration::from_secs(10);
pub(crate) const REPLY_WITHIN: Duration = Duration::from_secs(15);
/// How long a client goes on asking unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of a network. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(crate) validators: Ring,
    pub(crate) session_nodes: Ring,
    /// Whom a request outside of any session is sent to: session nodes, then validators.
    services: Ring,
    /// The latest height that an answer was of: every validator is asked for no less.
    seen: Arc<AtomicU64>,
    key: Option<PrivateKey>,
    genesis: Option<Arc<Genesis>>,
    patience: Duration,
}

impl Client {
    /// A client of the network with validators at these URLs. It signs nothing and believes what
    /// it is told, until it is given a [key](Self::with_key) and a [genesis](Self::with_genesis).
    ///
    /// # Errors
    ///
    /// Where there is no URL, or one that is no validator's.
    pub fn new<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ClientError::Http)?;
        let validators = Ring::new(&http, urls)?;
        if validators.is_empty() {
            return Err(ClientError::NoUrl);
        }
        Ok(Self {
            session_nodes: Ring::new::<&str>(&http, [])?,
            services: validators.clone(),
            validators,
            http,
            seen: Arc::default(),
            key: None,
            genesis: None,
            patience: PATIENCE,
        })
    }

    /// The client, working in sessions at the session nodes at these URLs. They are also given its
    /// requests outside of any session; validators, where no session node answers.
    ///
    /// # Errors
    ///
    /// Where a URL is no node's.
    pub fn with_session_nodes<U: AsRef<str>>(
        self,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Self, ClientError> {
        let session_nodes = Ring::new(&self.http, urls)?;
        Ok(Self {
            services: session_nodes.and(&self.validators),
            session_nodes,
            ..self
        })
    }

    /// The client, signing its requests.
    #[must_use]
    pub fn with_key(self, key: PrivateKey) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// The client, checking what it is told against the validators of this genesis.
    #[must_use]
    pub fn with_genesis(self, genesis: impl Into<Arc<Genesis>>) -> Self {
        Self {
            genesis: Some(genesis.into()),
            ..self
        }
    }

    /// The client, asking this long before it gives up. One answer may take longer, up to 15 s.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Another client of the network, as if it ran in a program of its own: it shares connections
    /// with this one, and nothing of what this one has seen. It asks the node with the number
    /// `first` first, counted on from the last node to the first: so many clients can be spread.
    #[must_use]
    pub fn another(&self, first: usize) -> Self {
        // Validators are asked for a service only where no session node answers.
        let service = match self.session_nodes.len() {
            0 => first,
            nodes => first % nodes,
        };
        Self {
            validators: self.validators.beginning_at(first),
            session_nodes: self.session_nodes.beginning_at(first),
            services: self.services.beginning_at(service),
            seen: Arc::default(),
            ..self.clone()
        }
    }

    /// The genesis that answers are checked against.
    pub fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_deref()
    }

    /// Sends a `GET` request of the service.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn get(&self, target: &str) -> Result<Answer, ClientError> {
        self.request(Method::Get, target, Bytes::new()).await
    }

    /// Sends a `POST` request of the service with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn post(&self, target: &str, body: &impl Serialize) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(body)?;
        self.request(Method::Post, target, body.into()).await
    }

    /// Sends a request of the service; a body that is not empty is JSON.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        self.send(&json_request(method, target, body), None).await
    }

    /// Sends a request of the service until there is a final answer. The nonce, drawn where none
    /// is given, makes the request one: with the same nonce it is answered again but not run again,
    /// also by another client with the same key, and after a crash.
    ///
    /// # Errors
    ///
    /// Where the service refuses, where it is not final in time
    /// ([`Pending`](ClientError::Pending)), or nobody answers.
    pub async fn send(
        &self,
        request: &Request,
        nonce: Option<&str>,
    ) -> Result<Answer, ClientError> {
        request.check()?;
        let nonce = &nonce_or_new(nonce)?;
        self.services
            .first(self.patience, |node| async move {
                let (http, _) = self.compose(&node, request, nonce, Purpose::Alone)?;
                let answer = Answer::read(node.send(self.at_height(http)).await?);
                self.see(&answer);
                answer
            })
            .await
    }

    /// Names the height that whoever answers must have.
    pub(crate) fn at_height(&self, http: RequestBuilder) -> RequestBuilder {
        http.header("plenary-height", self.seen.load(Ordering::Relaxed))
    }

    /// A request as it goes to a node, and its author as the node will see it.
    pub(crate) fn compose(
        &self,
        node: &Node,
        request: &Request,
        nonce: &str,
        purpose: Purpose,
    ) -> Result<(RequestBuilder, Author), ClientError> {
        let mut http = node.request(request.method.as_str(), &request.target)?;
        http = http.timeout(REPLY_WITHIN).header("prefer", prefer());
        if !request.content_type.is_empty() {
            http = http.header("content-type", &request.content_type);
        }
        let http = http.body(request.body.clone());
        let Some(key) = &self.key else {
            let nonce = Bytes::copy_from_slice(nonce.as_bytes());
            let http = http.header("idempotency-key", &nonce[..]);
            return Ok((http, Author::Anonymous { nonce }));
        };
        let sign = match purpose {
            Purpose::Alone => ClientSignature::sign,
            Purpose::Step => ClientSignature::sign_in_session,
        };
        let signed = sign(key, request, &node.origin, nonce, seconds())?;
        let (input, signature) = signed.to_headers();
        let http = http
            .header("content-digest", content_digest(&request.body))
            .header("signature-input", input)
            .header("signature", signature);
        Ok((http, Author::Signed(signed)))
    }

    /// Remembers the height of an answer. Where a validator is behind it, it is forgotten: whoever
    /// named it may have lied, and must not keep the client from the others.
    pub(crate) fn see(&self, answer: &Result<Answer, ClientError>) {
        match answer {
            Ok(answer) => {
                self.seen
                    .fetch_max(answer.height.unwrap_or_default(), Ordering::Relaxed);
            }
            Err(error) if error.is_behind() => self.seen.store(0, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    /// Asks the validators.
    pub(crate) async fn first<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, ClientError> {
        self.validators.first(self.patience, ask).await
    }

    pub(crate) fn key(&self) -> Option<&PrivateKey> {
        self.key.as_ref()
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }
}

/// What a request is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be committed alone.
    Alone,
    /// To be a step of a session, or about one.
    Step,
}

/// A request of which a body that is not empty is JSON.
pub(crate) fn json_request(method: Method, target: &str, body: Bytes) -> Request {
    let content_type = match body.is_empty() {
        true => "",
        false => "application/json",
    };
    Request {
        method,
        target: target.into(),
        content_type: content_type.into(),
        body,
    }
}

/// How long a validator may wait for finality (RFC 7240).
pub(crate) fn prefer() -> String {
    format!("wait={}", WAIT.as_secs())
}

pub(crate) fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// The nonce that was given, or a new one.
pub(crate) fn nonce_or_new(nonce: Option<&str>) -> Result<String, ClientError> {
    if let Some(nonce) = nonce {
        return Ok(nonce.to_owned());
    }
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(ClientError::Random)?;
    Ok(hex::encode(nonce))
}
