//! `loadgen find-capacity`: runs at one rate after another until the highest that holds is known.

use super::output::{Forms, Outputs};
use super::plan::PlanFlags;
use super::trials::{self, Stop, Trials, parse_rate};
use crate::analyse::assert::Assertion;
use crate::analyse::capacity::{self, Capacity, Found, Settings};
use crate::measure::{Machine, command_line};
use crate::plan::Plan;
use crate::report;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;

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
    let assertions = trials::assertions(&arguments.outputs.assertions)?;
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
    if arguments.outputs.junit.is_some() {
        bail!("find-capacity writes no JUnit: run the rate found with --junit");
    }
    trials::check("find-capacity", plan, arguments.probe)
}

fn find(arguments: &Arguments, plan: Plan, settings: Settings, assertions: &[Assertion]) -> Result<Found> {
    let mut trials = Trials::open(plan, arguments.probe, assertions, arguments.quiet)?;
    let found = capacity::search(settings, |rate, purpose| trials.run(rate, purpose));
    let probes = trials.close();
    match found {
        Ok(found) => Ok(found),
        Err(Stop::Interrupted) => Ok(Found { rate: None, limit: "interrupted before the search ended".into(), probes }),
        Err(Stop::Failed(error)) => Err(error),
    }
}

const FORMS: Forms<Capacity> = Forms {
    table: report::capacity::table,
    json: report::capacity::json,
    csv: report::capacity::csv,
    markdown: report::capacity::markdown,
    html: report::capacity::html,
};

fn deliver(outputs: &Outputs, capacity: &Capacity) -> Result<ExitCode> {
    FORMS.deliver(outputs, capacity)?;
    Ok(if capacity.rate.is_some() { ExitCode::SUCCESS } else { ExitCode::from(NOT_FOUND) })
}
