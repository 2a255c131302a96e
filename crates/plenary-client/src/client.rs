//! The client: whom it asks, as whom, in what order and how long; and a service's requests.

use crate::{Answer, ClientError, node::Node};
use bytes::Bytes;
use plenary_types::{
    ClientSignature, Genesis, Method, PrivateKey, Request, signature::content_digest,
};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long one validator may wait for finality before the next is asked, and may take for its
/// answer beyond that.
const WAIT: Duration = Duration::from_secs(10);
const REPLY_WITHIN: Duration = Duration::from_secs(15);
/// How long a client goes on asking unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after all validators were asked in vain; doubled each time, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A client of a network. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    nodes: Arc<[Node]>,
    /// The validator that answered last, which is asked first.
    preferred: Arc<AtomicUsize>,
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
        let urls = urls.into_iter();
        let nodes = urls.map(|url| Node::new(http.clone(), url.as_ref()));
        let nodes: Arc<[Node]> = nodes.collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(ClientError::NoUrl);
        }
        Ok(Self {
            nodes,
            preferred: Arc::default(),
            seen: Arc::default(),
            key: None,
            genesis: None,
            patience: PATIENCE,
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
        let content_type = match body.is_empty() {
            true => "",
            false => "application/json",
        };
        let request = Request {
            method,
            target: target.into(),
            content_type: content_type.into(),
            body,
        };
        self.send(&request, None).await
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
        let nonce = match nonce {
            Some(nonce) => nonce.to_owned(),
            None => draw_nonce()?,
        };
        let nonce = &nonce;
        self.first(|node| async move {
            let mut http = node.request(request.method.as_str(), &request.target)?;
            http = http.timeout(REPLY_WITHIN).header("prefer", prefer());
            http = http.header("plenary-height", self.seen.load(Ordering::Relaxed));
            if !request.content_type.is_empty() {
                http = http.header("content-type", &request.content_type);
            }
            http = match &self.key {
                None => http.header("idempotency-key", nonce),
                Some(key) => {
                    let signed =
                        ClientSignature::sign(key, request, &node.origin, nonce, seconds())?;
                    let (input, signature) = signed.to_headers();
                    http.header("content-digest", content_digest(&request.body))
                        .header("signature-input", input)
                        .header("signature", signature)
                }
            };
            let answer = Answer::read(node.send(http.body(request.body.clone())).await?);
            self.see(&answer);
            answer
        })
        .await
    }

    /// Remembers the height of an answer. Where a validator is behind it, it is forgotten: whoever
    /// named it may have lied, and must not keep the client from the others.
    fn see(&self, answer: &Result<Answer, ClientError>) {
        match answer {
            Ok(answer) => {
                self.seen
                    .fetch_max(answer.height.unwrap_or_default(), Ordering::Relaxed);
            }
            Err(ClientError::Problem { problem, .. }) if problem.code == "behind" => {
                self.seen.store(0, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    /// Asks one validator after the other, beginning with the one that answered last, and all of
    /// them again after a pause, until one has an answer or patience ends.
    pub(crate) async fn first<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let start = self.preferred.load(Ordering::Relaxed);
            let mut unreachable = Vec::new();
            let mut told = None;
            for step in 0..self.nodes.len() {
                let index = (start + step) % self.nodes.len();
                match ask(self.nodes[index].clone()).await {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(ClientError::Unreachable { reasons }) => unreachable.extend(reasons),
                    Err(error) if error.is_passing() => told = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() + pause >= deadline {
                // What somebody said is worth more than who was silent.
                return Err(told.unwrap_or(ClientError::Unreachable {
                    reasons: unreachable,
                }));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The validator that a stream prefers, or another after it failed.
    pub(crate) fn node(&self, failures: usize) -> &Node {
        let preferred = self.preferred.load(Ordering::Relaxed);
        &self.nodes[(preferred + failures) % self.nodes.len()]
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }
}

/// How long a validator may wait for finality (RFC 7240).
pub(crate) fn prefer() -> String {
    format!("wait={}", WAIT.as_secs())
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

fn draw_nonce() -> Result<String, ClientError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(ClientError::Random)?;
    Ok(hex::encode(nonce))
}
