//! What a service answers, and what the framework says about it.

use crate::{ClientError, node::Reply};
use bytes::Bytes;
use plenary_types::{
    Problem, Promise, Response, SessionId, TransactionHash, problem::PROBLEM_JSON,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::str::FromStr;

/// A service's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who gave it.
    pub url: String,
    /// The status.
    pub status: u16,
    /// `Content-Type`, empty where there is none.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// `Plenary-Finality`: how final it is, for example `final`.
    pub finality: Option<String>,
    /// `Plenary-Tx`: the transaction that has it; absent for what only reads.
    pub transaction: Option<TransactionHash>,
    /// `Plenary-Height`: the block that has it, or the height that was read.
    pub height: Option<u64>,
    /// `Plenary-Session`: the session it is a step of.
    pub session: Option<SessionId>,
    /// `Plenary-Sequence`: the step's number in the session, from 0.
    pub sequence: Option<u32>,
    /// `Plenary-Promise`: a session node's word for the step.
    pub promise: Option<Promise>,
}

impl Answer {
    /// The body, which is JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Form`] where it is not, or has another form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Form {
            url: self.url.clone(),
            status: self.status,
            reason: error.to_string(),
        })
    }

    /// The response as an operation has it.
    pub(crate) fn response(&self) -> Response {
        Response {
            status: self.status,
            content_type: self.content_type.clone(),
            body: self.body.clone(),
        }
    }

    /// Reads a reply to a service's request. A problem is an error unless it is on record: then it
    /// is the service's answer like any other.
    pub(crate) fn read(reply: Reply) -> Result<Self, ClientError> {
        let answer = Self {
            finality: parse(&reply, "plenary-finality"),
            transaction: parse(&reply, "plenary-tx"),
            height: parse(&reply, "plenary-height"),
            session: parse(&reply, "plenary-session"),
            sequence: parse(&reply, "plenary-sequence"),
            promise: parse(&reply, "plenary-promise"),
            content_type: parse(&reply, "content-type").unwrap_or_default(),
            url: reply.url,
            status: reply.status,
            body: reply.body,
        };
        match (&answer.finality, answer.transaction) {
            (Some(_), _) => Ok(answer),
            (None, Some(transaction)) if answer.status == 202 => Err(ClientError::Pending {
                transaction,
                why: why(&answer.body),
            }),
            _ if answer.status < 400 => Ok(answer),
            _ => match problem(&answer.content_type, &answer.body) {
                Some(problem) => Err(ClientError::Problem {
                    url: answer.url,
                    problem: Box::new(problem),
                }),
                None => Err(ClientError::Form {
                    url: answer.url,
                    status: answer.status,
                    reason: "the error is no problem of RFC 9457".into(),
                }),
            },
        }
    }
}

fn parse<T: FromStr>(reply: &Reply, name: &str) -> Option<T> {
    reply.headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Why something is still on its way, where the body that says so gives a reason.
fn why(body: &[u8]) -> Option<Problem> {
    #[derive(Deserialize)]
    struct OnItsWay {
        why: Option<Problem>,
    }
    serde_json::from_slice::<OnItsWay>(body).ok()?.why
}

/// The problem that a body is.
pub(crate) fn problem(content_type: &str, body: &[u8]) -> Option<Problem> {
    let problem = content_type.starts_with(PROBLEM_JSON);
    problem.then(|| serde_json::from_slice(body).ok()).flatten()
}
