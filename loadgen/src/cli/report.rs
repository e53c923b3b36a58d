//! `loadgen report`: shows a stored result again, in any form.

use super::output::Outputs;
use crate::measure::Outcome;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// The flags.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What --json wrote
    #[arg(value_name = "RESULT")]
    result: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

/// Shows it, and answers as the run would have.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let mut outcome = Outcome::load(&arguments.result).map_err(|error| anyhow!(error))?;
    arguments.outputs.deliver(&mut outcome)
}
