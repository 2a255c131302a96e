//! What a network's nodes use: processor time and memory of their processes, room on the disk.

use crate::{config::Role, network::Network, supervise::Running};
use std::{fs, path::Path, time::Duration};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Watches the processes of nodes.
pub(super) struct Processes {
    pub(super) nodes: Vec<Process>,
    system: System,
}

/// The process of a node.
pub(super) struct Process {
    /// The node's name.
    pub(super) name: String,
    pub(super) role: Role,
    pid: Pid,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Processor time since it began, as the system counts it: in steps of 10 ms, as a rule.
    pub(super) processor: Duration,
    /// Resident memory now, in bytes.
    pub(super) memory: u64,
}

impl Processes {
    /// Watches the processes of these nodes.
    pub(super) fn of(nodes: &[Running]) -> Self {
        let nodes = nodes.iter().map(|node| Process {
            name: node.name.clone(),
            role: node.role,
            pid: Pid::from_u32(node.pid),
        });
        Self {
            nodes: nodes.collect(),
            system: System::new(),
        }
    }

    /// What each has used, in the order of the nodes; nothing for one that is gone.
    pub(super) fn used(&mut self) -> Vec<Used> {
        let pids: Vec<Pid> = self.nodes.iter().map(|node| node.pid).collect();
        used(&mut self.system, &pids)
    }

    /// The processor time that this process has used.
    pub(super) fn own(&mut self) -> Duration {
        let pid = Pid::from_u32(std::process::id());
        used(&mut self.system, &[pid])[0].processor
    }
}

fn used(system: &mut System, pids: &[Pid]) -> Vec<Used> {
    let what = ProcessRefreshKind::nothing()
        .with_cpu()
        .with_memory()
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), true, what);
    let used = |pid: &Pid| {
        let process = system.process(*pid)?;
        Some(Used {
            processor: Duration::from_millis(process.accumulated_cpu_time()),
            memory: process.memory(),
        })
    };
    pids.iter()
        .map(|pid| used(pid).unwrap_or_default())
        .collect()
}

/// How much of the disk the nodes of each role take, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Disk {
    pub(super) validators: u64,
    pub(super) session_nodes: u64,
}

impl Disk {
    /// What is taken now.
    pub(super) fn of(network: &Network) -> Self {
        let of = |role| {
            let nodes = network.of(role);
            let homes = nodes.filter_map(|node| node.config.path.parent());
            homes.map(taken).sum()
        };
        Self {
            validators: of(Role::Validator),
            session_nodes: of(Role::Session),
        }
    }

    /// What is taken since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            validators: self.validators.saturating_sub(before.validators),
            session_nodes: self.session_nodes.saturating_sub(before.session_nodes),
        }
    }
}

/// What the files below a directory take. Databases reserve more than that; and a file that goes
/// while this looks takes nothing any more.
fn taken(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => taken(&entry.path()),
        Ok(data) => file_size(&data),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(unix)]
fn file_size(data: &fs::Metadata) -> u64 {
    // In units of 512 bytes, whatever the file system's blocks are.
    std::os::unix::fs::MetadataExt::blocks(data) * 512
}

#[cfg(not(unix))]
fn file_size(data: &fs::Metadata) -> u64 {
    data.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_process_is_seen_and_one_that_is_gone_uses_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let mut system = System::new();
        let used = used(&mut system, &[std::process::id(), gone].map(Pid::from_u32));
        assert!(used[0].memory > 0);
        assert_eq!(used[1], Used::default());
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_takes_what_was_written_below_it_and_not_what_is_reserved() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("written"), vec![1; 100_000]).unwrap();
        let reserved = fs::File::create(below.join("reserved")).unwrap();
        reserved.set_len(1 << 30).unwrap();
        reserved.sync_all().unwrap();
        fs::File::open(below.join("written"))
            .unwrap()
            .sync_all()
            .unwrap();
        let taken = taken(directory.path());
        assert!((100_000..1_000_000).contains(&taken), "{taken}");
    }
}
