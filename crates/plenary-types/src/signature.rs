//! Client signatures: HTTP Message Signatures (RFC 9421) with Ed25519.
//!
//! A client signs the method, the target URI and the digest of the content (RFC 9530), with a
//! nonce and a creation time. The originator keeps the `@signature-params` value, so that anyone
//! can rebuild the signature base from the operation alone and check it again.
//!
//! Deviation from the RFC: the covered components are exactly `@method`, `@target-uri`,
//! `content-digest` and, where the request has one, `content-type`, in any order and without
//! parameters, because that is all a handler sees of a request; the key id is the public key in
//! hexadecimal; a nonce is required. The parameter `tag` is understood where it is
//! `plenary-session`: the client wants the request as a step of a session, to be committed with its
//! [`Commitment`](crate::Commitment) only. Without the tag, a request may also be committed alone.

use crate::{
    codec::{Malformed, read_text, text_size, write_text},
    digest::OperationId,
    http::Request,
    keys::{PrivateKey, PublicKey, Signature, Signed},
    limits::{
        MAX_CLIENT_DRIFT_MS, MAX_NONCE_BYTES, MAX_OPERATION_AGE_MS, MAX_ORIGIN_BYTES,
        MAX_SIGNATURE_PARAMS_BYTES,
    },
    time::Timestamp,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt, Write};
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Item, ListEntry, Parser, key_ref};
use sha2::{Digest as _, Sha256};

/// Why a request's signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `Signature-Input` or `Signature` is not what RFC 9421 says.
    #[error("the signature headers are malformed: {0}")]
    Malformed(String),
    /// A component is missing from, or not supported in, the covered components.
    #[error(
        "the signature must cover @method, @target-uri, content-digest and, if there is one, content-type: {0}"
    )]
    Coverage(String),
    /// A parameter is missing or has a value that cannot be accepted.
    #[error("signature parameter {0}")]
    Parameter(String),
    /// The content does not have the digest that was sent with it.
    #[error("Content-Digest does not match the content; send sha-256=:…: of exactly the body")]
    ContentDigest,
    /// The signature was made at another time than the operation.
    #[error(
        "the signature was created at {created} s and the operation ran at {time}: too old, expired, or a wrong clock; sign again"
    )]
    Time {
        /// When the client says it signed, seconds since the epoch.
        created: u64,
        /// When the originator ran the operation.
        time: Timestamp,
    },
    /// The signature is not the key's over this request.
    #[error(
        "the signature does not verify for key {0}; sign method, full target URI and body as sent"
    )]
    Invalid(PublicKey),
}

/// The `tag` of a request that is a step of a session.
const SESSION_TAG: &str = "plenary-session";

/// What a signature can cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    Method,
    TargetUri,
    ContentDigest,
    ContentType,
}

impl Component {
    const ALL: [Self; 4] = [
        Self::Method,
        Self::TargetUri,
        Self::ContentDigest,
        Self::ContentType,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::ContentDigest => "content-digest",
            Self::ContentType => "content-type",
        }
    }
}

/// The parameters of a signature that mean something to Plenary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// When the client signed, seconds since the epoch.
    pub created: u64,
    /// From when on the signature is void, seconds since the epoch.
    pub expires: Option<u64>,
    /// The client's nonce.
    pub nonce: String,
    /// The client's key.
    pub key: PublicKey,
    /// Whether the request is a step of a session, and must not be committed alone.
    pub in_session: bool,
    components: Vec<Component>,
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
        let refuse = |what: String| Err(SignatureError::Parameter(what));
        let text = |name: &str| match list.params.get(name) {
            Some(BareItem::String(text)) => Ok(text.as_str()),
            Some(_) => Err(SignatureError::Parameter(format!(
                "{name} must be a string"
            ))),
            None => Err(SignatureError::Parameter(format!("{name} is missing"))),
        };
        let seconds = |name: &str| match list.params.get(name) {
            Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds)).ok(),
            _ => None,
        };
        if list.params.contains_key("alg") && text("alg")? != "ed25519" {
            return refuse("alg must be \"ed25519\"".into());
        }
        let Some(created) = seconds("created") else {
            return refuse("created must be seconds since the epoch".into());
        };
        let expires = seconds("expires");
        if list.params.contains_key("expires") && expires.is_none() {
            return refuse("expires must be seconds since the epoch".into());
        }
        let nonce = text("nonce")?;
        if nonce.is_empty() || nonce.len() > MAX_NONCE_BYTES {
            return refuse(format!("nonce must have 1 to {MAX_NONCE_BYTES} characters"));
        }
        let key = text("keyid")?.parse().map_err(|error| {
            SignatureError::Parameter(format!("keyid must be an Ed25519 public key: {error}"))
        })?;
        Ok(Self {
            created,
            expires,
            nonce: nonce.to_owned(),
            key,
            in_session: list.params.contains_key("tag") && text("tag")? == SESSION_TAG,
            components: covered(list)?,
        })
    }
}

