//! A client of a Plenary network.
//!
//! It signs requests (RFC 9421), sends them to one validator and, where that one does not answer,
//! to the next, with the same nonce: the network runs a request once, however often it arrives. With
//! the network's [genesis](plenary_types::Genesis) it believes no validator: receipts, state and evidence are checked
//! against the validators' signatures, and an answer that does not hold counts as none.
//!
//! ```no_run
//! # async fn example(genesis: plenary_types::Genesis, key: plenary_types::PrivateKey)
//! # -> Result<(), plenary_client::ClientError> {
//! use plenary_client::Client;
//!
//! let client = Client::new(["http://127.0.0.1:5000", "http://127.0.0.1:5001"])?
//!     .with_genesis(genesis)
//!     .with_key(key);
//! let answer = client.post("/session/start", &[("operator_id", "OPR-001")]).await?;
//! if let Some(transaction) = answer.transaction {
//!     let receipt = client.receipt(&transaction).await?;
//!     println!("final at height {}", receipt.header.height);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod error;
mod events;
mod node;
mod resources;

pub use answer::Answer;
pub use client::Client;
pub use error::ClientError;
pub use events::Events;
pub use resources::{
    BlockSummary, Convicted, Decided, Entry, Landed, NetworkStatus, Peer, TransactionStatus,
    TransactionSummary, ValidatorStatus, Validators,
};
