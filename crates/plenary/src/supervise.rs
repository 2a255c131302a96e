//! A network's nodes as processes of their own on this machine: started, watched and
//! stopped together.
//!
//! A child is stopped by closing its standard input, which it watches. So it also stops when this
//! process dies, however that happens. A child's log is locked for as long as the child runs, so
//! that the next run can wait for it.

use crate::{
    commands::start,
    config::Role,
    files::{self, FileError},
    network::Node,
};
use plenary_client::{Client, ClientError};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout_at},
};

/// The log in a node's directory.
const LOG: &str = "node.log";
/// How long children may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a child that is not ready yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long children may take to stop before they are killed; longer than a node gives itself.
const STOP_WITHIN: Duration = start::STOP_WITHIN.saturating_add(Duration::from_secs(2));
/// How many last lines of a log are shown.
const TAIL_LINES: usize = 12;
/// How many last bytes of a log are looked at for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// A child process.
pub(crate) struct Running {
    /// The node's name.
    pub(crate) name: String,
    /// What it does.
    pub(crate) role: Role,
    /// Where it serves HTTP.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its log.
    pub(crate) log: PathBuf,
    /// Where this run begins in the log.
    log_start: u64,
    child: Child,
    /// Closed to stop it. Kept apart from the child, whose standard input is closed by waiting.
    input: Option<ChildStdin>,
}

/// The children of this process.
pub(crate) struct Cluster {
    /// One a node that runs.
    pub(crate) nodes: Vec<Running>,
    double_run: bool,
}

/// Why a network does not run on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// A log cannot be opened.
    #[error(transparent)]
    Log(#[from] FileError),
    /// Children cannot be asked whether they are ready.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A node of the directory still runs.
    #[error(
        "{name} is running already (its log {} is in use); stop the other `dev` in this directory, or give another --data-dir", log.display()
    )]
    Running {
        /// The node's name.
        name: String,
        /// Its log.
        log: PathBuf,
    },
    /// A process cannot be started.
    #[error("cannot start a process for {name}: {source}")]
    Spawn {
        /// The node's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A child has ended by itself.
    #[error("{name} ended ({status}); all are stopped. Its log {} ends with:\n{tail}", log.display())]
    Ended {
        /// The node's name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A child cannot be watched.
    #[error("cannot watch the process of {name}: {source}")]
    Watch {
        /// The node's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A child does not become ready.
    #[error(
        "{name} is not ready after {} s; all are stopped. Its log {} ends with:\n{tail}",
        READY_WITHIN.as_secs(), log.display()
    )]
    NotReady {
        /// The node's name.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
}

/// The logs of a network's nodes, locked: none of the nodes is running.
pub(crate) struct Logs(Vec<(PathBuf, File)>);

impl Logs {
    /// Locks the logs, giving nodes of an earlier run the time to stop.
    pub(crate) async fn lock(nodes: &[Node]) -> Result<Self, ClusterError> {
        let deadline = Instant::now() + STOP_WITHIN;
        let mut logs = Vec::new();
        for node in nodes {
            let home = node.config.path.parent().unwrap_or(Path::new("."));
            let log = home.join(LOG);
            let file = OpenOptions::new().create(true).append(true).open(&log);
            let file = file.map_err(files::on("write", &log))?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                        sleep(ASK_EVERY).await;
                    }
                    Err(TryLockError::WouldBlock) => {
                        let name = node.name.clone();
                        return Err(ClusterError::Running { name, log });
                    }
                    Err(TryLockError::Error(error)) => {
                        return Err(files::on("lock", &log)(error).into());
                    }
                }
            }
            logs.push((log, file));
        }
        Ok(Self(logs))
    }
}

