//! `tx`: look up transactions.

use super::{Failure, block_on, target::Target};
use crate::output::{Output, table};
use plenary_client::{TransactionStatus, TransactionSummary};
use plenary_types::TransactionHash;
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
    let client = target.client()?;
    let transaction = block_on(async { Ok(client.transaction(&hash).await?) })?;
    output.show(&transaction, || human(&transaction));
    Ok(())
}

fn human(transaction: &TransactionSummary) -> String {
    let status = match transaction.status {
        TransactionStatus::Pending => "pending",
        TransactionStatus::Final => "final",
    };
    let outcome = transaction.outcome.as_ref().map(ToString::to_string);
    let height = transaction.height.map(|height| height.to_string());
    let unknown = || String::from("-");
    let facts = [
        ("transaction", transaction.hash.to_string()),
        ("status", status.into()),
        ("outcome", outcome.unwrap_or_else(unknown)),
        ("height", height.unwrap_or_else(unknown)),
        ("service", transaction.service.to_string()),
        ("originator", transaction.originator.to_string()),
    ];
    let facts = table(
        ["field", "value"],
        facts.map(|(name, value)| [name.into(), value]),
    );
    let operations = transaction.operations.iter().enumerate();
    let operations = operations.map(|(step, operation)| {
        let text = |pointer: &str| match operation.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => unknown(),
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
