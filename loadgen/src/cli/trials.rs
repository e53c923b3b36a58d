//! One run after another at rates of somebody's choosing, against the same server: what a search and a sweep are made
//! of.

use super::stage::Stage;
use crate::analyse::assert::{self, Assertion};
use crate::analyse::capacity::{Probe, Purpose};
use crate::plan::Plan;
use crate::report;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use tempfile::TempDir;

/// What a rate must satisfy where nothing else is asserted.
const DEFAULT_ASSERTION: &str = "p99(any) < 100ms";

/// Why there is no further run.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// A stage, and what every run on it has in common.
pub struct Trials {
    stage: Stage,
    plan: Plan,
    /// Measured time of a run that confirms nothing, in seconds.
    short_s: f64,
    assertions: Vec<Assertion>,
    quiet: bool,
    made: Vec<Probe>,
    _accounts: TempDir,
}

impl Trials {
    /// Starts what the plan needs.
    pub fn open(mut plan: Plan, short_s: f64, assertions: &[Assertion], quiet: bool) -> Result<Trials> {
        // Accounts outlast a run, so that only the first has to make them.
        let directory = tempfile::tempdir().context("cannot make a directory for the accounts")?;
        plan.accounts.get_or_insert_with(|| directory.path().join("accounts.json"));
        let stage = Stage::open(&plan, quiet)?;
        let (assertions, made) = (assertions.to_vec(), Vec::new());
        Ok(Trials { stage, plan, short_s, assertions, quiet, made, _accounts: directory })
    }

    /// One run at this rate.
    pub fn run(&mut self, rate: f64, purpose: Purpose) -> Result<Probe, Stop> {
        let mut outcome = self.stage.run(self.part(rate, purpose))?;
        assert::check(&mut outcome, &self.assertions);
        if self.stage.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        let probe = Probe::of(&outcome, purpose);
        if !self.quiet {
            eprintln!("{}", report::rates::line(&probe));
        }
        self.made.push(probe.clone());
        Ok(probe)
    }

    /// Ends it; the runs that were made.
    pub fn close(self) -> Vec<Probe> {
        self.stage.close();
        self.made
    }

    fn part(&self, rate: f64, purpose: Purpose) -> Plan {
        let number = self.made.len();
        let mut plan = self.plan.clone();
        plan.rate = rate;
        // Chance of its own for each run, so that a second try is not the first again.
        plan.seed = plan.seed.wrapping_add(number as u64);
        if purpose != Purpose::Confirm {
            plan.duration_s = self.short_s;
        }
        let keep: Option<PathBuf> = plan.keep.take().map(|path| path.join(format!("run-{}", number + 1)));
        plan.keep = keep;
        plan
    }
}

/// What a rate must satisfy: what was given, or what is usual.
pub fn assertions(given: &[Assertion]) -> Result<Vec<Assertion>> {
    if given.is_empty() { Ok(vec![DEFAULT_ASSERTION.parse()?]) } else { Ok(given.to_vec()) }
}

/// Finds what has no rate, or says nothing.
pub fn check(command: &str, plan: &Plan, short_s: f64) -> Result<()> {
    if plan.window.is_some() {
        bail!("{command} looks for a rate, and --window has none");
    }
    for duration_s in [plan.duration_s, short_s] {
        if duration_s < 1.0 {
            bail!("a run of {duration_s} s says nothing: give 1 s at least");
        }
    }
    super::plan::check(plan)
}

/// Reads a rate of the command line.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (1.0..=10_000_000.0).contains(&rate) { Ok(rate) } else { Err("a rate is from 1 to 10000000 per second".into()) }
}
