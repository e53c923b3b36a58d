//! `loadgen compare`: two results, or two directories of results, side by side.

use super::output::print;
use crate::analyse::compare::{CONFIDENCE, Comparison, compare};
use crate::measure::Outcome;
use crate::report;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit code of a comparison that `--fail-over` fails.
const FAILED: u8 = 1;

/// The forms of a comparison.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    #[default]
    Table,
    Json,
    Markdown,
}

/// The flags.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0, 1 worse than --fail-over allows, 3 nothing to compare.")]
pub struct Arguments {
    /// The result to compare with, as --json wrote it; or a directory of results of one plan
    before: PathBuf,
    /// The new result; or a directory of results of one plan
    after: PathBuf,
    /// Exit with 1 if any figure got worse by more than this and by more than noise, or any message was lost
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_over: Option<f64>,
    /// How sure to be, in per cent, before a difference is called one [default: 99]
    #[arg(long, value_name = "PERCENT", value_parser = parse_confidence)]
    confidence: Option<f64>,
    /// What goes to standard output [default: table]
    #[arg(long, value_enum)]
    format: Option<Form>,
}

pub fn parse_percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').trim().parse().map_err(|_| "write per cent, as in 10%".to_owned())?;
    if number.is_finite() && number >= 0.0 { Ok(number / 100.0) } else { Err("per cent are from 0 on".into()) }
}

fn parse_confidence(text: &str) -> Result<f64, String> {
    let confidence = parse_percent(text)?;
    if (0.5..=0.999).contains(&confidence) { Ok(confidence) } else { Err("confidence is from 50% to 99.9%".into()) }
}

/// Compares, and answers whether it got worse.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let (before, after) = (load(&arguments.before)?, load(&arguments.after)?);
    let comparison = compare(&before, &after, arguments.confidence.unwrap_or(CONFIDENCE))?;
    print(&match arguments.format.unwrap_or_default() {
        Form::Table => report::compare::table(&comparison),
        Form::Json => serde_json::to_string_pretty(&comparison)? + "\n",
        Form::Markdown => report::compare::markdown(&comparison),
    })?;
    Ok(arguments.fail_over.map_or(ExitCode::SUCCESS, |limit| judge(&comparison, limit)))
}

fn judge(comparison: &Comparison, limit: f64) -> ExitCode {
    let failures = comparison.failures(limit);
    for row in &failures {
        eprintln!("loadgen: {} got worse by more than {} %", row.metric, 100.0 * limit);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// The results of one side: one file, or all JSON files of a directory.
pub fn load(path: &Path) -> Result<Vec<Outcome>> {
    let unreadable = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        return Ok(vec![Outcome::load(path).map_err(|error| anyhow!(error))?]);
    }
    let entries =
        std::fs::read_dir(path).with_context(unreadable)?.collect::<Result<Vec<_>, _>>().with_context(unreadable)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        bail!("{} holds no .json file", path.display());
    }
    files.iter().map(|file| Outcome::load(file).map_err(|error| anyhow!(error))).collect()
}
