//! A client of a Plenary network.
//!
//! It signs requests (RFC 9421), sends them to one validator and, where that one does not answer,
//! to the next, with the same nonce: the network runs a request once, however often it arrives. With
//! the network's [genesis](plenary_types::Genesis) it believes no validator: receipts, state and evidence are checked
//! against the validators' signatures, and an answer that does not hold counts as none.
//!
//! A request alone:
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
//!
//! A [session](Session): each step is answered at once by a session node, with its signed promise,
//! and all are committed together. This is the supply chain's whole flow:
//!
//! ```no_run
//! # async fn example(genesis: plenary_types::Genesis, key: plenary_types::PrivateKey)
//! # -> Result<(), plenary_client::ClientError> {
//! use plenary_client::{Client, ClientError};
//! use serde_json::{Value, json};
//!
//! let client = Client::new(["http://127.0.0.1:5000", "http://127.0.0.1:5001"])?
//!     .with_session_nodes(["http://127.0.0.1:4000", "http://127.0.0.1:4001"])?
//!     .with_genesis(genesis)
//!     .with_key(key);
//! let operator = json!({ "operator_id": "OPR-001" });
//! let package: Value = client.post("/session/test-package", &json!({})).await?.json()?;
//! let package = package["package_id"].as_str().unwrap_or_default();
//!
//! let mut session = client.open("/session/start", &operator).await?;
//! let id = session.id();
//! let scan: Value = session.get(&format!("/session/{id}/scan/{package}")).await?.json()?;
//! let found = json!({ "package_id": package, "signature": scan["supplier_signature"] });
//! session.post(&format!("/session/{id}/validate"), &found).await?;
//! let quality = json!({ "passed": true, "issues": [] });
//! session.post(&format!("/session/{id}/qc"), &quality).await?;
//! let label = json!({ "destination": "Oslo", "priority": "high", "courier_id": "COU-001" });
//! session.post(&format!("/session/{id}/label"), &label).await?;
//!
//! match session.commit_with(&format!("/commit/{id}"), &operator).await {
//!     Ok(committed) => println!("final at height {}", committed.height()),
//!     // Somebody else was first: see what is answered now, and commit that.
//!     Err(ClientError::NotCommitted(why)) => {
//!         println!("{why}");
//!         for change in session.rebase().await? {
//!             println!("{}: changed: {}", change.request.target, change.changed());
//!         }
//!     }
//!     // A node broke its word: here is what proves it to everyone.
//!     Err(ClientError::Broken(proof)) => println!("{}", serde_json::to_string(&proof)?),
//!     Err(error) => return Err(error),
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
mod ring;
mod session;
mod sse;

pub use answer::Answer;
pub use client::Client;
pub use error::{ClientError, NotCommitted};
pub use events::Events;
pub use resources::{
    BlockSummary, Convicted, Decided, Entry, Landed, NetworkStatus, Peer, TransactionStatus,
    TransactionSummary, ValidatorStatus, Validators,
};
pub use session::{
    Change, Closed, Committed, Kept, Session, SessionEvent, SessionEvents, SessionNodeName,
    SessionNodeStatus, SessionState, SessionStatus, Step, StepStatus,
};
