//! The commands, one module each. A command either does its job or says in a [`Failure`] why not
//! and what to do.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod promise;
pub(crate) mod receipt;
pub(crate) mod session;
pub(crate) mod signer;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod testnet;
pub(crate) mod tx;

use crate::{
    app::NoDemo,
    config::{ConfigError, GenesisFileError},
    files::FileError,
    keys::KeyError,
    network::NetworkError,
    player::{StepFailure, Unplayable},
    supervise::ClusterError,
};
use plenary_client::ClientError;
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
    /// A running network.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Which network.
    #[error(transparent)]
    Target(#[from] target::NoTarget),
    /// `start`.
    #[error(transparent)]
    Start(#[from] start::StartFailure),
    /// `dev`.
    #[error(transparent)]
    Dev(#[from] dev::OtherSize),
    /// No workflow to play.
    #[error(transparent)]
    NoDemo(#[from] NoDemo),
    /// A workflow that cannot be played.
    #[error(transparent)]
    Unplayable(#[from] Unplayable),
    /// A step of a workflow.
    #[error(transparent)]
    Step(#[from] StepFailure),
    /// `bench latency`.
    #[error(transparent)]
    Latency(#[from] bench::latency::LatencyFailure),
    /// `bench load`.
    #[error(transparent)]
    Load(#[from] bench::load::LoadFailure),
    /// `bench plain`.
    #[error(transparent)]
    Plain(#[from] bench::plain::PlainFailure),
    /// `bench catch-up`.
    #[error(transparent)]
    CatchUp(#[from] bench::CatchUpFailure),
    /// Someone stopped it.
    #[error("stopped by {0}")]
    Stopped(&'static str),
    /// `demo`.
    #[error(transparent)]
    Demo(#[from] demo::DemoFailure),
    /// `bench wan`.
    #[error(transparent)]
    Wan(#[from] bench::wan::WanFailure),
    /// `call`.
    #[error(transparent)]
    Call(#[from] call::CallFailure),
    /// A command's request.
    #[error(transparent)]
    Request(#[from] signer::RequestFailure),
    /// `session`.
    #[error(transparent)]
    Session(#[from] session::SessionFailure),
    /// `promise`.
    #[error(transparent)]
    Promise(#[from] promise::PromiseFailure),
    /// `ledger`.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerFailure),
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

/// Names what the system refuses.
fn system(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::System { what, source }
}

/// Runs a command that waits for others.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(system("an event loop"))?.block_on(work)
}
