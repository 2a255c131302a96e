//! The mark around what is counted.

use std::{cell::Cell, hint::black_box};

/// What Callgrind is told to count: the functions whose symbols have this in them.
pub const MARK: &str = "under_count";

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Runs `work` as one call of a benchmark. A function of its own in every build, so that its symbol
/// can be found.
#[inline(never)]
pub fn under_count<T>(work: impl FnOnce() -> T) -> T {
    let done = black_box(work());
    CALLS.set(CALLS.get() + 1);
    done
}

/// How often this thread has counted.
pub fn calls() -> u64 {
    CALLS.get()
}
