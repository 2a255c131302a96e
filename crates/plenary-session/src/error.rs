//! Why a session node refuses, and how each refusal reads over HTTP.

use crate::message::Given;
use plenary_types::{Digest, Problem, SessionId, Stage, limits::MAX_OPERATIONS};
use plenary_validator::error::Refusal as Layer1Refusal;

/// A request that a session node does not take, with a stable code each.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// There is no such session here.
    #[error(
        "this node has no session {0}: it never was, it ended long ago, or another node has it that this one does not hear from"
    )]
    UnknownSession(SessionId),
    /// The session takes no more steps.
    #[error("session {session} is {status} and takes no more steps; open another one")]
    NotOpen {
        /// The session.
        session: SessionId,
        /// Where it is in its life.
        status: &'static str,
    },
    /// The session has ended without layer 1.
    #[error("session {session} is over ({}); open another one", name(*.given))]
    Over {
        /// The session.
        session: SessionId,
        /// Why.
        given: Given,
    },
    /// The request is by another client than the session's.
    #[error(
        "session {0} is another client's: sign with the key that opened it, or send its Plenary-Session-Token"
    )]
    Foreign(SessionId),
    /// The session has as many operations, or bytes, as one transaction can carry.
    #[error(
        "session {session} is full: a session has at most {MAX_OPERATIONS} operations and {bytes} bytes; commit it and open another one"
    )]
    Full {
        /// The session.
        session: SessionId,
        /// The most bytes.
        bytes: usize,
    },
    /// The node has as many sessions as it takes.
    #[error("this node has {0} sessions already; retry later, or ask another node")]
    TooManySessions(usize),
    /// Too many requests at a time.
    #[error("this node is working on {0} requests already; retry later, or ask another node")]
    Overloaded(usize),
    /// The session's lock was not free in time: a step before does not come back.
    #[error("an earlier step of session {0} has not come back; retry later")]
    Busy(SessionId),
    /// What the answer would tell of is not on this node's disk.
    #[error(
        "this node's disk has not taken it: it is slow or full, and what is not on it is not answered; retry with the same nonce, here or at another session node"
    )]
    NotDurable,
    /// Too few session nodes agreed in time.
    #[error(
        "the step is durable here, but {endorsed} of the {needed} other session nodes that must agree have; retry with the same nonce"
    )]
    Participation {
        /// How many must.
        needed: usize,
        /// How many did.
        endorsed: usize,
    },
    /// The client has seen another chain than this node.
    #[error(
        "this node has {operations} operations of session {session} with chain {own}, the client has seen {seen}: a step was lost or is elsewhere"
    )]
    ChainDiffers {
        /// The session.
        session: SessionId,
        /// How many operations this node has.
        operations: usize,
        /// Their chain.
        own: Digest,
        /// What the client says.
        seen: Digest,
    },
    /// A signing client must sign what it commits.
    #[error(
        "a session of a client that signs is committed with its signature over the chain {chain}: send Plenary-Commitment"
    )]
    CommitmentRequired {
        /// The chain so far.
        chain: Digest,
    },
    /// The client's commitment does not hold.
    #[error(
        "Plenary-Commitment is not the client's signature over the chain {chain} of this session: it has seen other operations, responses or another order"
    )]
    Commitment {
        /// The chain so far.
        chain: Digest,
    },
    /// There is nothing to commit.
    #[error("session {0} has no operation to commit")]
    Empty(SessionId),
    /// There is nothing to rebase.
    #[error("session {session} is {status}; only a session in conflict can be rebased")]
    NotInConflict {
        /// The session.
        session: SessionId,
        /// Where it is in its life.
        status: &'static str,
    },
    /// The requests of a client that does not sign cannot be run again in its name.
    #[error(
        "session {0} is of a client that does not sign: its requests cannot be run again for it; open another session"
    )]
    RebaseUnsigned(SessionId),
    /// A request of the session is refused on the current state.
    #[error(
        "step {sequence} is refused on the current state: {problem}; the session stays in conflict: open another session without that request or with another in its place, or rebase again once the state has changed"
    )]
    RebaseRefused {
        /// The step.
        sequence: u32,
        /// Why.
        problem: Problem,
        /// What changed in the steps before it.
        steps: Vec<serde_json::Value>,
    },
    /// What a validator refuses, a session node does for the same reasons.
    #[error("{0}")]
    Layer1(#[from] Layer1Refusal),
    /// The handler's or the registry's own problem.
    #[error("{0}")]
    Problem(#[from] Problem),
}

fn name(given: Given) -> &'static str {
    match given {
        Given::Aborted => "aborted",
        Given::Expired => "expired",
    }
}

impl From<plenary_service::ExecuteError> for Refusal {
    fn from(error: plenary_service::ExecuteError) -> Self {
        Self::Layer1(error.into())
    }
}

impl From<plenary_store::StoreError> for Refusal {
    fn from(error: plenary_store::StoreError) -> Self {
        Self::Layer1(error.into())
    }
}

impl From<plenary_types::TransactionError> for Refusal {
    fn from(error: plenary_types::TransactionError) -> Self {
        Self::Layer1(error.into())
    }
}

impl Refusal {
    /// The refusal as RFC 9457 has it.
    pub fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::Layer1(refusal) => return refusal.problem(),
            Self::Problem(problem) => return problem.clone(),
            Self::UnknownSession(_) => (404, "unknown-session"),
            Self::NotOpen { .. } => (409, "session-not-open"),
            Self::Over { .. } => (410, "session-over"),
            Self::Foreign(_) => (403, "foreign-session"),
            Self::Full { .. } => (409, "session-full"),
            Self::TooManySessions(_) => (429, "too-many-sessions"),
            Self::Overloaded(_) => (429, "overloaded"),
            Self::Busy(_) => (503, "session-busy"),
            Self::NotDurable => (503, "not-durable"),
            Self::Participation { .. } => (503, "participation"),
            Self::ChainDiffers { .. } => (409, "chain-differs"),
            Self::CommitmentRequired { .. } => (428, "commitment-required"),
            Self::Commitment { .. } => (422, "commitment-signature"),
            Self::Empty(_) => (409, "empty-session"),
            Self::NotInConflict { .. } => (409, "not-in-conflict"),
            Self::RebaseUnsigned(_) => (409, "rebase-unsigned"),
            Self::RebaseRefused { .. } => (409, "rebase-refused"),
        };
        let problem = Problem::new(status, code, self).at(Stage::Layer2);
        let problem = match self {
            Self::ChainDiffers {
                operations, own, ..
            } => problem
                .with("operations", *operations)
                .with("chain", own.to_string()),
            Self::CommitmentRequired { chain } | Self::Commitment { chain } => {
                problem.with("chain", chain.to_string())
            }
            Self::NotOpen { status, .. } => problem.with("session_status", *status),
            Self::RebaseRefused {
                sequence,
                problem: inner,
                steps,
            } => problem
                .with("sequence", *sequence)
                .with("steps", steps.clone())
                .with("problem", serde_json::to_value(inner).unwrap_or_default()),
            _ => problem,
        };
        match status {
            429 | 503 => problem.retryable(),
            _ => problem,
        }
    }
}
