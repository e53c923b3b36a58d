//! Where a result goes, and what is asserted about it: the same flags for everything that has an outcome.

use crate::analyse::assert::{self, Assertion};
use crate::measure::Outcome;
use crate::report::{self, Format};
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Result")]
pub struct Outputs {
    /// What goes to standard output [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Also write the whole result, histograms included, as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write a report with plots, in one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Also write one row per path, latencies in microseconds, to this file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Also write the result as Markdown to this file
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Also write verdict and assertions as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// What must be true, as 'p99(cross) < 50ms' or 'lost == 0'; exit code 1 if not; repeat for several
    #[arg(long = "assert", value_name = "ASSERTION", long_help = assertions_help())]
    pub assertions: Vec<Assertion>,
}

fn assertions_help() -> String {
    format!(
        "What must be true, as 'p99(cross) < 50ms' or 'lost == 0'; exit code 1 if not; repeat for several.\n\n\
         METRIC, one of < <= > >= == !=, and a limit: durations in us, ms, s or min; shares in %; memory in KB, MB, \
         GB, KiB, MiB or GiB; counts and rates bare.\n\nMetrics: {}",
        assert::names()
    )
}

impl Outputs {
    /// Checks the assertions, writes the files, prints the result; answers with the exit code.
    pub fn deliver(&self, outcome: &mut Outcome) -> Result<ExitCode> {
        assert::check(outcome, &self.assertions);
        write_forms(
            outcome,
            [
                (&self.json, report::json),
                (&self.html, report::html),
                (&self.csv, report::csv),
                (&self.markdown, report::markdown),
                (&self.junit, report::junit),
            ],
        )?;
        print(&report::render(outcome, self.format.unwrap_or_default()))?;
        Ok(ExitCode::from(outcome.exit_code()))
    }
}

/// Makes a text of a result.
pub type Form<T> = fn(&T) -> String;

/// The forms of what several runs came to.
pub struct Forms<T> {
    pub table: Form<T>,
    pub json: Form<T>,
    pub csv: Form<T>,
    pub markdown: Form<T>,
    pub html: Form<T>,
}

impl<T> Forms<T> {
    /// Writes the files that were asked for, and prints the result.
    pub fn deliver(&self, outputs: &Outputs, result: &T) -> Result<()> {
        write_forms(
            result,
            [
                (&outputs.json, self.json),
                (&outputs.html, self.html),
                (&outputs.csv, self.csv),
                (&outputs.markdown, self.markdown),
            ],
        )?;
        let printed = match outputs.format.unwrap_or_default() {
            Format::Table => self.table,
            Format::Json => self.json,
            Format::Csv => self.csv,
            Format::Markdown => self.markdown,
        };
        print(&printed(result))
    }
}

/// Writes the files that were asked for.
pub fn write_forms<T, const COUNT: usize>(result: &T, files: [(&Option<PathBuf>, Form<T>); COUNT]) -> Result<()> {
    for (path, form) in files {
        if let Some(path) = path {
            std::fs::write(path, form(result)).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Keeps the result and its distributions beside the history: `result.json`, and a `.hgrm` file for each path.
pub fn keep(directory: &Path, outcome: &Outcome) -> Result<()> {
    let paths = outcome.latencies.iter().map(|(path, latencies)| (format!("{path}.hgrm"), report::hdr(latencies)));
    for (name, text) in paths.chain([("result.json".to_owned(), report::json(outcome))]) {
        let file = directory.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Prints a result to standard output; a reader that has seen enough is no error.
pub fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write the result"),
        _ => Ok(()),
    }
}
