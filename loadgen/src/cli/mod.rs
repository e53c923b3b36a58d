//! The command line: what can be asked for, and the exit codes that answer.

mod baseline;
mod check;
mod compare;
mod find_capacity;
mod live;
mod merge;
mod nodes;
mod probe;
mod report;
mod run;
mod sweep;

mod output;
mod plan;
mod progress;
mod shard;
mod stage;
mod swarm;
mod trials;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Loads a chat cluster with thousands of users and checks every message.
///
/// Without a command: an embedded cluster, the default mix, 20 seconds, and a report in loadgen-report.html.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 valid, 1 invalid or an assertion failed, 2 unknown, 3 not run at all.\nCtrl-C ends a \
run early, with a full report of what ran; a second one ends it at once, with 130."
)]
pub struct Arguments {
    #[command(flatten)]
    generate: chat_generate::Flag,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plan against a cluster
    Run(Box<run::Arguments>),
    /// Find out what an unknown server speaks, and with which profile to measure it
    Probe(probe::Arguments),
    /// Look for the highest rate that a cluster bears
    FindCapacity(Box<find_capacity::Arguments>),
    /// Go through a range of rates, and show what a cluster carries at each, beside others if asked
    Sweep(Box<sweep::Arguments>),
    /// Compare two results, and tell noise from change
    Compare(compare::Arguments),
    /// Add the results of several processes into one
    Merge(merge::Arguments),
    /// Show a stored result again, in any form
    Report(report::Arguments),
    /// Judge a kept history again, promise by promise
    Check(check::Arguments),
    /// Run the nodes of an embedded cluster until the end of standard input. For loadgen's own use.
    #[command(hide = true)]
    Nodes(nodes::Arguments),
}

/// Does what was asked.
pub fn execute(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        None => run::execute(&run::Arguments::alone()),
        Some(Command::Run(arguments)) => run::execute(&arguments),
        Some(Command::Probe(arguments)) => probe::execute(&arguments),
        Some(Command::FindCapacity(arguments)) => find_capacity::execute(*arguments),
        Some(Command::Sweep(arguments)) => sweep::execute(&arguments),
        Some(Command::Compare(arguments)) => compare::execute(&arguments),
        Some(Command::Merge(arguments)) => merge::execute(&arguments),
        Some(Command::Report(arguments)) => report::execute(&arguments),
        Some(Command::Check(arguments)) => check::execute(&arguments),
        Some(Command::Nodes(arguments)) => nodes::execute(&arguments),
    }
}