fn covered(list: &InnerList) -> Result<Vec<Component>, SignatureError> {
    let mut components = Vec::with_capacity(Component::ALL.len());
    for item in &list.items {
        let BareItem::String(name) = &item.bare_item else {
            return Err(SignatureError::Malformed("a component is no string".into()));
        };
        let known = Component::ALL
            .into_iter()
            .find(|component| component.as_str() == name.as_str());
        let Some(component) = known.filter(|_| item.params.is_empty()) else {
            return Err(SignatureError::Coverage(format!("{name} is not supported")));
        };
        if components.contains(&component) {
            return Err(SignatureError::Coverage(format!("{name} is there twice")));
        }
        components.push(component);
    }
    for required in &Component::ALL[..3] {
        if !components.contains(required) {
            let name = required.as_str();
            return Err(SignatureError::Coverage(format!("{name} is missing")));
        }
    }
    Ok(components)
}

/// The `Content-Digest` header (RFC 9530) of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Checks a `Content-Digest` header against the body it came with.
///
/// # Errors
///
/// [`SignatureError::ContentDigest`] where the header is not exactly [`content_digest`] of `body`.
/// RFC 9530 knows other algorithms and lists of them, but a signature covers the header as sent
/// and must be checkable from the body alone.
pub fn verify_content_digest(header: &str, body: &[u8]) -> Result<(), SignatureError> {
    if header.trim() == content_digest(body) {
        Ok(())
    } else {
        Err(SignatureError::ContentDigest)
    }
}

/// A client's signature over a request, with all that is needed to check it again. Its form has
/// been checked; [`verify`](Self::verify) checks the signature itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSignature {
    origin: String,
    params: String,
    signature: Signature,
    /// What `params` says.
    parameters: Parameters,
    /// What follows from key and nonce, and is asked for again and again.
    operation: OperationId,
}

impl ClientSignature {
    /// Puts a signature together from `scheme://authority` of the target URI that was signed (for
    /// example `http://127.0.0.1:5000`), the value of `@signature-params` and the signature.
    ///
    /// # Errors
    ///
    /// What is malformed.
    pub fn new(
        origin: String,
        params: String,
        signature: Signature,
    ) -> Result<Self, SignatureError> {
        check_length(&params)?;
        let parameters = Parameters::parse(&params)?;
        Self::of(origin, params, parameters, signature)
    }

    /// A signature whose `params` say what `parameters` has.
    fn of(
        origin: String,
        params: String,
        parameters: Parameters,
        signature: Signature,
    ) -> Result<Self, SignatureError> {
        check_origin(&origin).map_err(|error| SignatureError::Malformed(error.to_string()))?;
        check_length(&params)?;
        let key_and_nonce: [&[u8]; 2] = [&parameters.key.0, parameters.nonce.as_bytes()];
        Ok(Self {
            operation: OperationId::of("plenary operation", &key_and_nonce),
            parameters,
            origin,
            params,
            signature,
        })
    }

    /// Signs `request` as it will be sent to `origin`, at `created` seconds since the epoch.
    /// The nonce makes the request unique: reuse it to retry, draw a new one to ask again.
    ///
    /// # Errors
    ///
    /// Where origin, nonce or time cannot be in a signature.
    pub fn sign(
        key: &PrivateKey,
        request: &Request,
        origin: &str,
        nonce: &str,
        created: u64,
    ) -> Result<Self, SignatureError> {
        Self::sign_tagged(key, request, origin, nonce, created, None)
    }

