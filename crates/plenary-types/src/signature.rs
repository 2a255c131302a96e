//! Client signatures: HTTP Message Signatures (RFC 9421) with Ed25519.
//!
//! A client signs the method, the target URI and the digest of the content (RFC 9530), with a
//! nonce and a creation time. The originator keeps the `@signature-params` value as it was sent,
//! so that anyone can rebuild the signature base from the operation alone and check it again.
//!
//! Deviation from the RFC: the covered components are exactly `@method`, `@target-uri` and
//! `content-digest`, in any order, and `content-type` where the client adds it; the key id is the
//! public key in hexadecimal; a nonce is required.

use crate::{
    codec::codec,
    http::Request,
    keys::{PrivateKey, PublicKey, Signature},
    limits::{MAX_NONCE_BYTES, MAX_ORIGIN_BYTES, MAX_SIGNATURE_PARAMS_BYTES},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sfv::{BareItem, InnerList, ListEntry, Parser};
use sha2::{Digest as _, Sha256};

/// A client's signature over a request, with all that is needed to check it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSignature {
    /// The client's key.
    pub key: PublicKey,
    /// Scheme and authority of the target URI that was signed, for example
    /// `http://127.0.0.1:5000`.
    pub origin: String,
    /// The value of `@signature-params` as the client sent it.
    pub params: String,
    /// The signature.
    pub signature: Signature,
}
codec!(ClientSignature {
    key,
    origin: text(MAX_ORIGIN_BYTES),
    params: text(MAX_SIGNATURE_PARAMS_BYTES),
    signature,
});

/// Why a request's signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `Signature-Input` or `Signature` is not what RFC 9421 says.
    #[error("the signature headers are malformed: {0}")]
    Malformed(String),
    /// A component is missing from, or not supported in, the covered components.
    #[error(
        "the signature must cover @method, @target-uri and content-digest, and may cover content-type: {0}"
    )]
    Coverage(String),
    /// A parameter is missing or has a value that cannot be accepted.
    #[error("signature parameter {0}")]
    Parameter(String),
    /// The content does not have the digest that was sent with it.
    #[error("Content-Digest does not match the content; send sha-256=:…: of exactly the body")]
    ContentDigest,
    /// The signature is not the key's over this request.
    #[error(
        "the signature does not verify for key {0}; sign method, full target URI and body as sent"
    )]
    Invalid(PublicKey),
}

/// The parameters of a signature that mean something to Plenary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// When the client signed, seconds since the epoch.
    pub created: u64,
    /// The client's nonce.
    pub nonce: String,
    /// The client's key.
    pub key: PublicKey,
    components: Vec<String>,
}

impl Parameters {
    /// Parses a `@signature-params` value.
    ///
    /// # Errors
    ///
    /// Names the component or the parameter that cannot be accepted.
    pub fn parse(params: &str) -> Result<Self, SignatureError> {
        let mut entries: Vec<ListEntry> = Parser::new(params)
            .parse()
            .map_err(|error| SignatureError::Malformed(error.to_string()))?;
        match (entries.pop(), entries.pop()) {
            (Some(ListEntry::InnerList(list)), None) => Self::from_list(&list),
            _ => Err(SignatureError::Malformed(
                "expected one list of components".into(),
            )),
        }
    }

    fn from_list(list: &InnerList) -> Result<Self, SignatureError> {
        let components = covered(list)?;
        let text = |name: &str| match list.params.get(name) {
            Some(BareItem::String(text)) => Ok(text.as_str().to_owned()),
            Some(_) => Err(SignatureError::Parameter(format!(
                "{name} must be a string"
            ))),
            None => Err(SignatureError::Parameter(format!("{name} is missing"))),
        };
        if list.params.contains_key("alg") && text("alg")? != "ed25519" {
            return Err(SignatureError::Parameter("alg must be \"ed25519\"".into()));
        }
        let created = match list.params.get("created") {
            Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds)).ok(),
            _ => None,
        };
        let created = created.ok_or_else(|| {
            SignatureError::Parameter("created must be seconds since the epoch".into())
        })?;
        let nonce = text("nonce")?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
            return Err(SignatureError::Parameter(format!(
                "nonce must have 1 to {MAX_NONCE_BYTES} characters"
            )));
        }
        let key = text("keyid")?.parse().map_err(|error| {
            SignatureError::Parameter(format!("keyid must be an Ed25519 public key: {error}"))
        })?;
        Ok(Self {
            created,
            nonce,
            key,
            components,
        })
    }
}

