//! `loadgen probe`: finds out what a server speaks.

use super::output::print;
use crate::probe::{self, Report, Settings, Sureness};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::process::ExitCode;
use std::time::Duration;

/// The exit codes: as of a run that is invalid, or unknown.
const NOT_FOUND: u8 = 1;
const NOT_SURE: u8 = 2;

/// The forms of a report.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    #[default]
    Text,
    Json,
}

/// The flags.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ loadgen probe 127.0.0.1:6000
  127.0.0.1:6000: profile logout_last_to, sure: a message arrived
  ...
  measure it: loadgen run --target 127.0.0.1:6000 --profile logout_last_to

It registers a few users whose names begin with lgprobe-, and leaves them there. What most servers of the family \
understand is tried first, in messages that name each field in every way; other framings only where that gets no answer.
Exit codes: 0 found and sure, 1 not found, 2 found and not sure, 3 not run at all.")]
pub struct Arguments {
    /// The server
    #[arg(value_name = "HOST:PORT")]
    target: String,
    /// The longest wait for each connection and each answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    patience: f64,
    /// Connect by TLS, trusting any certificate
    #[arg(long)]
    tls: bool,
    /// What goes to standard output [default: text]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

/// Probes, prints, and answers how sure it is.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    if !(0.05..=60.0).contains(&arguments.patience) {
        bail!("patience should be from 0.05 to 60 seconds");
    }
    if arguments.target.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        bail!("{:?} is not HOST:PORT", arguments.target);
    }
    let settings = Settings {
        target: arguments.target.clone(),
        patience: Duration::from_secs_f64(arguments.patience),
        tls: arguments.tls,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let report = runtime.block_on(probe::probe(&settings, &mut |tried| {
        if !arguments.quiet {
            eprintln!("loadgen: {}: {} ({} ms)", tried.what, tried.result, tried.milliseconds);
        }
    }));
    print(&match arguments.format.unwrap_or_default() {
        Form::Text => probe::text(&report),
        Form::Json => probe::json(&report),
    })?;
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    match report.found.as_ref().map(|found| found.sureness) {
        Some(Sureness::Sure) => ExitCode::SUCCESS,
        Some(Sureness::Likely | Sureness::Guess) => ExitCode::from(NOT_SURE),
        None => ExitCode::from(NOT_FOUND),
    }
}