    /// Signs `request` as a step of a session: it is committed with the session or not at all.
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign).
    pub fn sign_in_session(
        key: &PrivateKey,
        request: &Request,
        origin: &str,
        nonce: &str,
        created: u64,
    ) -> Result<Self, SignatureError> {
        Self::sign_tagged(key, request, origin, nonce, created, Some(SESSION_TAG))
    }

    fn sign_tagged(
        key: &PrivateKey,
        request: &Request,
        origin: &str,
        nonce: &str,
        created: u64,
        tag: Option<&str>,
    ) -> Result<Self, SignatureError> {
        let covers = match request.content_type.is_empty() {
            true => &Component::ALL[..3],
            false => &Component::ALL[..],
        };
        let unfit = |name: &str| SignatureError::Parameter(format!("{name} is out of range"));
        let text =
            |text: &str, name| sfv::String::try_from(text.to_owned()).map_err(|_| unfit(name));
        let items = covers.iter().map(|component| component.as_str());
        let items = items.map(|name| text(name, name).map(Item::new));
        let mut list = InnerList::new(items.collect::<Result<_, _>>()?);
        let mut parameter = |name: &'static str, value: BareItem| {
            list.params.insert(key_ref(name).to_owned(), value);
        };
        let seconds = sfv::Integer::try_from(created).map_err(|_| unfit("created"))?;
        parameter("created", seconds.into());
        parameter("nonce", text(nonce, "nonce")?.into());
        let key_id = key.public_key().to_string();
        parameter("keyid", text(&key_id, "keyid")?.into());
        parameter("alg", text("ed25519", "alg")?.into());
        if let Some(tag) = tag {
            parameter("tag", text(tag, "tag")?.into());
        }

        let mut signed = Self::new(origin.to_owned(), serialize(list), Signature([0; 64]))?;
        signed.signature = key.sign(signed.base(request).as_bytes());
        Ok(signed)
    }

    /// Takes a signature from the values of the `Signature-Input` and `Signature` headers: the
    /// first label that both have and whose parameters can be accepted, since others on the way
    /// may add signatures of their own. Checks the form, not yet the signature.
    ///
    /// # Errors
    ///
    /// Says which header or parameter cannot be accepted.
    pub fn from_headers(
        input: &str,
        signature: &str,
        origin: &str,
    ) -> Result<Self, SignatureError> {
        let parse = |name: &str, value: &str| {
            let parsed = Parser::new(value).parse::<Dictionary>();
            parsed.map_err(|error| SignatureError::Malformed(format!("{name}: {error}")))
        };
        let inputs = parse("Signature-Input", input)?;
        let signatures = parse("Signature", signature)?;
        let mut refusal = None;
        for (label, entry) in inputs {
            let (ListEntry::InnerList(list), Some(signature)) = (entry, signatures.get(&label))
            else {
                continue;
            };
            let taken = bytes_of(signature).and_then(|signature| {
                let parameters = Parameters::from_list(&list)?;
                Self::of(origin.to_owned(), serialize(list), parameters, signature)
            });
            match taken {
                Ok(taken) => return Ok(taken),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            SignatureError::Malformed(
                "Signature-Input and Signature have no label in common".into(),
            )
        }))
    }

    /// The `Signature-Input` and `Signature` header values.
    pub fn to_headers(&self) -> (String, String) {
        (
            format!("plenary={}", self.params),
            format!("plenary=:{}:", STANDARD.encode(self.signature.0)),
        )
    }

    /// Whether the request is a step of a session, and must not be committed alone.
    pub fn in_session(&self) -> bool {
        self.parameters.in_session
    }

    /// The client's key.
    pub fn key(&self) -> PublicKey {
        self.parameters.key
    }

    /// Scheme and authority of the target URI that was signed.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The name of the one operation that the key asks for with this nonce.
    pub fn operation(&self) -> OperationId {
        self.operation
    }

    /// The client's nonce.
    pub fn nonce(&self) -> &str {
        &self.parameters.nonce
    }

    /// What the client put into `@signature-params`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The signature base (RFC 9421, section 2.5): what the client signs.
    pub fn base(&self, request: &Request) -> String {
        let mut base = String::with_capacity(256 + request.target.len() + self.params.len());
        for component in &self.parameters.components {
            base.extend(["\"", component.as_str(), "\": "]);
            match component {
                Component::Method => base.push_str(request.method.as_str()),
                Component::TargetUri => base.extend([self.origin.as_str(), &request.target]),
                Component::ContentDigest => base.push_str(&content_digest(&request.body)),
                Component::ContentType => base.push_str(&request.content_type),
            }
            base.push('\n');
        }
        base.extend(["\"@signature-params\": ", &self.params]);
        base
    }

    /// Checks the signature over `request`.
    ///
    /// # Errors
    ///
    /// Says why it does not hold.
    pub fn verify(&self, request: &Request) -> Result<(), SignatureError> {
        match self.signed(request)?.verify() {
            true => Ok(()),
            false => Err(SignatureError::Invalid(self.key())),
        }
    }

    /// The signature over `request`, to be verified together with others.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Coverage`].
    pub fn signed(&self, request: &Request) -> Result<Signed, SignatureError> {
        self.check_coverage(request)?;
        Ok(Signed {
            key: self.key(),
            signature: self.signature,
            message: self.base(request).into(),
        })
    }

    /// Checks that the content type is covered exactly where the request has one: a signature
    /// cannot cover what is absent, and what it leaves out anyone could change.
    fn check_coverage(&self, request: &Request) -> Result<(), SignatureError> {
        let covered = self.parameters.components.contains(&Component::ContentType);
        match (covered, request.content_type.is_empty()) {
            (true, true) => Err(SignatureError::Coverage("there is no content-type".into())),
            (false, false) => Err(SignatureError::Coverage("content-type is missing".into())),
            _ => Ok(()),
        }
    }

    /// Checks that a request that ran at `time` was signed for about then: an originator that
    /// keeps a request back cannot run it whenever it likes.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Time`].
    pub fn check_time(&self, time: Timestamp) -> Result<(), SignatureError> {
        let Parameters {
            created, expires, ..
        } = self.parameters;
        let created_ms = created.saturating_mul(1000);
        let early = time.plus_ms(MAX_CLIENT_DRIFT_MS).0 < created_ms;
        let late = time.0 > created_ms.saturating_add(MAX_OPERATION_AGE_MS);
        let expired = expires.is_some_and(|expires| time.0 >= expires.saturating_mul(1000));
        if early || late || expired {
            return Err(SignatureError::Time { created, time });
        }
        Ok(())
    }
}

