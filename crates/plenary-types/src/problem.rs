//! Problems (RFC 9457): how every error reaches a client.

use crate::{digest::TransactionHash, http::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The members that every problem can have.
const MEMBERS: [&str; 8] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "stage",
    "retryable",
    "tx_hash",
];

/// Where something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The service's handler refused.
    Service,
    /// The request, before any handler saw it.
    Request,
    /// A session node.
    Layer2,
    /// A validator.
    Layer1,
    /// Agreement among validators.
    Consensus,
}

/// An error as RFC 9457 writes it, with what a client needs to act on it; dereferences to its
/// [`Details`]. One word in size, as the error of nearly every function that has one should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<Details>);

impl Deref for Problem {
    type Target = Details;
    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

/// What a [`Problem`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Where the code is explained: a page of the documentation, by code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// A stable code.
    pub code: String,
    /// Where it failed.
    pub stage: Stage,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// The transaction, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tx_hash: Option<TransactionHash>,
    /// Anything else, by name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// A problem with a status, a stable code such as `unknown-operator`, and what happened.
    pub fn new(status: u16, code: &str, detail: impl fmt::Display) -> Self {
        let mut title = code.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self(Box::new(Details {
            kind: format!("urn:plenary:problem:{code}"),
            title,
            status,
            detail: detail.to_string(),
            code: code.to_owned(),
            stage: Stage::Service,
            retryable: false,
            tx_hash: None,
            extra: Map::new(),
        }))
    }

    /// 404: `what` (say, `package`) named `id` does not exist; code `unknown-package`.
    pub fn not_found(what: &str, id: impl fmt::Display) -> Self {
        let code = format!("unknown-{}", what.replace(' ', "-"));
        Self::new(404, &code, format_args!("there is no {what} {id}"))
    }

    /// 400 with a code of its own.
    pub fn bad_request(code: &str, detail: impl fmt::Display) -> Self {
        Self::new(400, code, detail)
    }

    /// 409: the request is fine but not now.
    pub fn conflict(code: &str, detail: impl fmt::Display) -> Self {
        Self::new(409, code, detail)
    }

    /// 422: well formed, but it cannot be right.
    pub fn unprocessable(code: &str, detail: impl fmt::Display) -> Self {
        Self::new(422, code, detail)
    }

    /// The same problem, failed at `stage`.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// The same problem, worth retrying.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same problem, about a transaction.
    #[must_use]
    pub fn about(mut self, transaction: TransactionHash) -> Self {
        self.tx_hash = Some(transaction);
        self
    }

    /// The same problem with one more member; a name that every problem has is left alone.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !MEMBERS.contains(&name) {
            self.extra.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The problem as a response.
    pub fn to_response(&self) -> Response {
        Response {
            status: self.status,
            content_type: PROBLEM_JSON.to_owned(),
            body: serde_json::to_vec(self).unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl std::error::Error for Problem {}
