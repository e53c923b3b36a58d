//! `loadgen nodes`: the other side of [`crate::cluster::process`].

use crate::cluster::process::serve;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Arguments {
    /// How many
    count: u32,
}

pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    serve(arguments.count)?;
    Ok(ExitCode::SUCCESS)
}