fn check_length(params: &str) -> Result<(), SignatureError> {
    if params.len() <= MAX_SIGNATURE_PARAMS_BYTES {
        return Ok(());
    }
    Err(SignatureError::Malformed(format!(
        "the parameters have more than {MAX_SIGNATURE_PARAMS_BYTES} bytes"
    )))
}

/// The one way RFC 9421 writes an inner list in a signature base.
fn serialize(list: InnerList) -> String {
    let entries = vec![ListEntry::InnerList(list)];
    entries.serialize().unwrap_or_default()
}

fn bytes_of(entry: &ListEntry) -> Result<Signature, SignatureError> {
    match entry {
        ListEntry::Item(Item {
            bare_item: BareItem::ByteSequence(bytes),
            ..
        }) => bytes.as_slice().try_into().ok().map(Signature),
        _ => None,
    }
    .ok_or_else(|| SignatureError::Malformed("Signature is not 64 bytes in base64".into()))
}

/// An origin ends where the target begins, or an originator could move the border between the two
/// and so change the target under the client's signature.
fn check_origin(origin: &str) -> Result<(), Malformed> {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    match authority {
        Some(authority)
            if !authority.is_empty()
                && origin.len() <= MAX_ORIGIN_BYTES
                && authority.bytes().all(allowed) =>
        {
            Ok(())
        }
        _ => Err(Malformed {
            what: "the signed origin",
            rule: "must be http(s)://host:port and nothing else",
        }),
    }
}

impl Write for ClientSignature {
    fn write(&self, buf: &mut impl BufMut) {
        write_text(&self.origin, buf);
        write_text(&self.params, buf);
        self.signature.write(buf);
    }
}

impl EncodeSize for ClientSignature {
    fn encode_size(&self) -> usize {
        text_size(&self.origin) + text_size(&self.params) + Signature::SIZE
    }
}

impl Read for ClientSignature {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let origin = read_text(buf, MAX_ORIGIN_BYTES)?;
        let params = read_text(buf, MAX_SIGNATURE_PARAMS_BYTES)?;
        let signature = Signature::read(buf)?;
        Self::new(origin, params, signature)
            .map_err(|error| Error::Wrapped("ClientSignature", error.into()))
    }
}
