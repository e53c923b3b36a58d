//! `loadgen`: see [`loadgen::cli`].

use clap::Parser;
use std::process::ExitCode;

/// Nothing was measured: wrong flags, a file, a limit.
const NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    match loadgen::cli::execute(loadgen::cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}
