//! Every bound that a value from outside is held to, in one place.
//!
//! They are part of the protocol: two nodes with different bounds would disagree on which
//! transactions are well formed, so they are constants and not configuration.

/// Longest request target (path and query), in bytes.
pub const MAX_TARGET_BYTES: usize = 2 * 1024;
/// Longest media type, in bytes.
pub const MAX_CONTENT_TYPE_BYTES: usize = 128;
/// Largest body of a request or of a response, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Longest origin (`scheme://authority`) a client signed for, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 256;
/// Longest `@signature-params` value, in bytes.
pub const MAX_SIGNATURE_PARAMS_BYTES: usize = 1024;
/// Longest nonce of an operation, in bytes.
pub const MAX_NONCE_BYTES: usize = 128;
/// Longest name of a service, a table or a network, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest key within a table, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Largest value in a table, in bytes.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;
/// Most reads one operation may record.
pub const MAX_READS: usize = 1024;
/// Most operations in one transaction.
pub const MAX_OPERATIONS: usize = 256;
/// Largest transaction, in encoded bytes, its length included.
pub const MAX_TRANSACTION_BYTES: usize = 1024 * 1024;
/// Most transactions in one block.
pub const MAX_BLOCK_TRANSACTIONS: usize = 2000;
/// Largest sum of a block's encoded transactions, in bytes.
pub const MAX_BLOCK_BYTES: usize = 2 * 1024 * 1024;
/// How many executor steps (see `plenary_service::budget`) a block may cost: no transaction of it
/// is begun once the ones before have spent as many.
pub const MAX_BLOCK_STEPS: u64 = 20_000_000;
/// Most validators in a genesis; a certificate holds at most one signature of each.
pub const MAX_VALIDATORS: usize = 256;
/// Most descendant headers a receipt may walk from its block to a certified one.
pub const MAX_DESCENDANTS: usize = 1024;
/// How far a block's time may lie ahead of the clock of the validator that checks it, and an
/// operation's ahead of its block's, in milliseconds.
pub const MAX_CLOCK_DRIFT_MS: u64 = 5_000;
/// How far an operation's time may lie before the block's that commits it, and a client's signature
/// before the operation's, in milliseconds.
pub const MAX_OPERATION_AGE_MS: u64 = 24 * 60 * 60 * 1000;
/// How far a client's clock may be ahead of its originator's, in milliseconds.
pub const MAX_CLIENT_DRIFT_MS: u64 = 5 * 60 * 1000;
/// How many of the latest heights stay readable.
pub const READABLE_HEIGHTS: u64 = 64;
