//! `loadgen check`: judges a kept history again.

use anyhow::Result;
use clap::Args;
use judge::{Told, check, history};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// A history: history.jsonl.zst of `run --keep DIR`
    #[arg(value_name = "FILE")]
    history: PathBuf,
}

/// Prints what each promise came to; the exit code is the verdict's.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let entries = history::read(&arguments.history)?.collect::<Result<Vec<_>, _>>()?;
    let judgement = check(&entries);
    print!("{}", Told { judgement: &judgement, entries: &entries });
    Ok(ExitCode::from(judgement.verdict().exit_code()))
}
