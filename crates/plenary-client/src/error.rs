//! Why a client has no answer.

use plenary_types::{Malformed, Problem, SignatureError, TransactionHash};

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is nobody to ask.
    #[error("no URL of a validator is given")]
    NoUrl,
    /// A URL names no validator.
    #[error("`{url}` is not the URL of a validator, such as http://127.0.0.1:5000: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The program cannot use HTTP at all.
    #[error("cannot make an HTTP client: {0}")]
    Http(reqwest::Error),
    /// The request is none that a service can answer.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] Malformed),
    /// The target would arrive as another.
    #[error("the target `{target}` would be sent as `{sent}`; write it that way")]
    Target {
        /// What was given.
        target: String,
        /// How a URL writes it.
        sent: String,
    },
    /// The body is no JSON.
    #[error("the body cannot be written as JSON: {0}")]
    Body(#[from] serde_json::Error),
    /// The request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Sign(#[from] SignatureError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a nonce: {0}")]
    Random(getrandom::Error),
    /// No validator answers.
    #[error(
        "no answer from {}; is the network running, and are the URLs right?",
        reasons.iter().map(|(url, reason)| format!("{url} ({reason})")).collect::<Vec<_>>().join(", ")
    )]
    Unreachable {
        /// Who was asked last, and what came of it.
        reasons: Vec<(String, String)>,
    },
    /// The answer is a problem.
    #[error("{url} answers {problem}")]
    Problem {
        /// Who answered.
        url: String,
        /// The problem.
        problem: Box<Problem>,
    },
    /// The answer is not of the expected form.
    #[error("{url} answers {status} with what this program cannot read: {reason}")]
    Form {
        /// Who answered.
        url: String,
        /// The status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what the validators signed: whoever gave it lies, or is damaged.
    #[error("what {url} answers does not hold: {reason}")]
    Unproven {
        /// Who answered.
        url: String,
        /// The first reason.
        reason: String,
    },
    /// The transaction is on its way, and was not final in time. Asking again for the same
    /// request, or for this transaction, is safe.
    #[error("transaction {transaction} is on its way and was not final in time; ask for it again")]
    Pending {
        /// The transaction.
        transaction: TransactionHash,
    },
}

impl ClientError {
    /// Whether another validator, or the same one soon, may answer otherwise.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Form { .. }
            | Self::Unproven { .. }
            | Self::Pending { .. } => true,
            Self::Problem { problem, .. } => problem.retryable,
            _ => false,
        }
    }

    /// The problem, where the answer is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }
}
