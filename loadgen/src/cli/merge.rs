//! `loadgen merge`: adds the results of several processes.

use super::output::Outputs;
use crate::analyse::merge::merge;
use crate::measure::Outcome;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// The flags.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: loadgen merge loadgen-1of3.json loadgen-2of3.json loadgen-3of3.json --html report.html
A shard of which there is no file leaves the verdict unknown. With `loadgen run --swarm` this is done by itself."
)]
pub struct Arguments {
    /// What --json wrote in each process
    #[arg(value_name = "RESULT", required = true)]
    results: Vec<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

/// Adds them, and answers with the verdict on the whole.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let load = |path: &PathBuf| Outcome::load(path).map(|outcome| (path.display().to_string(), outcome));
    let parts: Vec<_> = arguments.results.iter().map(load).collect::<Result<_, _>>().map_err(|error| anyhow!(error))?;
    arguments.outputs.deliver(&mut merge(&parts)?)
}
