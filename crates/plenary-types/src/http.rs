//! A request and a response as a transaction carries them: what a handler's answer depends on,
//! and nothing else.
//!
//! Deviation from HTTP: of the headers only `Content-Type` is part of the operation. Every other
//! header speaks to the node, not to the handler.

use crate::{
    codec::{Malformed, codec},
    digest::Digest,
    limits::{MAX_BODY_BYTES, MAX_CONTENT_TYPE_BYTES, MAX_TARGET_BYTES},
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Encode as _, Error, FixedSize, Read, ReadExt, Write};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The methods a service can route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[repr(u8)]
pub enum Method {
    /// `GET`
    Get = 0,
    /// `POST`
    Post = 1,
    /// `PUT`
    Put = 2,
    /// `PATCH`
    Patch = 3,
    /// `DELETE`
    Delete = 4,
}

impl Method {
    /// Every method, in encoding order.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method's name as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The method is none a service can route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("method {0} is none of GET, POST, PUT, PATCH, DELETE")]
pub struct UnknownMethod(pub String);

impl FromStr for Method {
    type Err = UnknownMethod;
    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| UnknownMethod(text.chars().take(16).collect()))
    }
}

impl Write for Method {
    fn write(&self, buf: &mut impl BufMut) {
        (*self as u8).write(buf);
    }
}

impl FixedSize for Method {
    const SIZE: usize = 1;
}

impl Read for Method {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let tag = u8::read(buf)?;
        Self::ALL
            .get(usize::from(tag))
            .copied()
            .ok_or(Error::InvalidEnum(tag))
    }
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query as sent, for example `/session/7/scan/PKG-1?verbose=1`.
    pub target: String,
    /// `Content-Type`, empty where there was none.
    pub content_type: String,
    /// The body as sent.
    pub body: Bytes,
}
codec!(Request {
    method,
    target: text(MAX_TARGET_BYTES),
    content_type: text(MAX_CONTENT_TYPE_BYTES),
    body: bytes(MAX_BODY_BYTES),
} check);

impl Request {
    /// Checks the rules that a request keeps in every transaction, so that its signature base has
    /// one reading only and any HTTP library can carry it.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), Malformed> {
        let target = self.target.as_bytes();
        let broken = |what, rule| Err(Malformed { what, rule });
        if target.len() > MAX_TARGET_BYTES {
            return broken("the request target", "has more bytes than allowed");
        }
        let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
        if target.first() != Some(&b'/') || !target.iter().all(visible) {
            return broken(
                "the request target",
                "must begin with / and hold visible ASCII only, and no #",
            );
        }
        if self.body.len() > MAX_BODY_BYTES {
            return broken("the request body", "has more bytes than allowed");
        }
        check_content_type(&self.content_type)
    }

    /// The target up to the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The target after the first `?`, where there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The digest that stands for this request in a session's chain.
    pub fn digest(&self) -> Digest {
        Digest::of("plenary request", &[&self.encode()])
    }
}

/// A media type is a header value: visible ASCII, with spaces inside only.
fn check_content_type(text: &str) -> Result<(), Malformed> {
    let inside = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if text.len() <= MAX_CONTENT_TYPE_BYTES && text.bytes().all(inside) && text.trim() == text {
        return Ok(());
    }
    Err(Malformed {
        what: "the content type",
        rule: "must be short, of visible ASCII, and not begin or end with a space",
    })
}

/// A handler's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200 to 599.
    pub status: u16,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}
codec!(Response {
    status,
    content_type: text(MAX_CONTENT_TYPE_BYTES),
    body: bytes(MAX_BODY_BYTES),
} check);

impl Response {
    /// Checks the rules that a response keeps in every transaction: any HTTP library can carry it,
    /// as the final answer.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), Malformed> {
        let what = "the response";
        if !(200..=599).contains(&self.status) {
            let rule = "must have a status of 200 to 599";
            return Err(Malformed { what, rule });
        }
        if self.body.len() > MAX_BODY_BYTES {
            let rule = "has a body of more bytes than allowed";
            return Err(Malformed { what, rule });
        }
        check_content_type(&self.content_type)
    }

    /// The digest that stands for this response in a session's chain and in a rejection.
    pub fn digest(&self) -> Digest {
        Digest::of("plenary response", &[&self.encode()])
    }
}
