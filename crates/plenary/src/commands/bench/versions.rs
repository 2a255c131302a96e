//! What is measured, and whether the numbers are worth anything.

use crate::{app::App, machine::Machine, output::Output};
use serde::Serialize;
use std::env;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Versions {
    pub(super) plenary: &'static str,
    pub(super) service: String,
    /// Whether the compiler optimized: `release`, or `debug`, which measures nothing of interest.
    pub(super) build: &'static str,
}

impl Versions {
    /// This program, with this service.
    pub(super) fn of(app: &App) -> Self {
        Self {
            plenary: env!("CARGO_PKG_VERSION"),
            service: app.service.id().to_string(),
            build: match cfg!(debug_assertions) {
                true => "debug",
                false => "release",
            },
        }
    }

    /// Says what makes numbers worth little that this program measures on this machine.
    pub(super) fn warn(&self, machine: &Machine, output: Output) {
        if self.build == "debug" {
            output
                .note("warning: this program is not optimized; measure with `cargo run --release`");
        }
        if machine.writes_to_memory() {
            output.note(format_args!(
                "warning: nodes will write to {}, which is memory: nothing is durable there; name a directory of a disk in TMPDIR",
                env::temp_dir().display()
            ));
        }
    }
}
