//! `ledger`: check a ledger by executing all of it again.

use super::Failure;
use crate::{
    app::App,
    config::load_genesis,
    files,
    network::GENESIS,
    output::{Output, table},
};
use plenary_validator::audit::{AuditError, audit};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Check ledgers.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Execute a whole ledger again, from genesis, and compare every root
    Verify {
        /// A node's data directory, or a copy of it
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The network's genesis file [default: the genesis.toml next above the data]
        #[arg(long, env = "PLENARY_GENESIS", value_name = "FILE")]
        genesis: Option<PathBuf>,
    },
}

pub(crate) fn run(app: App, command: Command, output: Output) -> Result<(), Failure> {
    let Command::Verify { data_dir, genesis } = command;
    let path = match genesis {
        Some(path) => path,
        None => beside(&data_dir)?,
    };
    let genesis = load_genesis(&path)?;
    let bar = output.progress("executing the ledger again");
    let report = audit(app.service, &genesis, &data_dir, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| LedgerFailure::Wrong {
        path: data_dir,
        error: Box::new(error),
    })?;
    let value = json!({
        "valid": true,
        "network": genesis.network,
        "genesis": path,
        "genesis_hash": genesis.hash(),
        "height": report.height,
        "certified_height": report.certified,
        "committed": report.committed,
        "conflicts": report.conflicts,
        "rejected": report.rejected,
        "state_root": report.state_root,
    });
    output.show(&value, || {
        let rows = [
            ("network", genesis.network.clone()),
            ("genesis", genesis.hash().to_string()),
            ("height", report.height.to_string()),
            ("certified height", report.certified.to_string()),
            ("committed", report.committed.to_string()),
            ("conflicts", report.conflicts.to_string()),
            ("rejected", report.rejected.to_string()),
            ("state root", report.state_root.to_string()),
        ];
        table(
            ["ledger", "holds"],
            rows.map(|(name, value)| [name.into(), value]),
        )
    });
    Ok(())
}

/// Why a ledger is not found right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerFailure {
    /// There is no genesis file near it.
    #[error("there is no {GENESIS} in {} or above it; name the network's with --genesis", .0.display())]
    NoGenesis(PathBuf),
    /// It does not hold.
    #[error("the ledger in {} does not hold: {error}", path.display())]
    Wrong {
        /// The directory.
        path: PathBuf,
        /// The first thing that is wrong, and where.
        error: Box<AuditError>,
    },
}

/// The genesis file of the network that a data directory is kept in, as `testnet init` lays it
/// out.
fn beside(data_dir: &Path) -> Result<PathBuf, Failure> {
    let whole = data_dir
        .canonicalize()
        .map_err(files::on("read", data_dir))?;
    let mut candidates = whole
        .ancestors()
        .take(3)
        .map(|directory| directory.join(GENESIS));
    let found = candidates.find(|path| path.is_file());
    Ok(found.ok_or_else(|| LedgerFailure::NoGenesis(data_dir.to_owned()))?)
}
