//! A session kept between two runs of a program.

use super::{Session, Step};
use crate::{Client, ClientError};
use plenary_types::{Operation, Promise, Request, SessionId, decode, encode};
use serde::{Deserialize, Serialize};

/// A session as it can be kept in a file: [`Session::keep`], [`Client::resume`].
///
/// It has the token of a client that does not sign, which is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    session: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    steps: Vec<KeptStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closing: Option<KeptClosing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptStep {
    /// The operation's canonical encoding, in hexadecimal.
    operation: String,
    promise: Promise,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptClosing {
    /// The request's canonical encoding, in hexadecimal.
    request: String,
    nonce: String,
}

/// The request that is to end a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) request: Request,
    pub(super) nonce: String,
}

impl Kept {
    /// The session's name.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Session {
    /// The session, to be kept.
    pub fn keep(&self) -> Kept {
        let steps = self.steps.iter().map(|step| KeptStep {
            operation: hex::encode(encode(&step.operation)),
            promise: step.promise,
        });
        Kept {
            session: self.id,
            token: self.token.clone(),
            steps: steps.collect(),
            closing: self.closing.as_ref().map(|closing| KeptClosing {
                request: hex::encode(encode(&closing.request)),
                nonce: closing.nonce.clone(),
            }),
        }
    }
}

impl Client {
    /// Goes on with a session that was kept.
    ///
    /// # Errors
    ///
    /// [`ClientError::Kept`] where its promises do not hold for its steps, or it is another
    /// client's; and where this client has no session nodes, or signs and has no genesis.
    pub fn resume(&self, kept: Kept) -> Result<Session, ClientError> {
        let refuse = |reason: &str| ClientError::Kept(reason.to_owned());
        let bytes = |text: &str| {
            let bytes = hex::decode(text);
            bytes.map_err(|error| refuse(&error.to_string()))
        };
        let mut session = Session::new(self.clone(), self.session_ring()?, kept.session);
        session.token = kept.token;
        if let Some(KeptClosing { request, nonce }) = kept.closing {
            let request = decode(bytes(&request)?.into());
            session.closing = Some(Closing {
                request: request.map_err(|error| refuse(&error.to_string()))?,
                nonce,
            });
        }
        let key = self.key().map(|key| key.public_key());
        for KeptStep { operation, promise } in kept.steps {
            let operation = decode::<Operation>(bytes(&operation)?.into());
            let operation = operation.map_err(|error| refuse(&error.to_string()))?;
            if operation.client() != key {
                return Err(refuse("its requests are signed by another key"));
            }
            session.check(&operation, &promise).map_err(refuse)?;
            session.push(Step { operation, promise });
        }
        let first = session.steps.first().map(|step| step.operation.id().into());
        match first == Some(kept.session) {
            true => Ok(session),
            false => Err(refuse("its first step names another session")),
        }
    }
}
