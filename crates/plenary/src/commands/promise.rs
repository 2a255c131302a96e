//! `promise`: the proof that a session node broke its word, checked by anyone.

use super::Failure;
use crate::{
    config::load_genesis,
    files,
    output::{Output, table},
};
use plenary_types::{BrokenPromise, Genesis, PromiseProofError, PublicKey};
use serde_json::json;
use std::path::PathBuf;

/// Check the proof that a session node broke its word.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Check a proof with nothing but the genesis, and say who broke what
    Check {
        /// The proof, as JSON: `session commit` writes it
        file: PathBuf,
        /// The network's genesis file
        #[arg(long, env = "PLENARY_GENESIS", value_name = "FILE")]
        genesis: PathBuf,
    },
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromiseFailure {
    /// The file holds something else.
    #[error("{} is no proof of a broken promise: {error}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It does not hold.
    #[error("{} proves nothing: {error}", path.display())]
    Void {
        /// The file.
        path: PathBuf,
        /// The first reason.
        error: Box<PromiseProofError>,
    },
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Check { file, genesis } = command;
    let genesis = load_genesis(&genesis)?;
    let text = files::read(&file)?;
    let proof: BrokenPromise =
        serde_json::from_str(&text).map_err(|error| PromiseFailure::Form {
            path: file.clone(),
            error,
        })?;
    let (promised, originated) = proof
        .verify(&genesis)
        .map_err(|error| PromiseFailure::Void {
            path: file,
            error: Box::new(error),
        })?;
    show(&proof, &genesis, promised, originated, output);
    Ok(())
}

fn show(
    proof: &BrokenPromise,
    genesis: &Genesis,
    promised: PublicKey,
    originated: PublicKey,
    output: Output,
) {
    let (by, instead) = (name(genesis, &promised), name(genesis, &originated));
    let transaction = proof.transaction.hash();
    let value = json!({
        "broken": true,
        "session": proof.promise.session,
        "step": proof.promise.sequence,
        "promised_by": { "name": by, "key": promised },
        "originated_by": { "name": instead, "key": originated },
        "transaction": transaction,
        "height": proof.receipt.header.height,
    });
    output.show(&value, || {
        let rows = [
            ("session", proof.promise.session.to_string()),
            ("step", proof.promise.sequence.to_string()),
            ("promised by", format!("{by} {promised}")),
            ("committed by", format!("{instead} {originated}")),
            ("transaction", transaction.to_string()),
            ("height", proof.receipt.header.height.to_string()),
        ];
        let rows = table(
            ["promise", "broken"],
            rows.map(|(name, value)| [name.into(), value]),
        );
        let verdict = match promised == originated {
            true => format!("{by} broke its word: it committed another step than it had promised."),
            false => format!(
                "{by} promised one thing and {instead} committed another: one of the two lied."
            ),
        };
        format!("{rows}\n{verdict}")
    });
}

/// What the genesis calls a node.
fn name(genesis: &Genesis, key: &PublicKey) -> String {
    let mut members = genesis.session_nodes.iter().chain(&genesis.validators);
    let member = members.find(|member| member.key == *key);
    member.map_or_else(|| "?".into(), |member| member.name.clone())
}
