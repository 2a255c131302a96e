//! One validator over HTTP, as a source of final blocks.

use super::verify::Invalid;
use bytes::Bytes;
use plenary_types::PublicKey;
use plenary_validator::frames::{Frame, FrameError, Frames};
use reqwest::{Client, Response, Url, redirect};
use serde::Deserialize;
use std::{convert::Infallible, error::Error as _, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The largest reply that is read whole.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// Why a validator is of no use at present.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it answers what cannot be read: {0}")]
    Form(String),
    #[error("nothing came for too long")]
    Silent,
    #[error("it closed the stream")]
    Closed,
    #[error("{0}")]
    Frames(#[from] FrameError),
    #[error("{0}")]
    Invalid(#[from] Invalid),
    #[error("it claimed to be at height {0}, and gave no block")]
    Unfounded(u64),
}

impl From<reqwest::Error> for Failure {
    /// What the lowest layer said: the layers above it only repeat the URL.
    fn from(error: reqwest::Error) -> Self {
        let mut last = error.source();
        while let Some(deeper) = last.and_then(|error| error.source()) {
            last = Some(deeper);
        }
        Self::Unreachable(last.map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// Where a URL is none of a validator.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It does not parse, or is not of HTTP.
    #[error("`{url}` is not the URL of validator {key}, such as http://127.0.0.1:5000: {reason}")]
    Url {
        /// The validator.
        key: PublicKey,
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none.
    #[error("no URL of a validator is given; a session node needs those of all validators")]
    None,
    /// The program cannot use HTTP at all.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// The validators of a network, and where each serves HTTP.
#[derive(Debug, Clone)]
pub struct Validators {
    /// Key and URL of each.
    pub nodes: Vec<(PublicKey, String)>,
}

impl Validators {
    /// A source for each, in the order of keys. Connections are kept open for the next request.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, UrlError> {
        // A validator that redirects could send this node anywhere.
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(None)
            .build()?;
        let sources = self.nodes.iter().map(|(key, url)| {
            let refuse = |reason: String| UrlError::Url {
                key: *key,
                url: url.clone(),
                reason,
            };
            let parsed = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
            if !["http", "https"].contains(&parsed.scheme()) {
                return Err(refuse("it does not begin with http:// or https://".into()));
            }
            Ok(Source {
                key: *key,
                api: format!("{}/plenary/v1", parsed.as_str().trim_end_matches('/')),
                http: http.clone(),
            })
        });
        let mut sources = sources.collect::<Result<Vec<_>, UrlError>>()?;
        if sources.is_empty() {
            return Err(UrlError::None);
        }
        sources.sort_by_key(|source| source.key);
        Ok(sources)
    }
}

/// A validator to ask.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) key: PublicKey,
    api: String,
    http: Client,
}

#[derive(Deserialize)]
struct Status {
    height: u64,
}

impl Source {
    /// Opens the stream of blocks from a height on.
    pub(crate) async fn open(&self, from: u64, within: Duration) -> Result<Response, Failure> {
        let request = self.http.get(format!("{}/blocks?from={from}", self.api));
        let request = request.header("accept", "application/octet-stream");
        let sent = timeout(within, request.send()).await;
        let response = sent.map_err(|_| Failure::Silent)??;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(Failure::Status(status)),
        }
    }

    /// Asks how far it is.
    pub(crate) async fn height(&self, within: Duration) -> Result<u64, Failure> {
        let asked = async {
            let response = self.http.get(format!("{}/status", self.api)).send().await?;
            let body = read_whole(response).await?;
            serde_json::from_slice(&body).map_err(|error| Failure::Form(error.to_string()))
        };
        let Status { height } = timeout(within, asked)
            .await
            .map_err(|_| Failure::Silent)??;
        Ok(height)
    }

    /// Posts a transaction, without waiting for its outcome: status and body of the answer.
    pub(crate) async fn post(
        &self,
        transaction: Bytes,
        within: Duration,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let asked = async {
            let request = self.http.post(format!("{}/transactions", self.api));
            let request = request.header("prefer", "respond-async").body(transaction);
            let response = request.send().await?;
            Ok((response.status().as_u16(), read_whole(response).await?))
        };
        timeout(within, asked).await.map_err(|_| Failure::Silent)?
    }
}

async fn read_whole(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_REPLY_BYTES {
            let reason = format!("a reply has more than {MAX_REPLY_BYTES} bytes");
            return Err(Failure::Form(reason));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Passes a stream's frames on until it fails, waiting for whoever takes them.
pub(crate) async fn read(
    mut response: Response,
    queue: &mpsc::Sender<Frame>,
    silence: Duration,
) -> Result<Infallible, Failure> {
    let mut frames = Frames::default();
    loop {
        while let Some(frame) = frames.next_block()? {
            // Where nobody takes them any more, they were not good, which their taker says.
            queue.send(frame).await.map_err(|_| Failure::Closed)?;
        }
        let piece = timeout(silence, response.chunk()).await;
        let piece = piece.map_err(|_| Failure::Silent)??;
        frames.push(&piece.ok_or(Failure::Closed)?);
    }
}
