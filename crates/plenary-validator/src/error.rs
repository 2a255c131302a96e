//! Why a validator refuses, and how each refusal reads over HTTP.

use plenary_service::{ExecuteError, RouteName, StateError};
use plenary_store::StoreError;
use plenary_types::{Problem, SignatureError, Stage, Timestamp, TransactionError, TransactionHash};

/// A request or a transaction that a validator does not take, with a stable code each.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no transaction.
    #[error("the body is not a canonically encoded transaction: {0}")]
    Encoding(String),
    /// ValidateTransaction fails.
    #[error("{0}")]
    Transaction(#[from] TransactionError),
    /// The transaction is in a block already.
    #[error("the transaction is in block {height} already; ask for its receipt")]
    Replayed {
        /// The transaction in the ledger.
        transaction: TransactionHash,
        /// Its block.
        height: u64,
    },
    /// An operation's time is too far from this node's clock.
    #[error(
        "operation {step} has time {time}, this node's clock says {now}; set the clock of the node that made it"
    )]
    Clock {
        /// Which operation, from 0.
        step: usize,
        /// Its time, in milliseconds since the epoch.
        time: u64,
        /// The node's, likewise.
        now: u64,
    },
    /// The mempool is full.
    #[error("{waiting} transactions are waiting for a block already; retry later")]
    MempoolFull {
        /// How many wait.
        waiting: usize,
    },
    /// The originator has its share of the mempool.
    #[error(
        "{waiting} transactions of this originator are waiting for a block already; retry later"
    )]
    OriginatorFull {
        /// How many of it wait.
        waiting: usize,
    },
    /// The network wants signatures.
    #[error(
        "this network takes signed requests only: add Signature-Input and Signature (RFC 9421, Ed25519) covering @method, @target-uri and content-digest"
    )]
    Unsigned,
    /// A signature header does not hold.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// The same nonce or key was used for another request.
    #[error(
        "this nonce (or Idempotency-Key) belongs to another request; draw a new one for each new request"
    )]
    NonceReused,
    /// A handler did not come back in time.
    #[error(
        "the handler of {route} ran for more than {limit_ms} ms without an end and was given up"
    )]
    Overrun {
        /// Whose handler.
        route: RouteName,
        /// The limit.
        limit_ms: u64,
    },
    /// Handlers of the route did not come back lately.
    #[error(
        "this node refuses {route} until {until}: its handler did not come back; there is a loop in it, which the service's author has to count"
    )]
    Suspended {
        /// The route.
        route: RouteName,
        /// By the node's clock.
        until: Timestamp,
    },
    /// The handler could not be run to its end.
    #[error("{0}; this node cannot answer, ask another")]
    Execution(ExecuteError),
    /// The files could not be read.
    #[error("{0}; this node cannot answer, ask another")]
    Store(String),
    /// The node is stopping or has failed.
    #[error("this node is stopping; ask another")]
    Stopping,
}

impl From<ExecuteError> for Refusal {
    fn from(error: ExecuteError) -> Self {
        Self::Execution(error)
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self::Execution(error.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl Refusal {
    /// The refusal as RFC 9457 has it.
    pub fn problem(&self) -> Problem {
        let (status, code, stage) = match self {
            Self::Encoding(_) => (400, "malformed-transaction", Stage::Layer1),
            Self::Transaction(error) => (422, transaction_code(error), Stage::Layer1),
            Self::Replayed { .. } => (409, "already-in-block", Stage::Layer1),
            Self::Clock { .. } => (422, "operation-time", Stage::Layer1),
            Self::MempoolFull { .. } => (503, "mempool-full", Stage::Layer1),
            Self::OriginatorFull { .. } => (429, "originator-share-full", Stage::Layer1),
            Self::Unsigned => (401, "signature-required", Stage::Request),
            Self::Signature(SignatureError::ContentDigest) => {
                (400, "content-digest-mismatch", Stage::Request)
            }
            Self::Signature(_) => (401, "signature-invalid", Stage::Request),
            Self::NonceReused => (422, "nonce-reused", Stage::Request),
            Self::Overrun { .. } => (500, "handler-overrun", Stage::Service),
            Self::Suspended { .. } => (503, "route-suspended", Stage::Service),
            Self::Execution(ExecuteError::Nondeterministic { .. }) => {
                (500, "not-deterministic", Stage::Service)
            }
            Self::Execution(_) | Self::Store(_) => (503, "state-unreadable", Stage::Layer1),
            Self::Stopping => (503, "stopping", Stage::Layer1),
        };
        let problem = Problem::new(status, code, self).at(stage);
        let problem = match self {
            Self::Replayed { transaction, .. } => problem.about(*transaction),
            _ => problem,
        };
        match status {
            429 | 503 => problem.retryable(),
            _ => problem,
        }
    }
}

fn transaction_code(error: &TransactionError) -> &'static str {
    match error {
        TransactionError::Malformed(_) => "malformed-transaction",
        TransactionError::TooLarge { .. } => "transaction-too-large",
        TransactionError::Service { .. } => "service-version",
        TransactionError::UnknownOriginator(_) => "unknown-originator",
        TransactionError::OriginatorSignature(_) => "originator-signature",
        TransactionError::ClientSignature { .. } => "client-signature",
        TransactionError::Unsigned { .. } => "signature-required",
        TransactionError::Repeated { .. } => "repeated-operation",
        TransactionError::Authors { .. } => "mixed-authors",
        TransactionError::Commitment => "commitment-signature",
        TransactionError::Endorsement(_) => "endorsement-signature",
    }
}