fn covered(list: &InnerList) -> Result<Vec<String>, SignatureError> {
    let mut components = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let BareItem::String(name) = &item.bare_item else {
            return Err(SignatureError::Malformed("a component is no string".into()));
        };
        let name = name.as_str().to_owned();
        let known = ["@method", "@target-uri", "content-digest", "content-type"];
        if !known.contains(&name.as_str()) || !item.params.is_empty() {
            return Err(SignatureError::Coverage(format!("{name} is not supported")));
        }
        if components.contains(&name) {
            return Err(SignatureError::Coverage(format!("{name} is there twice")));
        }
        components.push(name);
    }
    for required in ["@method", "@target-uri", "content-digest"] {
        if !components.iter().any(|name| name == required) {
            return Err(SignatureError::Coverage(format!("{required} is missing")));
        }
    }
    Ok(components)
}

/// The `Content-Digest` header (RFC 9530) of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

fn signature_base(request: &Request, origin: &str, components: &[String], params: &str) -> String {
    let mut base = String::with_capacity(256 + params.len());
    for name in components {
        let value = match name.as_str() {
            "@method" => request.method.as_str().to_owned(),
            "@target-uri" => format!("{origin}{}", request.target),
            "content-type" => request.content_type.clone(),
            _ => content_digest(&request.body),
        };
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(params);
    base
}

impl ClientSignature {
    /// Signs `request` as it will be sent to `origin`, at `created` seconds since the epoch.
    /// The nonce makes the request unique: reuse it to retry, draw a new one to ask again.
    pub fn sign(
        key: &PrivateKey,
        request: &Request,
        origin: &str,
        nonce: &str,
        created: u64,
    ) -> Self {
        let components: Vec<String> = ["@method", "@target-uri", "content-digest"]
            .map(Into::into)
            .into();
        let params = format!(
            "(\"@method\" \"@target-uri\" \"content-digest\");created={created};nonce=\"{nonce}\";keyid=\"{}\";alg=\"ed25519\"",
            key.public_key()
        );
        let base = signature_base(request, origin, &components, &params);
        Self {
            key: key.public_key(),
            origin: origin.to_owned(),
            signature: key.sign(base.as_bytes()),
            params,
        }
    }

    /// Takes a signature from the values of the `Signature-Input` and `Signature` headers: the
    /// first label that both have. Checks the form, not yet the signature.
    ///
    /// # Errors
    ///
    /// Says which header or parameter cannot be accepted.
    pub fn from_headers(
        input: &str,
        signature: &str,
        origin: &str,
    ) -> Result<Self, SignatureError> {
        let malformed = |what: &str| SignatureError::Malformed(what.into());
        let (label, params) = input
            .split_once('=')
            .ok_or_else(|| malformed("Signature-Input has no label"))?;
        if params.len() > MAX_SIGNATURE_PARAMS_BYTES || origin.len() > MAX_ORIGIN_BYTES {
            return Err(malformed("a signature header is too long"));
        }
        let encoded = signature
            .strip_prefix(label)
            .and_then(|rest| rest.strip_prefix("=:"))
            .and_then(|rest| rest.strip_suffix(':'))
            .ok_or_else(|| malformed("Signature has not the label of Signature-Input"))?;
        let bytes = STANDARD
            .decode(encoded)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| malformed("Signature is not 64 bytes in base64"))?;
        Ok(Self {
            key: Parameters::parse(params)?.key,
            origin: origin.to_owned(),
            params: params.to_owned(),
            signature: Signature(bytes),
        })
    }

    /// The `Signature-Input` and `Signature` header values.
    pub fn to_headers(&self) -> (String, String) {
        (
            format!("plenary={}", self.params),
            format!("plenary=:{}:", STANDARD.encode(self.signature.0)),
        )
    }

    /// The nonce, empty where the parameters do not parse (such a signature never verifies).
    pub fn nonce(&self) -> String {
        Parameters::parse(&self.params)
            .map(|parameters| parameters.nonce)
            .unwrap_or_default()
    }

    /// Checks the signature over `request`.
    ///
    /// # Errors
    ///
    /// Says why it does not hold.
    pub fn verify(&self, request: &Request) -> Result<Parameters, SignatureError> {
        let parameters = Parameters::parse(&self.params)?;
        if parameters.key != self.key {
            return Err(SignatureError::Parameter(
                "keyid is not the signer's key".into(),
            ));
        }
        let base = signature_base(request, &self.origin, &parameters.components, &self.params);
        if !self.key.verify(base.as_bytes(), &self.signature) {
            return Err(SignatureError::Invalid(self.key));
        }
        Ok(parameters)
    }
}
