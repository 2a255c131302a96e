//! `receipt`: the proof of a transaction's outcome, fetched and checked.

use super::{Failure, block_on, target::Target};
use crate::{
    config::load_genesis,
    files::{self, Access},
    output::{Output, table},
};
use plenary_types::{Receipt, ReceiptError, TransactionHash, receipt::Verified};
use std::path::{Path, PathBuf};

/// Get receipts, and verify them offline.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Get the receipt of a final transaction
    Get {
        /// The transaction's hash: `plenary-tx` in a reply
        hash: TransactionHash,
        /// The file to write it to; must not exist [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
    /// Verify a receipt with nothing but the genesis
    Verify {
        /// The receipt, as JSON
        file: PathBuf,
        /// The network's genesis file
        #[arg(long, env = "PLENARY_GENESIS", value_name = "FILE")]
        genesis: PathBuf,
    },
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiptFailure {
    /// The file holds something else.
    #[error("{} is no receipt: {error}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It does not hold.
    #[error("{} does not hold: {error}", path.display())]
    Void {
        /// The file.
        path: PathBuf,
        /// The first reason.
        error: ReceiptError,
    },
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Get { hash, out, target } => {
            let client = target.client()?;
            let receipt = block_on(async { Ok(client.receipt(&hash).await?) })?;
            match out {
                None => output.line(&receipt),
                Some(path) => {
                    save(&path, &receipt)?;
                    output.note(format_args!("wrote {}", path.display()));
                }
            }
        }
        Command::Verify { file, genesis } => {
            let verified = verify(&file, &genesis)?;
            output.show(&verified, || describe(&verified));
        }
    }
    Ok(())
}

/// Writes a receipt to a file that must not exist yet.
pub(crate) fn save(path: &Path, receipt: &Receipt) -> Result<(), Failure> {
    // Its parts are numbers, texts and lists, which serialize.
    let text = serde_json::to_string_pretty(receipt).unwrap_or_default() + "\n";
    Ok(files::write_new(path, &text, Access::Usual)?)
}

/// Checks a receipt's file with nothing but the genesis' file.
pub(crate) fn verify(path: &Path, genesis: &Path) -> Result<Verified, Failure> {
    let genesis = load_genesis(genesis)?;
    let text = files::read(path)?;
    let receipt: Receipt = serde_json::from_str(&text).map_err(|error| ReceiptFailure::Form {
        path: path.to_owned(),
        error,
    })?;
    let verified = receipt
        .verify(&genesis)
        .map_err(|error| ReceiptFailure::Void {
            path: path.to_owned(),
            error,
        })?;
    Ok(verified)
}

/// What a receipt proves, for people.
pub(crate) fn describe(verified: &Verified) -> String {
    let rows = [
        ("transaction", verified.transaction.to_string()),
        ("outcome", verified.outcome.to_string()),
        ("height", verified.height.to_string()),
        ("block", verified.block.to_string()),
        ("network", verified.network.clone()),
        ("signed by", verified.signers.join(", ")),
    ];
    table(
        ["receipt", "holds"],
        rows.map(|(name, value)| [name.into(), value]),
    )
}
