//! `tx`: look up transactions.

use super::{Failure, block_on, target::Target};
use crate::output::{Output, table};
use plenary_types::{Outcome, TransactionHash};
use serde_json::Value;

/// Look up transactions.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show a transaction, its operations and what became of it
    Get {
        /// The transaction's hash: `plenary-tx` in a reply
        hash: TransactionHash,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Get { hash, target } = command;
    let remote = target.remote()?;
    let transaction: Value =
        block_on(async { Ok(remote.get(&format!("transactions/{hash}")).await?) })?;
    output.show(&transaction, || human(&transaction));
    Ok(())
}

fn human(transaction: &Value) -> String {
    let text = |pointer: &str| match transaction.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".into(),
    };
    let outcome = transaction
        .get("outcome")
        .cloned()
        .map(serde_json::from_value::<Outcome>);
    let outcome = match outcome {
        Some(Ok(outcome)) => outcome.to_string(),
        _ => "-".into(),
    };
    let facts = [
        ("transaction", text("/hash")),
        ("status", text("/status")),
        ("outcome", outcome),
        ("height", text("/height")),
        (
            "service",
            format!("{} {}", text("/service/name"), text("/service/version")),
        ),
        ("originator", text("/originator")),
    ];
    let facts = table(
        ["field", "value"],
        facts.map(|(name, value)| [name.into(), value]),
    );
    let operations = transaction.get("operations").and_then(Value::as_array);
    let operations = operations
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(step, operation)| {
            let text = |pointer: &str| match operation.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => "-".into(),
                Some(other) => other.to_string(),
            };
            [
                step.to_string(),
                format!("{} {}", text("/request/method"), text("/request/target")),
                text("/request/body"),
                text("/response/status"),
                text("/response/body"),
            ]
        });
    let header = ["step", "request", "body", "status", "response"];
    format!("{facts}\n\n{}", table(header, operations))
}
