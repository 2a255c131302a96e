//! A deterministic simulator of a network of replicas, in virtual time.
//!
//! The replicas are the real ones. Below them everything is simulated: links with latency, loss and limited
//! bandwidth, connections that take time to set up, one processor a replica, stored state that survives a crash.
//! Signatures are of [`Additive`], which adds up as BLS does; what BLS would have cost is charged to the replica's
//! processor by [`Costs`]. The same seed gives the same run.
//!
//! [`World`] is the network, to be scripted. [`Trial`] is one run of the paper's evaluation.

mod additive;
mod adversary;
mod agreement;
mod channel;
mod costs;
mod forgery;
mod network;
mod random;
mod site;
mod summary;
mod trial;
mod world;

pub use additive::{Additive, Number, Operations, Secret};
pub use adversary::Adversary;
pub use agreement::{Agreement, Violation};
pub use costs::Costs;
pub use network::{Micros, Network, SECOND};
pub use random::Random;
pub use site::{Site, Switch, Usage};
pub use summary::Summary;
pub use trial::{Load, Outcome, Scenario, Trial, Use};
pub use world::{Notice, Setup, SiteId, Tamper, World};
