//! The commands, one module each. A command either does its job or says in a [`Failure`] why not
//! and what to do.

pub(crate) mod config;
pub(crate) mod keys;
pub(crate) mod receipt;
pub(crate) mod testnet;

use crate::{
    config::{ConfigError, GenesisFileError},
    files::FileError,
    keys::KeyError,
    network::NetworkError,
    supervise::ClusterError,
};
use std::{future::Future, io};

/// Why a command did not do its job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A node's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A network's directory.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A network's processes.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A receipt.
    #[error(transparent)]
    Receipt(#[from] receipt::ReceiptFailure),
    /// Something that every program needs.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a command that waits for others.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| Failure::System {
        what: "an event loop",
        source,
    })?;
    runtime.block_on(work)
}
