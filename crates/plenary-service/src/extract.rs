//! Extractors: what a handler takes of its request, as arguments with types.

use crate::path::PathDeserializer;
use plenary_types::{
    Malformed, Problem, Request, Stage,
    limits::{MAX_BODY_BYTES, MAX_TARGET_BYTES},
};
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// A request with the parameters that its path has by the route's pattern.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The request.
    pub request: &'a Request,
    /// The parameters' names and values in the order of the pattern, percent-decoded.
    pub parameters: Vec<(&'a str, Cow<'a, str>)>,
}

impl Parts<'_> {
    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| &**value)
    }
}

/// A type that a handler can take as an argument.
pub trait FromRequest: Sized {
    /// Why a request does not have it.
    type Rejection: Into<Problem>;

    /// Whether it is taken from a JSON body, for the API's description.
    const TAKES_JSON: bool = false;

    /// Takes the value from a request.
    ///
    /// # Errors
    ///
    /// Where the request does not have it; the handler is not called then.
    fn from_request(parts: &Parts<'_>) -> Result<Self, Self::Rejection>;
}

/// The parameters of the path: one value where the pattern has one, else a tuple in the order of
/// the pattern or a struct by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The query of the target, into a struct by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// A JSON body: of a request as an argument, of a response as a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// Why a request cannot be given to its handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The target is over [`MAX_TARGET_BYTES`] long.
    #[error("the target has {0} bytes, more than the {MAX_TARGET_BYTES} allowed")]
    TargetTooLong(usize),
    /// The body is over [`MAX_BODY_BYTES`] long.
    #[error("the body has {0} bytes, more than the {MAX_BODY_BYTES} allowed")]
    BodyTooLarge(usize),
    /// The request is one that no transaction can carry.
    #[error("{0}")]
    Malformed(Malformed),
    /// A parameter of the path does not decode.
    #[error("parameter `{0}` of the path is not percent-encoded UTF-8")]
    PathEncoding(String),
    /// The parameters of the path are not what the handler takes.
    #[error("the path is not what this route takes: {0}")]
    Path(String),
    /// The query is not what the handler takes.
    #[error("the query is not what this route takes: {0}")]
    Query(String),
    /// The body is of another type.
    #[error(
        "this route takes a JSON body: send it with `Content-Type: application/json` (it came as \
         `{0}`)"
    )]
    ContentType(String),
    /// The body is no JSON.
    #[error("the body is not JSON: {0}")]
    JsonSyntax(String),
    /// The body is JSON, but not what the handler takes.
    #[error("the body is not what this route takes: at `{path}`: {error}")]
    JsonData {
        /// The member that is wrong, for example `items[2].qty`; `.` is the whole.
        path: String,
        /// What is wrong with it, and on which line.
        error: String,
    },
}

impl Rejection {
    /// Checks what holds for every request, before any route is looked for.
    pub(crate) fn check(request: &Request) -> Result<(), Self> {
        if request.target.len() > MAX_TARGET_BYTES {
            return Err(Self::TargetTooLong(request.target.len()));
        }
        if request.body.len() > MAX_BODY_BYTES {
            return Err(Self::BodyTooLarge(request.body.len()));
        }
        request.check().map_err(Self::Malformed)
    }

    /// The HTTP status and the stable code.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::TargetTooLong(_) => (414, "target-too-long"),
            Self::BodyTooLarge(_) => (413, "body-too-large"),
            Self::Malformed(_) => (400, "malformed-request"),
            Self::PathEncoding(_) | Self::Path(_) => (400, "invalid-path"),
            Self::Query(_) => (400, "invalid-query"),
            Self::ContentType(_) => (415, "unsupported-media-type"),
            Self::JsonSyntax(_) => (400, "malformed-json"),
            Self::JsonData { .. } => (422, "invalid-body"),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let (status, code) = rejection.status_and_code();
        Self::new(status, code, rejection).at(Stage::Request)
    }
}

impl<T: DeserializeOwned> FromRequest for Path<T> {
    type Rejection = Rejection;

    fn from_request(parts: &Parts<'_>) -> Result<Self, Rejection> {
        let deserializer = PathDeserializer::new(&parts.parameters);
        let value = T::deserialize(deserializer);
        value
            .map(Self)
            .map_err(|error| Rejection::Path(error.to_string()))
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Rejection = Rejection;

    fn from_request(parts: &Parts<'_>) -> Result<Self, Rejection> {
        let query = parts.request.query().unwrap_or_default();
        let value = serde_urlencoded::from_str(query);
        value
            .map(Self)
            .map_err(|error| Rejection::Query(error.to_string()))
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    type Rejection = Rejection;
    const TAKES_JSON: bool = true;

    fn from_request(parts: &Parts<'_>) -> Result<Self, Rejection> {
        let request = parts.request;
        if !is_json(&request.content_type) {
            return Err(Rejection::ContentType(request.content_type.clone()));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&request.body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            match error.classify() {
                serde_json::error::Category::Data => Rejection::JsonData {
                    path,
                    error: error.to_string(),
                },
                _ => Rejection::JsonSyntax(error.to_string()),
            }
        })?;
        let end = deserializer.end();
        end.map_err(|error| Rejection::JsonSyntax(error.to_string()))?;
        Ok(Self(value))
    }
}

/// Whether a media type is `application/json` or one that ends in `+json`, whatever parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
