//! A network that is made to be measured: a fresh directory, a process for each node, removed at
//! the end.
//!
//! The directory is in the system's directory for temporary files (`TMPDIR`). What is durable there
//! decides what is measured: on a file system in memory, a wait for the disk costs nothing.

use crate::{
    app::App,
    commands::Failure,
    files,
    network::{FirstPorts, Network, Plan},
    supervise::{Cluster, Logs},
};
use plenary_session::node::Bounds;
use plenary_types::genesis::ClientSignatures;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many nodes of each kind there are.
#[derive(Debug, Clone, Copy, clap::Args, serde::Serialize)]
pub(super) struct Size {
    /// How many validators
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) validators: u16,
    /// How many session nodes
    #[arg(long, value_name = "M", default_value_t = 1)]
    pub(super) session_nodes: u16,
}

/// A running network.
pub(super) struct Lab {
    pub(super) network: Network,
    pub(super) cluster: Cluster,
    /// From the first process to the last node that is ready.
    pub(super) startup: Duration,
    home: TempDir,
}

impl Lab {
    /// Makes and starts a network, and waits until it is ready.
    pub(super) async fn start(
        app: &App,
        size: Size,
        clients: ClientSignatures,
    ) -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("plenary-bench-").tempdir();
        let mut home = home.map_err(files::on("create a directory in", &std::env::temp_dir()))?;
        let plan = Plan {
            network: app.service.id().name.clone(),
            validators: size.validators,
            session_nodes: size.session_nodes,
            clients,
            service: app.service.clone(),
            bounds: Bounds::default(),
            ports: FirstPorts::default(),
        };
        let network = Network::create(&home.path().join("network"), &plan)?;
        let logs = Logs::lock(&network.nodes).await?;
        let started = Instant::now();
        let mut cluster = Cluster::spawn(&network.nodes, logs, false)?;
        if let Err(error) = cluster.ready().await {
            cluster.stop().await;
            // The error points at a log.
            home.disable_cleanup(true);
            return Err(error.into());
        }
        Ok(Self {
            network,
            cluster,
            startup: started.elapsed(),
            home,
        })
    }

    /// Stops all nodes and removes the directory.
    pub(super) async fn stop(self) {
        self.cluster.stop().await;
        drop(self.home);
    }

    /// Stops all nodes and keeps the directory, for an error that points into it.
    pub(super) async fn abandon(mut self) {
        self.home.disable_cleanup(true);
        self.cluster.stop().await;
    }
}
