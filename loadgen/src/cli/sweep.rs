//! `loadgen sweep`: runs over a range of rates, of one server or of several side by side.

use super::output::{Forms, Outputs};
use super::plan::PlanFlags;
use super::trials::{self, Stop, Trials, parse_rate};
use crate::analyse::assert::Assertion;
use crate::analyse::capacity::Purpose;
use crate::analyse::sweep::{self, Curve, Sweep};
use crate::measure::{Machine, command_line};
use crate::plan::Plan;
use crate::report;
use crate::report::rates::MAX_CURVES;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use std::str::FromStr;

/// The exit code if some subject has no knee: its lowest rate failed, or there was no time for it.
const NO_KNEE: u8 = 1;
/// Rates that anybody looks at.
const MAX_STEPS: usize = 100;

/// The flags.
#[derive(Debug, Args)]
#[command(after_help = "The knee is the highest rate up to which every one passed: every message accounted for, the \
rate kept, the generator not late itself, and the assertions held [default: p99(any) < 100ms]. After two rates that \
failed, a subject is asked for no more.
Exit codes: 0 every subject has a knee, 1 not every one, 3 not run at all.")]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanFlags,
    /// What the plan's own server is called [default: its target, or embedded]
    #[arg(long, value_name = "NAME", help_heading = "Sweep")]
    name: Option<String>,
    /// A further server beside the plan's own, over the same rates: as classic=10.0.0.2:6000, with @PROFILE for a
    /// classic one; several nodes with commas; repeat for several servers
    #[arg(long, value_name = "NAME=HOST:PORT[,HOST:PORT][@PROFILE]", help_heading = "Sweep")]
    against: Vec<Subject>,
    /// The lowest rate, in messages per second
    #[arg(long, value_name = "PER_SECOND", help_heading = "Sweep", value_parser = parse_rate, default_value = "1000")]
    from: f64,
    /// The highest rate, in messages per second
    #[arg(long, value_name = "PER_SECOND", help_heading = "Sweep", value_parser = parse_rate, default_value = "64000")]
    to: f64,
    /// How many rates, each the same factor above the one before
    #[arg(long, value_name = "RATES", help_heading = "Sweep", default_value_t = 7)]
    steps: usize,
    /// Measured time at each rate, in seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Sweep", default_value_t = 5.0)]
    probe: f64,
    #[command(flatten)]
    outputs: Outputs,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

/// A server beside the plan's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    name: String,
    targets: Vec<String>,
    profile: Option<String>,
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Subject, String> {
        let wrong = || format!("{text:?} is no subject: write NAME=HOST:PORT, as in classic=10.0.0.2:6000@course");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (targets, profile) = match rest.split_once('@') {
            Some((targets, profile)) => (targets, Some(profile.to_owned())),
            None => (rest, None),
        };
        let targets: Vec<String> = targets.split(',').map(str::to_owned).collect();
        let is_target = |target: &String| {
            target.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if name.is_empty() || profile.as_deref() == Some("") || !targets.iter().all(is_target) {
            return Err(wrong());
        }
        Ok(Subject { name: name.to_owned(), targets, profile })
    }
}

impl Subject {
    /// The plan for it: the same load, on its own targets.
    fn plan(&self, plan: &Plan) -> Plan {
        // Accounts of one server are nothing to another.
        let (profile, targets, accounts) = (self.profile.clone(), self.targets.clone(), None);
        let keep = plan.keep.as_ref().map(|directory| directory.join(&self.name));
        Plan { targets, profile, accounts, keep, dialect: Default::default(), ..plan.clone() }
    }
}

/// Goes through the rates with each subject in turn, and shows what came of it.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let subjects = subjects(arguments)?;
    let started_ms = jiff::Timestamp::now().as_millisecond();
    let assertions = trials::assertions(&arguments.outputs.assertions)?;
    let rates = sweep::rates(arguments.from, arguments.to, arguments.steps);
    let (mut curves, mut interrupted) = (Vec::new(), false);
    for (name, plan) in subjects {
        if !arguments.quiet {
            eprintln!("{name}:");
        }
        let (curve, is_whole) = curve(arguments, name, plan, &rates, &assertions)?;
        curves.push(curve);
        if !is_whole {
            interrupted = true;
            break;
        }
    }
    let sweep = Sweep {
        curves,
        assertions: assertions.iter().map(ToString::to_string).collect(),
        command: command_line(),
        machine: Machine::this(),
        started_ms,
        interrupted,
    };
    deliver(&arguments.outputs, &sweep)
}

/// The subjects with their plans, the plan's own first.
fn subjects(arguments: &Arguments) -> Result<Vec<(String, Plan)>> {
    let plan = arguments.plan.plan()?;
    if arguments.outputs.junit.is_some() {
        bail!("sweep writes no JUnit: run a rate with --junit");
    }
    if arguments.from > arguments.to || !(1..=MAX_STEPS).contains(&arguments.steps) {
        bail!("a sweep goes from a rate to one that is no lower, in 1 to {MAX_STEPS} steps");
    }
    if arguments.against.len() >= MAX_CURVES {
        bail!("{MAX_CURVES} servers are enough for one plot");
    }
    let own = arguments.name.clone().unwrap_or_else(|| match plan.targets.as_slice() {
        [] => "embedded".into(),
        targets => targets.join(","),
    });
    let others = arguments.against.iter().map(|subject| (subject.name.clone(), subject.plan(&plan)));
    let subjects: Vec<(String, Plan)> = std::iter::once((own, plan.clone())).chain(others).collect();
    subjects.iter().try_for_each(|(_, plan)| trials::check("sweep", plan, arguments.probe))?;
    Ok(subjects)
}

/// One subject's curve, and whether it came to its end.
fn curve(
    arguments: &Arguments,
    name: String,
    plan: Plan,
    rates: &[f64],
    assertions: &[Assertion],
) -> Result<(Curve, bool)> {
    let mut trials = Trials::open(plan.clone(), arguments.probe, assertions, arguments.quiet)?;
    let walked = sweep::walk(rates, |rate| trials.run(rate, Purpose::Step));
    let probes = trials.close();
    match walked {
        Err(Stop::Failed(error)) => Err(error),
        walked => Ok((Curve::of(name, probes, plan), walked.is_ok())),
    }
}

const FORMS: Forms<Sweep> = Forms {
    table: report::sweep::table,
    json: report::sweep::json,
    csv: report::sweep::csv,
    markdown: report::sweep::markdown,
    html: report::sweep::html,
};

fn deliver(outputs: &Outputs, sweep: &Sweep) -> Result<ExitCode> {
    FORMS.deliver(outputs, sweep)?;
    let is_whole = !sweep.interrupted && sweep.curves.iter().all(|curve| curve.knee.is_some());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(NO_KNEE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_name_and_its_targets_and_maybe_a_profile() {
        let check = |text: &str, name: &str, targets: &[&str], profile: Option<&str>| {
            let targets = targets.iter().map(ToString::to_string).collect();
            let subject = Subject { name: name.into(), targets, profile: profile.map(str::to_owned) };
            assert_eq!(text.parse(), Ok(subject), "{text}");
        };
        check("a=h:1", "a", &["h:1"], None);
        check("old one=h:1,[::1]:2@course", "old one", &["h:1", "[::1]:2"], Some("course"));
        for wrong in ["", "h:1", "=h:1", "a=", "a=h", "a=h:1,", "a=h:1@", "a=:1", "a=h:70000"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
