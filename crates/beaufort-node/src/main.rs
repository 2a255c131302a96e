//! The program `beaufort`.

use std::process::ExitCode;

fn main() -> ExitCode {
    beaufort_node::run(std::env::args_os())
}
