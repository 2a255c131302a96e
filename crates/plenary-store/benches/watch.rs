//! What both benchmarks measure with.

use std::{
    path::Path,
    time::{Duration, Instant},
};

/// xorshift64*: the same work on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// How long something took, on the clock and on all processors together.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// User and system time of this process so far, in steps of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').collect();
    let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

impl Watch {
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (start, used) = (Instant::now(), cpu());
        let result = work();
        self.wall += start.elapsed();
        self.cpu += cpu() - used;
        result
    }
}

/// How much disk a file or directory takes, in bytes.
pub(crate) fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::symlink_metadata(path).unwrap();
    if meta.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| size(&entry.unwrap().path())).sum()
    } else {
        meta.blocks() * 512
    }
}
