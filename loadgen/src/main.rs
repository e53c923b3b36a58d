//! `loadgen`: see [`loadgen::cli`].

use clap::Parser;
use std::process::ExitCode;

/// Nothing was measured: wrong flags, a file, a limit.
const NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    if let Some(code) = chat_generate::asked::<loadgen::cli::Arguments>() {
        return code;
    }
    let arguments = match loadgen::cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(shown) => {
            // Help and version are no errors. Where even this cannot be printed, the exit code has to do.
            let _ = shown.print();
            return if shown.use_stderr() { ExitCode::from(NOT_RUN) } else { ExitCode::SUCCESS };
        }
    };
    match loadgen::cli::execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}
