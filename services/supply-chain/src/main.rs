//! The supply chain's program: its service, and the papers' seven steps as its demo.

use plenary::{
    demo::{Answers, MissingAnswer},
    prelude::*,
};
use serde_json::json;
use std::process::ExitCode;

fn main() -> ExitCode {
    plenary::run(App::new(supply_chain::service()).demo(demo()))
}

const OPERATOR: &str = "OPR-001";
const CREATE: &str = "Create Package";
const START: &str = "Start Session";
const SCAN: &str = "Scan Package";

/// All of it is one session, the package too: nobody else knows of it before the commit.
fn demo() -> Demo {
    Demo::new()
        .step(START, |_| {
            Ok(Call::post("/session/start").json(json!({ "operator_id": OPERATOR })))
        })
        .step(CREATE, |_| Ok(Call::post("/session/test-package")))
        .step(SCAN, |answers| {
            let package = answers.text(CREATE, "/package_id")?;
            Ok(Call::get(in_session(answers, &format!("scan/{package}"))?))
        })
        .step("Validate Package", |answers| {
            let body = json!({
                "package_id": answers.text(SCAN, "/package_id")?,
                "signature": answers.text(SCAN, "/supplier_signature")?,
            });
            Ok(Call::post(in_session(answers, "validate")?).json(body))
        })
        .step("Quality Check", |answers| {
            let body = json!({ "passed": true, "issues": [] });
            Ok(Call::post(in_session(answers, "qc")?).json(body))
        })
        .step("Label Package", |answers| {
            let body = json!({
                "destination": "Rotterdam, gate 4",
                "priority": "standard",
                "courier_id": "COU-001",
            });
            Ok(Call::post(in_session(answers, "label")?).json(body))
        })
        .step("Commit Session", |answers| {
            let id = answers.text(START, "/id")?;
            let body = json!({ "operator_id": OPERATOR });
            Ok(Call::post(format!("/commit/{id}")).json(body))
        })
}

fn in_session(answers: &Answers, step: &str) -> Result<String, MissingAnswer> {
    let id = answers.text(START, "/id")?;
    Ok(format!("/session/{id}/{step}"))
}
