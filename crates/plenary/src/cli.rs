//! The command line that every service has.

use crate::{app::App, commands, output::Output};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

#[derive(Parser)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
struct Cli {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole network on this machine until Ctrl-C; resumes where it was
    Dev(commands::dev::Args),
    /// Play the service's own workflow on a fresh network and verify its last receipt
    Demo(commands::demo::Args),
    /// Measure the service's own workflow, on networks that it starts or simulates itself
    #[command(subcommand)]
    Bench(commands::bench::Command),
    /// Make keys, genesis and configurations for a new network
    #[command(subcommand)]
    Testnet(commands::testnet::Command),
    /// Run one node: a validator or a session node
    Start(commands::start::Args),
    /// Check a node's configuration
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Make and show keys
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Show how validators and session nodes are
    Status(commands::status::Args),
    /// Send a signed request
    Call(commands::call::Args),
    /// Work in a session: signed steps, answered at once, and one commit
    #[command(subcommand)]
    Session(commands::session::Command),
    /// Check the proof that a session node broke its word
    #[command(subcommand)]
    Promise(commands::promise::Command),
    /// Look up transactions
    #[command(subcommand)]
    Tx(commands::tx::Command),
    /// Get receipts, and verify them offline
    #[command(subcommand)]
    Receipt(commands::receipt::Command),
    /// Check ledgers
    #[command(subcommand)]
    Ledger(commands::ledger::Command),
}

/// Gives a service its command line, and does what its arguments say.
///
/// Exit codes: 0 where the command did its job, 1 where it did not (standard error says why and
/// what to do), 2 where the arguments are wrong.
pub fn run(app: impl Into<App>) -> ExitCode {
    run_with(app.into(), std::env::args_os())
}

fn run_with(app: App, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let id = app.service.id();
    let command = Cli::command()
        .name(id.name.clone())
        .bin_name(id.name.clone())
        .version(id.version.clone());
    let parsed = command.try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stream is all that can go wrong, and then nobody is there to be told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(cli.json);
    let done = match cli.command {
        Command::Dev(args) => commands::dev::run(app, args, output),
        Command::Demo(args) => commands::demo::run(app, args, output),
        Command::Bench(command) => commands::bench::run(&app, command, output),
        Command::Testnet(command) => commands::testnet::run(&app, command, output),
        Command::Start(args) => commands::start::run(app, args),
        Command::Config(command) => commands::config::run(&app, command, output),
        Command::Keys(command) => commands::keys::run(command, output),
        Command::Status(args) => commands::status::run(args, output),
        Command::Call(args) => commands::call::run(args, output),
        Command::Session(command) => commands::session::run(command, output),
        Command::Promise(command) => commands::promise::run(command, output),
        Command::Tx(command) => commands::tx::run(command, output),
        Command::Receipt(command) => commands::receipt::run(command, output),
        Command::Ledger(command) => commands::ledger::run(app, command, output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.error(&failure);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
