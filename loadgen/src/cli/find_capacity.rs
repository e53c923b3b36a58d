//! `loadgen find-capacity`: runs at one rate after another until the highest that holds is known.

use super::output::{Outputs, print, write_forms};
use super::run::PlanFlags;
use super::stage::Stage;
use crate::analyse::assert::{self, Assertion};
use crate::analyse::capacity::{self, Capacity, Found, Probe, Purpose, Settings};
use crate::measure::{Machine, command_line};
use crate::plan::Plan;
use crate::report::{self, Format};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a rate must satisfy where nothing else is asserted.
const DEFAULT_ASSERTION: &str = "p99(any) < 100ms";
/// The exit code if no rate passed.
const NOT_FOUND: u8 = 1;

/// The flags.
#[derive(Debug, Args)]
#[command(after_help = "A rate passes if every message is accounted for, the rate is kept, the generator is not late \
itself, and the assertions hold [default: p99(any) < 100ms].
Exit codes: 0 a rate was found, 1 none, 3 not run at all.")]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanFlags,
    /// The rate to begin with, in messages per second [default: --rate, or 1000]
    #[arg(long, value_name = "PER_SECOND", help_heading = "Search", value_parser = parse_rate)]
    from: Option<f64>,
    /// No rate above this is tried, in messages per second
    #[arg(
        long,
        value_name = "PER_SECOND",
        help_heading = "Search",
        value_parser = parse_rate,
        default_value = "1000000"
    )]
    to: f64,
    /// How close to the true capacity to come, in per cent
    #[arg(long, value_name = "PERCENT", help_heading = "Search", value_parser = parse_precision, default_value = "5")]
    precision: f64,
    /// Runs of --duration that must confirm the rate found
    #[arg(long, value_name = "RUNS", help_heading = "Search", default_value_t = 2)]
    confirm: u32,
    /// Measured time of each run of the search, in seconds; confirmations take --duration
    #[arg(long, value_name = "SECONDS", help_heading = "Search", default_value_t = 5.0)]
    probe: f64,
    #[command(flatten)]
    outputs: Outputs,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (1.0..=10_000_000.0).contains(&rate) { Ok(rate) } else { Err("a rate is from 1 to 10000000 per second".into()) }
}

fn parse_precision(text: &str) -> Result<f64, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.5..=100.0).contains(&percent) { Ok(percent / 100.0) } else { Err("precision is from 0.5% to 100%".into()) }
}

/// Searches, prints the curve, and answers whether a rate was found.
pub fn execute(arguments: Arguments) -> Result<ExitCode> {
    let plan = arguments.plan.plan()?;
    check(&arguments, &plan)?;
    let settings = Settings {
        from: arguments.from.unwrap_or(plan.rate),
        to: arguments.to,
        precision: arguments.precision,
        confirmations: arguments.confirm,
    };
    let started_ms = jiff::Timestamp::now().as_millisecond();
    let assertions = assertions(&arguments)?;
    let found = find(&arguments, plan.clone(), settings, &assertions)?;
    let capacity = Capacity {
        rate: found.rate,
        limit: found.limit,
        settings,
        assertions: assertions.iter().map(ToString::to_string).collect(),
        probes: found.probes,
        plan,
        command: command_line(),
        machine: Machine::this(),
        started_ms,
    };
    deliver(&arguments.outputs, &capacity)
}

fn check(arguments: &Arguments, plan: &Plan) -> Result<()> {
    if plan.window.is_some() {
        bail!("find-capacity looks for a rate, and --window has none");
    }
    if arguments.outputs.junit.is_some() {
        bail!("find-capacity writes no JUnit: run the rate found with --junit");
    }
    for duration_s in [plan.duration_s, arguments.probe] {
        if duration_s < 1.0 {
            bail!("a run of {duration_s} s says nothing: give 1 s at least");
        }
    }
    super::run::check(plan)
}

fn assertions(arguments: &Arguments) -> Result<Vec<Assertion>> {
    if arguments.outputs.assertions.is_empty() {
        return Ok(vec![DEFAULT_ASSERTION.parse()?]);
    }
    Ok(arguments.outputs.assertions.clone())
}

/// Why the search ended before its time.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

fn find(arguments: &Arguments, mut plan: Plan, settings: Settings, assertions: &[Assertion]) -> Result<Found> {
    // Accounts outlast a run, so that only the first has to make them.
    let directory = tempfile::tempdir().context("cannot make a directory for the accounts")?;
    plan.accounts.get_or_insert_with(|| directory.path().join("accounts.json"));
    let stage = Stage::open(&plan, arguments.quiet)?;
    let mut probes = Vec::new();
    let found = capacity::search(settings, |rate, purpose| {
        let plan = part(&plan, arguments, rate, purpose, probes.len());
        let mut outcome = stage.run(plan)?;
        assert::check(&mut outcome, assertions);
        let probe = Probe::of(&outcome, purpose);
        if stage.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        if !arguments.quiet {
            eprintln!("{}", report::capacity::line(&probe));
        }
        probes.push(probe.clone());
        Ok(probe)
    });
    stage.close();
    match found {
        Ok(found) => Ok(found),
        Err(Stop::Interrupted) => Ok(Found { rate: None, limit: "interrupted before the search ended".into(), probes }),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn part(plan: &Plan, arguments: &Arguments, rate: f64, purpose: Purpose, number: usize) -> Plan {
    let mut plan = plan.clone();
    plan.rate = rate;
    // Chance of its own for each run, so that a second try is not the first again.
    plan.seed = plan.seed.wrapping_add(number as u64);
    if purpose == Purpose::Search {
        plan.duration_s = arguments.probe;
    }
    let keep: Option<PathBuf> = plan.keep.take().map(|path| path.join(format!("run-{}", number + 1)));
    plan.keep = keep;
    plan
}

fn deliver(outputs: &Outputs, capacity: &Capacity) -> Result<ExitCode> {
    write_forms(
        capacity,
        [
            (&outputs.json, report::capacity::json),
            (&outputs.html, report::capacity::html),
            (&outputs.csv, report::capacity::csv),
            (&outputs.markdown, report::capacity::markdown),
        ],
    )?;
    print(&match outputs.format.unwrap_or_default() {
        Format::Table => report::capacity::table(capacity),
        Format::Json => report::capacity::json(capacity),
        Format::Csv => report::capacity::csv(capacity),
        Format::Markdown => report::capacity::markdown(capacity),
    })?;
    Ok(if capacity.rate.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NOT_FOUND) })
}
