//! Why a client has no answer.

use plenary_types::{
    BrokenPromise, Malformed, Outcome, Problem, SessionId, SignatureError, TransactionHash,
};

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is nobody to ask.
    #[error("no URL of a validator is given")]
    NoUrl,
    /// There is nobody to work in a session with.
    #[error("no URL of a session node is given: Client::with_session_nodes")]
    NoSessionNode,
    /// It is not known which network a session would be signed for.
    #[error("a session is signed for one network: give the client its genesis")]
    NoGenesis,
    /// A kept session is not what it was.
    #[error("this is no session of this client and network: {0}")]
    Kept(String),
    /// A URL names no node.
    #[error("`{url}` is not the URL of a node, such as http://127.0.0.1:5000: {reason}")]
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
    /// Nobody answers.
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
    /// What was committed is not what a session node had promised, and here is the proof.
    #[error(
        "what transaction {} committed is not what session node {} had promised for step {}",
        .0.transaction.hash(), .0.promise.node, .0.promise.sequence
    )]
    Broken(Box<BrokenPromise>),
    /// A session that nobody signed for was committed with more steps than its client asked for.
    #[error(
        "transaction {transaction} has steps of session {session} that this client did not ask for"
    )]
    Added {
        /// The session.
        session: SessionId,
        /// What was committed.
        transaction: TransactionHash,
    },
    /// Layer 1 did not commit the session.
    #[error("{0}")]
    NotCommitted(Box<NotCommitted>),
    /// The transaction is on its way, and was not final in time. Asking again for the same
    /// request, or for this transaction, is safe.
    #[error(
        "transaction {transaction} is on its way and was not final in time{}; ask for it again",
        why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    Pending {
        /// The transaction.
        transaction: TransactionHash,
        /// Why it takes so long, where the node that sends it to layer 1 has said so.
        why: Option<Problem>,
    },
}

/// What layer 1 decided against a session, by its receipt. A conflict can be
/// [rebased](crate::Session::rebase).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "session {session} was not committed: {outcome}{}",
    winner.map(|winner| format!("; transaction {winner} was first")).unwrap_or_default()
)]
pub struct NotCommitted {
    /// The session.
    pub session: SessionId,
    /// Its transaction.
    pub transaction: TransactionHash,
    /// What became of it.
    pub outcome: Outcome,
    /// In a conflict, the transaction that changed what it had read, as the session node says.
    pub winner: Option<TransactionHash>,
}

/// Whether asking again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// Another node, or the same one soon, may answer otherwise.
    Soon,
    /// Another node may answer otherwise, this one will not.
    Elsewhere,
    /// Every node would answer the same.
    Never,
}

/// What a session node says that has not got, or has no longer got, all of a session.
const ELSEWHERE: [&str; 2] = ["unknown-session", "chain-differs"];

impl ClientError {
    pub(crate) fn hope(&self) -> Hope {
        match self {
            Self::Unreachable { .. }
            | Self::Form { .. }
            | Self::Unproven { .. }
            | Self::Pending { .. } => Hope::Soon,
            Self::Problem { problem, .. } if problem.retryable => Hope::Soon,
            Self::Problem { problem, .. } if ELSEWHERE.contains(&problem.code.as_str()) => {
                Hope::Elsewhere
            }
            _ => Hope::Never,
        }
    }

    /// Whether a node says that it has not got to the height that was asked for.
    pub(crate) fn is_behind(&self) -> bool {
        self.problem()
            .is_some_and(|problem| problem.code == "behind")
    }

    /// The problem, where the answer is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }
}
