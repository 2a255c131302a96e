//! `promise`: the proof that a session node broke its word, checked by anyone.

#[cfg(test)]
mod tests;

use super::Failure;
use crate::{
    config::load_genesis,
    files,
    output::{Output, table},
};
use plenary_types::{BrokenPromise, Genesis, PromiseProofError, PublicKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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
    let broken = Broken::check(&file, &load_genesis(&genesis)?)?;
    output.show(&broken.value(), || broken.human());
    Ok(())
}

/// A proof that holds.
struct Broken {
    proof: BrokenPromise,
    /// The node that promised, by name and key.
    promised: (String, PublicKey),
    /// The node that originated what was committed.
    originated: (String, PublicKey),
}

impl Broken {
    /// Reads a proof and checks it.
    fn check(file: &Path, genesis: &Genesis) -> Result<Self, Failure> {
        let text = files::read(file)?;
        let proof: BrokenPromise =
            serde_json::from_str(&text).map_err(|error| PromiseFailure::Form {
                path: file.to_owned(),
                error,
            })?;
        let nodes = proof
            .verify(genesis)
            .map_err(|error| PromiseFailure::Void {
                path: file.to_owned(),
                error: Box::new(error),
            })?;
        let named = |key| (name(genesis, &key), key);
        Ok(Self {
            proof,
            promised: named(nodes.0),
            originated: named(nodes.1),
        })
    }

    fn value(&self) -> Value {
        let node = |(name, key): &(String, PublicKey)| json!({ "name": name, "key": key });
        json!({
            "broken": true,
            "session": self.proof.promise.session,
            "step": self.proof.promise.sequence,
            "promised_by": node(&self.promised),
            "originated_by": node(&self.originated),
            "transaction": self.proof.transaction.hash(),
            "height": self.proof.receipt.header.height,
        })
    }

    fn human(&self) -> String {
        let node = |(name, key): &(String, PublicKey)| format!("{name} {key}");
        let rows = [
            ("session", self.proof.promise.session.to_string()),
            ("step", self.proof.promise.sequence.to_string()),
            ("promised by", node(&self.promised)),
            ("committed by", node(&self.originated)),
            ("transaction", self.proof.transaction.hash().to_string()),
            ("height", self.proof.receipt.header.height.to_string()),
        ];
        let rows = table(
            ["promise", "broken"],
            rows.map(|(name, value)| [name.into(), value]),
        );
        format!("{rows}\n{}", self.verdict())
    }

    /// Who broke what.
    fn verdict(&self) -> String {
        let ((promised, _), (originated, _)) = (&self.promised, &self.originated);
        match promised == originated {
            true => format!(
                "{promised} broke its word: it committed another step than it had promised."
            ),
            false => format!(
                "{promised} promised one thing and {originated} committed another: one of the two lied."
            ),
        }
    }
}

/// What the genesis calls a node.
fn name(genesis: &Genesis, key: &PublicKey) -> String {
    let mut members = genesis.session_nodes.iter().chain(&genesis.validators);
    let member = members.find(|member| member.key == *key);
    member.map_or_else(|| "?".into(), |member| member.name.clone())
}
