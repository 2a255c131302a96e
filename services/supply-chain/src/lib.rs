//! The supply chain of the papers' evaluation: packages come from suppliers, pass an operator's
//! hands step by step, and leave with a courier.
//!
//! An operator opens a session, scans a package, validates its supplier's signature, checks its
//! quality, labels it, and commits. In direct mode every step is a transaction of its own; in a
//! session all of them become one. The handlers do not know which.
//!
//! Read it in this order: the routes below, [`model`] for what is kept, [`steps`] for the
//! handlers, [`genesis`] for what a network starts with.

pub mod genesis;
pub mod model;
pub mod steps;

use plenary::prelude::*;

/// The service.
pub fn service() -> Service {
    Service::new("supply-chain", "1.0.0")
        .genesis(genesis::seed)
        .default_config(genesis::default_config())
        .post("/session/test-package", steps::create_package)
        .summary("Make a package to try the workflow with, signed by the demo supplier")
        .post("/session/start", steps::start)
        .opens_session()
        .summary("Open a session as an operator: {operator_id}")
        .get("/session/{id}/scan/{package_id}", steps::scan)
        .in_session("id")
        .summary("Take a package into the session and learn what it should contain")
        .post("/session/{id}/validate", steps::validate)
        .in_session("id")
        .summary("Verify the supplier's signature: {package_id, signature}")
        .post("/session/{id}/qc", steps::check_quality)
        .in_session("id")
        .summary("Record the quality check: {passed, issues}")
        .post("/session/{id}/label", steps::label)
        .in_session("id")
        .summary("Label the package for a courier: {destination, priority, courier_id}")
        .post("/commit/{id}", steps::commit)
        .commits_session("id")
        .summary("Close the session: {operator_id}")
        .get("/package/{package_id}", steps::package)
        .summary("A package and where it stands")
}
