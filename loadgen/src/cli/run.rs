//! `loadgen run`, and `loadgen` alone: carries out a plan and says what came of it.

use super::baseline::{self, BaselineFlags, Compared};
use super::live::Show;
use super::output::{Outputs, keep, print};
use super::plan::{self, PlanFlags};
use super::shard::{self, ShardFlags};
use super::stage::Stage;
use super::swarm::{self, SwarmFlags};
use crate::analyse::assert;
use crate::live::Address;
use crate::measure::Outcome;
use crate::plan::Plan;
use crate::report::{self, Format};
use crate::run::Steering;
use crate::swarm::Member;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::ExitCode;

/// Where `loadgen` alone writes its report.
const REPORT: &str = "loadgen-report.html";
/// The exit code if `--fail-over` fails.
const WORSE: u8 = 1;

/// All flags of a run.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  loadgen run --target 10.0.0.1:8000 --users 1000 --rate 2000 --duration 60 --html report.html
  loadgen run --target 10.0.0.1:8000 --users 60000 --rate 60000 --swarm redis://10.0.0.9 --shards 3
      the same on three machines: one run, and each prints the result of all
  loadgen run --target 10.0.0.1:8000 --shards 3 --shard auto --start-at 15:40 --json part.json
      in each pod of an Indexed Job, without Redis; `loadgen merge` adds the files")]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanFlags,
    #[command(flatten)]
    shard: ShardFlags,
    #[command(flatten)]
    swarm: SwarmFlags,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    baseline: BaselineFlags,
    /// Show the run as it happens, and steer it, on a page at PORT of this machine, or at HOST:PORT for others as well;
    /// 0 is any free port. Its address is printed, and is the key to it: whoever has it can stop the run
    #[arg(long, value_name = "ADDR", help_heading = "Live page")]
    live: Option<Address>,
    /// No progress on standard error
    #[arg(long)]
    quiet: bool,
}

/// Runs, prints, and answers with the verdict.
pub fn execute(arguments: &Arguments) -> Result<ExitCode> {
    let steering = Steering::default();
    // Once: a plan that comes through a pipe can be read once.
    let plan = arguments.plan.plan()?;
    plan::check(&plan)?;
    let member = meet(arguments, &plan, &steering)?;
    let ready = or_tell(member.as_ref(), prepare(arguments, plan, &steering, member.as_ref()))?;
    let Ready { plan, before, show } = ready;
    let carried_out = carry_out(&plan, arguments, steering, show.as_ref(), member.as_ref());
    let delivered = or_tell(member.as_ref(), carried_out).and_then(|rounds| {
        let stands_for_all = baseline::representative(&rounds);
        let outcome = stands_for_all.context("no round was carried out")?;
        let mut outcome = match member {
            Some(member) => swarm::conclude(member, outcome, &arguments.outputs),
            None => outcome,
        };
        let code = arguments.outputs.deliver(&mut outcome)?;
        Ok((outcome, rounds, code))
    });
    if let Some(show) = show {
        show.end(delivered.as_ref().map(|(outcome, ..)| outcome));
    }
    let (outcome, rounds, code) = delivered?;
    let compared = arguments.baseline.conclude(before, &rounds)?;
    let worse = compared.map(|compared| tell(&arguments.outputs, &outcome, &compared)).transpose()?;
    if let Some(path) = &arguments.outputs.html {
        eprintln!("report: {}", path.display());
    }
    Ok(worse.flatten().unwrap_or(code))
}

/// Meets the other machines, if there are to be any; what can be found wrong before that costs them no wait.
fn meet(arguments: &Arguments, plan: &Plan, steering: &Steering) -> Result<Option<Member>> {
    if arguments.swarm.is_given() && arguments.baseline.is_any_given() {
        bail!("a swarm carries a plan out once: leave out --rounds and baselines");
    }
    arguments.swarm.join(plan, &arguments.shard, &arguments.outputs, steering, arguments.quiet)
}

