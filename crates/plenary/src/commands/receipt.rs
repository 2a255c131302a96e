//! `receipt`: the proof of a transaction's outcome, fetched and checked.

use super::Failure;
use crate::{
    config::load_genesis,
    files,
    output::{Output, table},
};
use plenary_types::{Genesis, Receipt, ReceiptError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Get receipts, and verify them offline.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
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
        Command::Verify { file, genesis } => {
            let genesis = load_genesis(&genesis)?;
            let receipt = load(&file)?;
            verify(&file, &receipt, &genesis)?;
            show(&receipt, &genesis, output);
        }
    }
    Ok(())
}

fn load(path: &Path) -> Result<Receipt, Failure> {
    let text = files::read(path)?;
    let receipt = serde_json::from_str(&text).map_err(|error| ReceiptFailure::Form {
        path: path.to_owned(),
        error,
    });
    Ok(receipt?)
}

fn verify(path: &Path, receipt: &Receipt, genesis: &Genesis) -> Result<(), ReceiptFailure> {
    receipt
        .verify(genesis)
        .map_err(|error| ReceiptFailure::Void {
            path: path.to_owned(),
            error,
        })
}

fn show(receipt: &Receipt, genesis: &Genesis, output: Output) {
    let signers = receipt.certificate.signatures.iter();
    let signers = signers.filter_map(|one| genesis.validators.get(one.validator as usize));
    let signers: Vec<&str> = signers.map(|member| member.name.as_str()).collect();
    let header = &receipt.header;
    let value = json!({
        "valid": true,
        "transaction": receipt.transaction,
        "outcome": receipt.outcome,
        "height": header.height,
        "block": header.hash(),
        "time": header.time,
        "network": genesis.network,
        "signed_by": signers,
    });
    output.show(&value, || {
        let rows = [
            ("transaction", receipt.transaction.to_string()),
            ("outcome", receipt.outcome.to_string()),
            ("height", header.height.to_string()),
            ("block", header.hash().to_string()),
            ("network", genesis.network.clone()),
            ("signed by", signers.join(", ")),
        ];
        let rows = table(
            ["receipt", "holds"],
            rows.map(|(name, value)| [name.into(), value]),
        );
        rows.to_string()
    });
}
