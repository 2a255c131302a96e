//! Between HTTP as axum has it and requests, responses and problems as the protocol has them.

use crate::{error::Refusal, finality::Finality};
use axum::{
    body::Body,
    extract::{OriginalUri, Request as HttpRequest, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response as HttpResponse},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use plenary_types::{
    Author, ClientSignature, Problem, Request, Response, SignatureError, Stage, Timestamp,
    genesis::ClientSignatures,
    limits::{MAX_BODY_BYTES, MAX_CONTENT_TYPE_BYTES, MAX_NONCE_BYTES, MAX_TARGET_BYTES},
    signature::verify_content_digest,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a reply waits for finality unless `Prefer: wait=` says otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(10);
/// How much of a body is read at most, to throw it away: a client that is still sending would not
/// see the answer.
const MOST_DRAINED: usize = 8 * 1024 * 1024;
/// How many streams a node has open at a time.
const MOST_STREAMS: usize = 1_024;
/// How long a node may be behind the one that a client comes from.
const LAG: Duration = Duration::from_secs(2);
/// The longest wait a client can ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A problem on its way to a client.
#[derive(Debug)]
pub struct Failure(pub Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.problem())
    }
}

impl From<plenary_store::StoreError> for Failure {
    fn from(error: plenary_store::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> HttpResponse {
        let mut response = to_http(self.0.to_response());
        let headers = response.headers_mut();
        if let Some(hash) = self.0.tx_hash {
            set(headers, "plenary-tx", hash);
        }
        if self.0.retryable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Sets a header whose value is plain by construction.
pub fn set(headers: &mut HeaderMap, name: &'static str, value: impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// A handler's response as HTTP has it.
pub fn to_http(response: Response) -> HttpResponse {
    let mut http = HttpResponse::new(Body::from(response.body));
    *http.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !response.content_type.is_empty()
        && let Ok(value) = HeaderValue::try_from(response.content_type)
    {
        http.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    http
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
///
/// 413 where it has more, 400 where it breaks off.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let (mut read, mut size) = (BytesMut::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk
            .map_err(|error| Problem::bad_request("body-unreadable", error).at(Stage::Request))?;
        size += chunk.len();
        if size <= limit {
            read.extend_from_slice(&chunk);
        } else if size > MOST_DRAINED {
            break;
        }
    }
    if size > limit {
        let detail = format!("the body has more than the {limit} bytes allowed");
        return Err(Problem::new(413, "body-too-large", detail).at(Stage::Request));
    }
    Ok(read.freeze())
}

/// The request as the protocol has it, and what else its headers say.
///
/// # Errors
///
/// Where a part is over its bound or the method is none that services have.
pub async fn from_http(http: HttpRequest) -> Result<(Parts, Request), Problem> {
    let (parts, body) = http.into_parts();
    let method = parts
        .method
        .as_str()
        .parse()
        .map_err(|error| Problem::new(405, "method-not-allowed", error).at(Stage::Request))?;
    // As it was sent and signed: a router nested in another sees only the end of it.
    let sent = parts.extensions.get::<OriginalUri>();
    let target = sent
        .map_or(&parts.uri, |sent| &sent.0)
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    if target.len() > MAX_TARGET_BYTES {
        let detail = format!("path and query have more than the {MAX_TARGET_BYTES} bytes allowed");
        return Err(Problem::new(414, "target-too-long", detail).at(Stage::Request));
    }
    let content_type = text(&parts.headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    if content_type.len() > MAX_CONTENT_TYPE_BYTES {
        return Err(
            Problem::bad_request("content-type-too-long", "Content-Type is too long")
                .at(Stage::Request),
        );
    }
    let content_type = content_type.to_owned();
    let body = read_body(body, MAX_BODY_BYTES).await?;
    Ok((
        parts,
        Request {
            method,
            target,
            content_type,
            body,
        },
    ))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    headers
        .get(name)
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| {
            let detail = format!("the header {name} is not plain ASCII");
            Problem::bad_request("malformed-header", detail).at(Stage::Request)
        })
}

/// Who sent a request: a client whose signature holds, or nobody in particular where the network
/// allows it.
///
/// # Errors
///
/// Why the request is not taken from this client.
pub fn author(
    parts: &Parts,
    request: &Request,
    clients: ClientSignatures,
    now: Timestamp,
) -> Result<Author, Problem> {
    let header = |name| text(&parts.headers, &HeaderName::from_static(name));
    let (input, signature) = (header("signature-input")?, header("signature")?);
    if let (None, None) = (input, signature) {
        return match clients {
            ClientSignatures::Required => Err(Refusal::Unsigned.problem()),
            ClientSignatures::Optional => anonymous(header("idempotency-key")?),
        };
    }
    let refused = |error: SignatureError| Refusal::Signature(error).problem();
    verify_content_digest(header("content-digest")?.unwrap_or_default(), &request.body)
        .map_err(refused)?;
    let host = text(&parts.headers, &header::HOST)?.unwrap_or_default();
    // A proxy that ends TLS does not say so in the request, so the client may have signed either.
    let mut verdict = Err(SignatureError::Malformed("no Signature-Input".into()));
    for scheme in ["http", "https"] {
        let origin = format!("{scheme}://{host}");
        let (input, signature) = (input.unwrap_or_default(), signature.unwrap_or_default());
        let signature =
            ClientSignature::from_headers(input, signature, &origin).map_err(refused)?;
        verdict = signature.verify(request).and_then(|()| {
            signature.check_time(now)?;
            Ok(Author::Signed(signature))
        });
        if verdict.is_ok() {
            break;
        }
    }
    verdict.map_err(refused)
}

fn anonymous(key: Option<&str>) -> Result<Author, Problem> {
    let nonce = match key {
        Some(key) if key.is_empty() || key.len() > MAX_NONCE_BYTES => {
            let detail = format!("Idempotency-Key must have 1 to {MAX_NONCE_BYTES} characters");
            return Err(Problem::bad_request("malformed-header", detail).at(Stage::Request));
        }
        Some(key) => Bytes::copy_from_slice(key.as_bytes()),
        None => {
            let mut nonce = [0; 32];
            getrandom::fill(&mut nonce).map_err(|error| {
                Problem::new(503, "no-randomness", error)
                    .at(Stage::Request)
                    .retryable()
            })?;
            Bytes::copy_from_slice(&nonce)
        }
    };
    Ok(Author::Anonymous { nonce })
}

/// How long a client is willing to wait (`Prefer`, RFC 7240); zero for `respond-async`.
pub fn wait(headers: &HeaderMap) -> Duration {
    let preferences = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut wait = DEFAULT_WAIT;
    for preference in preferences.flat_map(|value| value.split([',', ';'])) {
        let preference = preference.trim();
        if preference.eq_ignore_ascii_case("respond-async") {
            return Duration::ZERO;
        }
        if let Some(seconds) = preference
            .strip_prefix("wait=")
            .and_then(|s| s.parse().ok())
        {
            wait = Duration::from_secs(seconds).min(MAX_WAIT);
        }
    }
    wait
}

/// Waits until this node is as far as the client has seen another one: a client that goes
/// from one node to the next sends the last `Plenary-Height` it was answered, and never reads
/// less than it has written.
///
/// # Errors
///
/// 503 `behind` where that takes too long, and 400 where the header is no height.
pub async fn reach(finality: &Finality, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get("plenary-height") else {
        return Ok(());
    };
    let height = value
        .to_str()
        .ok()
        .and_then(|height| height.parse::<u64>().ok());
    let height = height.ok_or_else(|| {
        Problem::bad_request("malformed-header", "Plenary-Height must be a height")
            .at(Stage::Request)
    })?;
    let mut heights = finality.heights();
    let reached = heights.wait_for(|own| *own >= height);
    match tokio::time::timeout(wait(headers).min(LAG), reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Refusal::Stopping.into()),
        Err(_) => {
            let own = *finality.heights().borrow();
            let detail = format!("this node is at height {own}, not yet at {height}");
            let problem = Problem::new(503, "behind", detail).at(Stage::Layer1);
            Err(problem.retryable().into())
        }
    }
}

/// The streams that a node has open, which do not end by themselves: as many as it bears.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_STREAMS)))
    }
}

impl Streams {
    /// A place for one more stream, to be held for as long as it is open.
    ///
    /// # Errors
    ///
    /// 429 `too-many-streams`.
    pub fn open(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = self.0.clone().try_acquire_owned();
        place.map_err(|_| {
            let detail = format_args!(
                "this node has {MOST_STREAMS} streams open already; retry later, or follow another node"
            );
            let problem = Problem::new(429, "too-many-streams", detail).at(Stage::Request);
            problem.retryable().into()
        })
    }
}

/// The answer where the framework has no such resource.
pub async fn unknown() -> Failure {
    let detail = "there is no such resource; /plenary/v1/openapi.json lists all";
    Problem::new(404, "unknown-resource", detail)
        .at(Stage::Request)
        .into()
}

/// The answer where the resource has no such method.
pub async fn wrong_method() -> Failure {
    let detail = "the resource has no such method; /plenary/v1/openapi.json lists all";
    Problem::new(405, "method-not-allowed", detail)
        .at(Stage::Request)
        .into()
}

/// The answer where a part of the path does not parse.
pub fn bad_path(rejection: PathRejection) -> Failure {
    Problem::bad_request("malformed-path", rejection.body_text())
        .at(Stage::Request)
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn streams_are_bounded_and_one_that_ends_makes_place() {
        let streams = Streams::default();
        let mut open: Vec<_> = (0..MOST_STREAMS).map(|_| streams.open().unwrap()).collect();
        let Failure(problem) = streams.open().unwrap_err();
        assert_eq!((problem.status, &*problem.code), (429, "too-many-streams"));
        open.pop();
        assert!(streams.open().is_ok());
    }
}