/// What a run has before anything of it is started.
struct Ready {
    /// This process's part.
    plan: Plan,
    /// What the result is compared with.
    before: Option<Vec<Outcome>>,
    show: Option<Show>,
}

fn prepare(arguments: &Arguments, plan: Plan, steering: &Steering, member: Option<&Member>) -> Result<Ready> {
    let plan = match member {
        Some(member) => shard::part(&plan, member.shard())?,
        None => arguments.shard.part(plan)?,
    };
    plan::check(&plan)?;
    let before = arguments.baseline.check(&plan, arguments.live.is_some())?;
    // Before anything else is started: an address that cannot be had costs no run.
    let show = arguments.live.as_ref().map(|address| Show::open(address, &plan, steering)).transpose()?;
    Ok(Ready { plan, before, show })
}

/// What keeps a member from measuring the others hear as well, with the reason.
fn or_tell<T>(member: Option<&Member>, done: Result<T>) -> Result<T> {
    if let (Err(error), Some(member)) = (&done, member) {
        member.fail(&format!("{error:#}"));
    }
    done
}

/// Shows the comparison with a baseline, where the result went as well; answers with the exit code if it got worse.
fn tell(outputs: &Outputs, outcome: &Outcome, compared: &Compared) -> Result<Option<ExitCode>> {
    if let Some(path) = &outputs.markdown {
        let text = format!("{}\n{}", baseline::markdown(compared), report::markdown(outcome));
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match outputs.format.unwrap_or_default() {
        Format::Table => print(&baseline::table(compared))?,
        Format::Markdown => print(&format!("\n{}", baseline::markdown(compared)))?,
        // What a program reads stays whole.
        Format::Json | Format::Csv => eprint!("{}", baseline::table(compared)),
    }
    compared.failed.iter().for_each(|metric| eprintln!("loadgen: {metric} is worse than --fail-over allows"));
    let is_worse = outcome.exit_code() == 0 && !compared.failed.is_empty();
    Ok(is_worse.then(|| ExitCode::from(WORSE)))
}

fn carry_out(
    plan: &Plan,
    arguments: &Arguments,
    steering: Steering,
    show: Option<&Show>,
    member: Option<&Member>,
) -> Result<Vec<Outcome>> {
    let stage = Stage::open_steered(plan, arguments.quiet, steering, |progress| {
        let progress = member.map_or(progress.clone(), |member| member.beside(progress));
        show.map_or(progress.clone(), |show| show.beside(progress))
    })?;
    let outcomes = all_rounds(&stage, plan, arguments);
    stage.close();
    outcomes
}

/// Carries out all rounds, as long as nobody interrupts them; keeps of each what is to be kept.
fn all_rounds(stage: &Stage, plan: &Plan, arguments: &Arguments) -> Result<Vec<Outcome>> {
    let rounds = arguments.baseline.rounds();
    // Accounts outlast a round, so that only the first has to make them.
    let directory = tempfile::tempdir().context("cannot make a directory for the accounts")?;
    let accounts = plan.accounts.clone().or_else(|| (rounds > 1).then(|| directory.path().join("accounts.json")));
    let mut outcomes = Vec::new();
    for number in 0..rounds {
        let mut outcome = stage.run(Plan { accounts: accounts.clone(), ..baseline::round(plan, number, rounds) })?;
        outcome.plan.accounts.clone_from(&plan.accounts);
        assert::check(&mut outcome, &arguments.outputs.assertions);
        if let Some(directory) = &outcome.plan.keep {
            keep(directory, &outcome)?;
        }
        outcomes.push(outcome);
        if stage.is_interrupted() {
            break;
        }
    }
    Ok(outcomes)
}

impl Arguments {
    /// What `loadgen` without any flag does.
    pub fn alone() -> Arguments {
        let outputs = Outputs { html: Some(REPORT.into()), ..Outputs::default() };
        Arguments { outputs, ..Arguments::default() }
    }
}
