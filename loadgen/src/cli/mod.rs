//! The command line: what can be asked for, and the exit codes that answer.

mod check;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Loads a chat cluster with thousands of users and checks every message.
///
/// Without a command: an embedded cluster, the default mix, 20 seconds.
#[derive(Debug, Parser)]
#[command(version, after_help = "Exit codes: 0 valid, 1 invalid or an assertion failed, 2 unknown, 3 not run at all.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plan against a cluster
    Run(Box<run::Arguments>),
    /// Judge a kept history again, promise by promise
    Check(check::Arguments),
}

/// Does what was asked.
pub fn execute(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        None => run::execute(run::Arguments::default()),
        Some(Command::Run(arguments)) => run::execute(*arguments),
        Some(Command::Check(arguments)) => check::execute(&arguments),
    }
}
