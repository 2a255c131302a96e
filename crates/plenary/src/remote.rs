//! A running network, as commands reach it: by the URLs of its validators, each of which can
//! answer everything.

use bytes::Bytes;
use plenary_types::{
    ClientSignature, PrivateKey, Problem, Request, SignatureError, signature::content_digest,
};
use reqwest::{
    RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde::de::DeserializeOwned;
use std::{
    error::Error as _,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a reply may take: longer than the longest wait that a validator grants.
const REPLY_WITHIN: Duration = Duration::from_secs(75);
/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Validators to ask, in order of preference.
pub(crate) struct Remote {
    client: reqwest::Client,
    urls: Vec<String>,
}

/// An answer, whatever it says.
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header's value, where it is there and plain text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why a network gave no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The program cannot use HTTP at all.
    #[error("cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
    /// No validator answers.
    #[error(
        "no answer from {urls}: {reason}; is the network running (`dev` starts one), and is --url right?"
    )]
    Unreachable {
        /// Who was asked.
        urls: String,
        /// What the last attempt came to.
        reason: String,
    },
    /// The answer is a problem.
    #[error("{url} answers {problem}")]
    Problem {
        /// Who answered.
        url: String,
        /// The problem.
        problem: Box<Problem>,
    },
    /// The answer is not of the expected form.
    #[error(
        "{url} answers {status} with what this program cannot read; is it a validator of Plenary?"
    )]
    Form {
        /// Who answered.
        url: String,
        /// The status.
        status: u16,
    },
    /// The request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Sign(#[from] SignatureError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a nonce: {0}")]
    Random(getrandom::Error),
}

impl RemoteError {
    /// Whether the same question may get another answer soon.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Problem { problem, .. } if problem.retryable)
    }
}

impl Remote {
    /// Asks the validators at these URLs.
    pub(crate) fn new(urls: impl IntoIterator<Item = String>) -> Result<Self, RemoteError> {
        let client = reqwest::Client::builder()
            .timeout(REPLY_WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .build()
            .map_err(RemoteError::Client)?;
        let urls = urls
            .into_iter()
            .map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self {
            client,
            urls: urls.collect(),
        })
    }

    /// Asks one validator on this machine.
    pub(crate) fn at(address: SocketAddr) -> Result<Self, RemoteError> {
        Self::new([format!("http://{address}")])
    }

    /// Whether the first validator says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let Some(url) = self.urls.first() else {
            return false;
        };
        let reply = self.client.get(format!("{url}/readyz")).send().await;
        reply.is_ok_and(|reply| reply.status().is_success())
    }

    /// Gets a resource of the framework: `status`, `receipts/{hash}`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, resource: &str) -> Result<T, RemoteError> {
        let path = format!("/plenary/v1/{resource}");
        let (url, reply) = self
            .first(|url| Ok(self.client.get(format!("{url}{path}"))))
            .await?;
        let form = || RemoteError::Form {
            url: url.clone(),
            status: reply.status,
        };
        if (200..300).contains(&reply.status) {
            return serde_json::from_slice(&reply.body).map_err(|_| form());
        }
        let problem: Problem = serde_json::from_slice(&reply.body).map_err(|_| form())?;
        Err(RemoteError::Problem {
            url,
            problem: Box::new(problem),
        })
    }

    /// Gets a resource that may not be there yet, asking again up to `patience`.
    pub(crate) async fn get_soon<T: DeserializeOwned>(
        &self,
        resource: &str,
        patience: Duration,
    ) -> Result<T, RemoteError> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match self.get(resource).await {
                Err(error) if error.is_passing() && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                done => return done,
            }
        }
    }

    /// Sends a request of the service, signed by `key` where there is one. Where a validator does
    /// not answer, the next gets the same request: the nonce sees to it that it has one effect.
    pub(crate) async fn send(
        &self,
        request: &Request,
        key: Option<&PrivateKey>,
        nonce: Option<&str>,
    ) -> Result<Reply, RemoteError> {
        let nonce = match nonce {
            Some(nonce) => nonce.to_owned(),
            None => draw_nonce()?,
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = created.map_or(0, |since| since.as_secs());
        let prepare = |url: &str| -> Result<RequestBuilder, RemoteError> {
            let method = request.method.as_str().as_bytes();
            // Every method of a service is one of HTTP's.
            let method = reqwest::Method::from_bytes(method).unwrap_or_default();
            let mut http = self
                .client
                .request(method, format!("{url}{}", request.target));
            if !request.content_type.is_empty() {
                http = http.header(CONTENT_TYPE, &request.content_type);
            }
            http = match key {
                None => http.header("idempotency-key", &nonce),
                Some(key) => {
                    let signed = ClientSignature::sign(key, request, url, &nonce, created)?;
                    let (input, signature) = signed.to_headers();
                    http.header("content-digest", content_digest(&request.body))
                        .header("signature-input", input)
                        .header("signature", signature)
                }
            };
            Ok(http.body(request.body.clone()))
        };
        Ok(self.first(prepare).await?.1)
    }

    /// The first answer of any validator.
    async fn first(
        &self,
        prepare: impl Fn(&str) -> Result<RequestBuilder, RemoteError>,
    ) -> Result<(String, Reply), RemoteError> {
        let mut reason = String::from("no URL is given");
        for url in &self.urls {
            let reply = match prepare(url)?.send().await {
                Ok(reply) => read(reply).await,
                Err(error) => Err(error),
            };
            match reply {
                Ok(reply) => return Ok((url.clone(), reply)),
                Err(error) => reason = innermost(&error),
            }
        }
        Err(RemoteError::Unreachable {
            urls: self.urls.join(", "),
            reason,
        })
    }
}

async fn read(reply: Response) -> Result<Reply, reqwest::Error> {
    Ok(Reply {
        status: reply.status().as_u16(),
        headers: reply.headers().clone(),
        body: reply.bytes().await?,
    })
}

/// What the lowest layer said: the layers above it only repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(deeper) = last.and_then(|error| error.source()) {
        last = Some(deeper);
    }
    last.map_or_else(|| error.to_string(), ToString::to_string)
}

fn draw_nonce() -> Result<String, RemoteError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(RemoteError::Random)?;
    Ok(hex::encode(nonce))
}
