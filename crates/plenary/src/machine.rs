//! The machine that something was measured on. What the system does not tell stays out.

use serde::Serialize;
use std::{path::Path, thread};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

/// What a measurement depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// The processor's model.
    pub(crate) cpu: Option<String>,
    /// How many threads run at a time.
    pub(crate) cores: Option<usize>,
    /// Main memory.
    pub(crate) memory_mib: u64,
    /// The operating system's kernel and its version.
    pub(crate) kernel: String,
    /// The file system that nodes write to: its type.
    pub(crate) file_system: Option<String>,
    /// The device it is on.
    pub(crate) device: Option<String>,
}

impl Machine {
    /// This machine, where what is measured writes below `directory`.
    pub(crate) fn here(directory: &Path) -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(what);
        let cpu = system.cpus().first();
        let disks = Disks::new_with_refreshed_list();
        let real = directory.canonicalize().ok();
        let mounts = disks.iter().filter(|disk| {
            let real = real.as_deref();
            real.is_some_and(|real| real.starts_with(disk.mount_point()))
        });
        // The innermost, and of several in one place the last, which hides the others.
        let disk = mounts.max_by_key(|disk| disk.mount_point().components().count());
        Self {
            cpu: cpu.map(|cpu| cpu.brand().trim().to_owned()),
            cores: thread::available_parallelism().ok().map(Into::into),
            memory_mib: system.total_memory() >> 20,
            kernel: System::kernel_long_version(),
            file_system: disk.map(|disk| disk.file_system().to_string_lossy().into_owned()),
            device: disk.map(|disk| disk.name().to_string_lossy().into_owned()),
        }
    }

    /// Whether nodes write into memory, where to be durable costs nothing.
    pub(crate) fn writes_to_memory(&self) -> bool {
        matches!(self.file_system.as_deref(), Some("tmpfs" | "ramfs"))
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let cores = self.cores.map(|cores| format!("{cores} cores"));
        let memory = Some(format!("{} MiB", self.memory_mib));
        let kernel = Some(self.kernel.clone());
        let parts = [
            self.cpu.clone(),
            cores,
            memory,
            kernel,
            self.file_system.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// How many threads wanted to run, on average of the last minute.
pub(crate) fn load_average() -> f64 {
    System::load_average().one
}
