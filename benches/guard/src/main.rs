//! The regression guard: what the paths that matter cost, in instructions and allocations, held
//! against numbers that are kept in the repository.
//!
//! ```console
//! $ scripts/regression-guard.sh            # check, as CI does
//! $ scripts/regression-guard.sh update     # keep what is counted now
//! $ scripts/regression-guard.sh profile    # where the instructions go
//! ```
//!
//! Callgrind, a simulated processor, does the counting, so neither the machine's load nor its
//! speed matters. Each benchmark is a process of its own, in which only what runs within
//! [`count::under_count`] is counted: everything around it is made by the same code, uncounted.
//! What it relies on: Valgrind; and debug information for the files in a profile.
//!
//! Not counted: the system, waiting, and other threads than the one that answers.

mod benchmarks;
mod callgrind;
mod count;
mod layer1;
mod limits;
mod profile;
mod sessions;
mod world;

use benchmarks::Benchmark;
use clap::{Parser, ValueEnum as _};
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    /// Count everything; fail where a count has grown over its margin
    Check,
    /// Count everything, and keep the counts as the new limits
    Update,
    /// Print where the instructions of each benchmark go, as Markdown
    Profile,
    /// Run one benchmark, for the counter to look at; prints how many calls it counts
    #[command(hide = true)]
    Run { benchmark: Benchmark },
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Check => limits::check(),
        Command::Update => limits::update().map(|()| true),
        Command::Profile => profile::print().map(|()| true),
        Command::Run { benchmark } => {
            println!("{}", benchmark.run());
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The name of a benchmark on the command line and in the limits.
fn name(benchmark: Benchmark) -> String {
    let value = benchmark.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
