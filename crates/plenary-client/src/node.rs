//! One node over HTTP: a request out, a whole and bounded reply back.

use crate::{ClientError, answer::problem};
use bytes::{Bytes, BytesMut};
use reqwest::{RequestBuilder, Response, Url, header::HeaderMap};
use serde::de::DeserializeOwned;
use std::{error::Error as _, sync::Arc};

/// The largest reply that is read. The largest there is has a block's outcomes.
pub(crate) const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A node to ask.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    http: reqwest::Client,
    /// `scheme://authority`, as it stands in a signed target URI.
    pub(crate) origin: Arc<str>,
}

/// A reply, whatever it says.
pub(crate) struct Reply {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Node {
    /// The node at `url`, which may end in a slash and must have no path.
    pub(crate) fn new(http: reqwest::Client, url: &str) -> Result<Self, ClientError> {
        let refuse = |reason: String| ClientError::Url {
            url: url.to_owned(),
            reason,
        };
        let parsed = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        let origin = parsed.origin().ascii_serialization();
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(refuse("it does not begin with http:// or https://".into()));
        }
        if parsed.as_str() != format!("{origin}/") {
            return Err(refuse("it has more than a host and a port".into()));
        }
        Ok(Self {
            http,
            origin: origin.into(),
        })
    }

    /// A request for `target`, a path and query.
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
    ) -> Result<RequestBuilder, ClientError> {
        let url = format!("{}{target}", self.origin);
        let parsed = Url::parse(&url).map_err(|error| ClientError::Url {
            url: url.clone(),
            reason: error.to_string(),
        })?;
        if parsed.as_str() != url {
            // It would be signed in one form and arrive in another.
            let sent = parsed.as_str().strip_prefix(&*self.origin);
            return Err(ClientError::Target {
                target: target.to_owned(),
                sent: sent.unwrap_or(parsed.as_str()).to_owned(),
            });
        }
        // The methods of a service are all among HTTP's.
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        Ok(self.http.request(method, parsed))
    }

    /// Sends a request and reads the whole reply.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Reply, ClientError> {
        let response = self.open(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply {
            url: self.origin.to_string(),
            body: self.read(response).await?,
            status,
            headers,
        })
    }

    /// Sends a request; the reply's body is still to be read.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let sent = request.send().await;
        sent.map_err(|error| self.unreachable(&error))
    }

    pub(crate) async fn read(&self, mut response: Response) -> Result<Bytes, ClientError> {
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| self.unreachable(&error))? {
                None => return Ok(body.freeze()),
                Some(chunk) if body.len() + chunk.len() <= MAX_REPLY_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Some(_) => {
                    let reason = format!("it has more than {MAX_REPLY_BYTES} bytes");
                    return Err(self.form(status, reason));
                }
            }
        }
    }

    /// Gets JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        let reply = self.send(self.request("GET", target)?).await?;
        self.json(&reply)
    }

    /// The JSON that a reply has, or the problem that it is.
    pub(crate) fn json<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, ClientError> {
        self.check(reply.status, &reply.headers, &reply.body)?;
        serde_json::from_slice(&reply.body)
            .map_err(|error| self.form(reply.status, error.to_string()))
    }

    /// Checks that a reply is a success.
    pub(crate) fn check(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), ClientError> {
        match status {
            200..300 => Ok(()),
            _ => Err(self.refusal(status, headers, body)),
        }
    }

    /// What a reply says that is no success.
    pub(crate) fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> ClientError {
        let content_type = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        match problem(content_type.unwrap_or_default(), body) {
            Some(problem) => ClientError::Problem {
                url: self.origin.to_string(),
                problem: Box::new(problem),
            },
            None => self.form(status, "neither a success nor a problem of RFC 9457".into()),
        }
    }

    pub(crate) fn form(&self, status: u16, reason: String) -> ClientError {
        ClientError::Form {
            url: self.origin.to_string(),
            status,
            reason,
        }
    }

    pub(crate) fn unproven(&self, reason: impl ToString) -> ClientError {
        ClientError::Unproven {
            url: self.origin.to_string(),
            reason: reason.to_string(),
        }
    }

    /// What the lowest layer said: the layers above it only repeat the URL.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut last = error.source();
        while let Some(deeper) = last.and_then(|error| error.source()) {
            last = Some(deeper);
        }
        let reason = last.map_or_else(|| error.to_string(), ToString::to_string);
        ClientError::Unreachable {
            reasons: vec![(self.origin.to_string(), reason)],
        }
    }
}