impl Cluster {
    /// Starts a process for every node. They run handlers twice where `double_run`.
    pub(crate) fn spawn(
        nodes: &[Node],
        logs: Logs,
        double_run: bool,
    ) -> Result<Self, ClusterError> {
        let nodes = nodes.iter().zip(logs.0);
        let nodes = nodes.map(|(node, (log, file))| spawn(node, log, file, double_run));
        Ok(Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            double_run,
        })
    }

    /// Kills a node's process, as a power cut would. The node is none of the cluster's then, until it
    /// is started again.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(index) = self.nodes.iter().position(|node| node.name == name) {
            // An error says that it has ended meanwhile.
            let _ = self.nodes.remove(index).child.kill().await;
        }
    }

    /// Starts a process for a node that was killed.
    pub(crate) async fn start(&mut self, node: &Node) -> Result<(), ClusterError> {
        let Logs(logs) = Logs::lock(std::slice::from_ref(node)).await?;
        for (log, file) in logs {
            self.nodes.push(spawn(node, log, file, self.double_run)?);
        }
        Ok(())
    }

    /// The URLs of the nodes of a role.
    pub(crate) fn urls(&self, role: Role) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|node| node.role == role);
        nodes.map(|node| node.url.clone()).collect()
    }

    /// Waits until every node is ready to serve.
    pub(crate) async fn ready(&mut self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + READY_WITHIN;
        for index in 0..self.nodes.len() {
            let node = Client::new([&self.nodes[index].url])?;
            let asking = timeout_at(deadline, until_ready(&node));
            let in_time = tokio::select! {
                asked = asking => asked.is_ok(),
                ended = self.ended() => return Err(ended),
            };
            if !in_time {
                let node = &self.nodes[index];
                return Err(ClusterError::NotReady {
                    name: node.name.clone(),
                    log: node.log.clone(),
                    tail: node.tail(),
                });
            }
        }
        Ok(())
    }

    /// Waits until a child ends by itself.
    pub(crate) async fn ended(&mut self) -> ClusterError {
        let waits = self.nodes.iter_mut().map(|node| {
            Box::pin(async move {
                let name = node.name.clone();
                match node.child.wait().await {
                    Ok(status) => ClusterError::Ended {
                        name,
                        status,
                        log: node.log.clone(),
                        tail: node.tail(),
                    },
                    Err(source) => ClusterError::Watch { name, source },
                }
            })
        });
        let (first, ..) = futures::future::select_all(waits).await;
        first
    }

    /// Asks all children to stop, waits for them, and kills those that do not. Names those.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        for node in &mut self.nodes {
            drop(node.input.take());
        }
        let deadline = Instant::now() + STOP_WITHIN;
        let mut killed = Vec::new();
        for node in &mut self.nodes {
            if timeout_at(deadline, node.child.wait()).await.is_err() {
                // An error says that it has ended meanwhile.
                let _ = node.child.kill().await;
                killed.push(node.name.clone());
            }
        }
        killed
    }
}

fn spawn(node: &Node, log: PathBuf, file: File, double_run: bool) -> Result<Running, ClusterError> {
    let errors = file.try_clone().map_err(files::on("write", &log))?;
    let log_start = file.metadata().map_err(files::on("read", &log))?.len();
    let cannot = |source| ClusterError::Spawn {
        name: node.name.clone(),
        source,
    };
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    command
        .args(["start", "--stop-with-stdin", "--config"])
        .arg(&node.config.path);
    if double_run {
        command.arg("--double-run");
    }
    // What the environment says of one node must not reach all of them.
    let settings = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("PLENARY_") && !name.starts_with("PLENARY_LOG")
    });
    settings.for_each(|name| {
        command.env_remove(name);
    });
    command
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(errors)
        .kill_on_drop(true);
    // A Ctrl-C in the terminal is for this process, which then stops the children in order.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(cannot)?;
    Ok(Running {
        name: node.name.clone(),
        role: node.config.role,
        url: node.url(),
        pid: child.id().unwrap_or_default(),
        log,
        log_start,
        input: child.stdin.take(),
        child,
    })
}

/// Waits until a node says that it is ready.
async fn until_ready(node: &Client) {
    while !node.is_ready().await {
        sleep(ASK_EVERY).await;
    }
}

impl Running {
    /// The last lines that this run wrote into the log.
    fn tail(&self) -> String {
        let read = || -> io::Result<VecDeque<String>> {
            let mut file = File::open(&self.log)?;
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(
                end.saturating_sub(TAIL_BYTES).max(self.log_start),
            ))?;
            let mut last = VecDeque::new();
            for line in BufReader::new(file).split(b'\n') {
                if last.len() == TAIL_LINES {
                    last.pop_front();
                }
                last.push_back(format!("  {}", String::from_utf8_lossy(&line?)));
            }
            Ok(last)
        };
        match read() {
            Ok(lines) => Vec::from(lines).join("\n"),
            Err(error) => format!("  ({error})"),
        }
    }
}
