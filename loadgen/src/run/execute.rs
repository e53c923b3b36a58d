//! Carries out a plan: chooses what is spoken, connects the parts of a run, and makes its outcome.

use super::error::{Error, Failure};
use super::open_files;
use super::phases::Phases;
use super::progress::Progress;
use super::steering::Steering;
use super::usage::{memory_bytes, nodes_memory_bytes};
use crate::cluster::Nodes;
use crate::dialect::profile::{self, Framing, LoginBy, Profile};
use crate::dialect::{Classic, Framed, Wire};
use crate::link::Dialer;
use crate::measure::{Answers, Outcome};
use crate::plan::{DialectName, Plan};
use crate::user::Run;
use judge::history::{Event, History};
use std::sync::Arc;

/// Carries out a plan against `targets`, which are `nodes`. Whoever holds `steering` can change what happens; made of a
/// token, it ends the measured time when that is cancelled.
///
/// # Errors
/// What concerns this side only: the plan, its files, the system's limits. A target that fails is an outcome.
pub async fn execute(
    mut plan: Plan,
    targets: &[String],
    nodes: Nodes,
    progress: &dyn Progress,
    steering: impl Into<Steering>,
) -> Result<Outcome, Error> {
    let wire = wire(&mut plan)?;
    execute_over(wire, plan, targets, nodes, progress, steering).await
}

/// The same, over whatever speaks to the targets.
///
/// # Errors
/// As [`execute`].
pub async fn execute_over(
    wire: Arc<dyn Wire>,
    plan: Plan,
    targets: &[String],
    nodes: Nodes,
    progress: &dyn Progress,
    steering: impl Into<Steering>,
) -> Result<Outcome, Error> {
    plan.validate()?;
    open_files::raise_limit(plan.users, &nodes)?;
    let before = (memory_bytes(), nodes_memory_bytes(&nodes));
    let started_ms = jiff::Timestamp::now().as_millisecond();
    let dialer = match Dialer::new(&plan, targets).await {
        Ok(dialer) => dialer,
        Err(error) => return Ok(Outcome::failed(plan, error.to_string())),
    };
    let run_id = fastrand::u32(..);
    let history = match &plan.keep {
        Some(directory) => Some(History::create(&directory.join("history.jsonl.zst"), run_id)?),
        None => None,
    };
    if let Some(history) = history.as_ref().filter(|_| !wire.acknowledges()) {
        history.note(0, Event::Unacknowledged);
    }
    let given_prefix = plan.prefix.clone();
    let prefix = prefix(&plan, wire.as_ref(), run_id);
    let steering = steering.into();
    let mut run = Run::new(Plan { prefix, ..plan }, run_id, wire, dialer, history);
    run.pace = steering.pace().clone();
    run.pace.set(run.plan.rate);
    let run = Arc::new(run);
    let mut outcome = match Phases::new(run.clone(), nodes.clone(), progress, steering).go().await {
        Err(Failure::Fatal(error)) => return Err(error),
        outcome => outcome.unwrap_or_else(|failure| failed(&run, &failure)),
    };
    outcome.started_ms = started_ms;
    outcome.answers = run.wire.profile().map(Answers::of);
    outcome.plan.prefix = given_prefix;
    let used = &mut outcome.resources;
    (used.memory_before_bytes, used.nodes_memory_before_bytes) = before;
    (used.embedded, used.nodes_apart) = (nodes.are_embedded(), nodes.are_apart());
    if outcome.measured_s > 0.0 {
        outcome.judge();
    }
    if let Some(history) = Arc::into_inner(run).and_then(|run| run.history) {
        history.finish()?;
    }
    Ok(outcome)
}

fn failed(run: &Run, failure: &Failure) -> Outcome {
    let interrupted = matches!(failure, Failure::Interrupted);
    Outcome { errors: run.errors(), interrupted, ..Outcome::failed(run.plan.clone(), failure.to_string()) }
}

/// What a run speaks. A profile says it all, the dialect too; without one the dialect chooses among the shipped ones.
fn wire(plan: &mut Plan) -> Result<Arc<dyn Wire>, profile::Error> {
    let name = match (&plan.profile, plan.dialect) {
        (Some(name), _) => name,
        (None, DialectName::Framed) => return Ok(Arc::new(Framed)),
        (None, DialectName::Bare) => "course",
        (None, DialectName::Checked) => "checked",
    };
    let profile = Profile::find(name)?;
    let spoken = if profile.framing == Framing::Checked { DialectName::Checked } else { DialectName::Bare };
    if plan.dialect != spoken && plan.dialect != DialectName::Framed {
        let reason = "its framing is not that of the dialect asked for: leave the dialect out".to_owned();
        return Err(profile::Error::Invalid { name: name.to_owned(), reason });
    }
    plan.dialect = spoken;
    Ok(Arc::new(Classic::new(profile)))
}

/// The beginning of the accounts' names. Who logs in by an id that only registering tells, and keeps no accounts, needs
/// new names in every run.
fn prefix(plan: &Plan, wire: &dyn Wire, run_id: u32) -> String {
    let by_id = wire.profile().is_some_and(|profile| profile.login_by == LoginBy::Id);
    if by_id && plan.accounts.is_none() { format!("{}{run_id:08x}", plan.prefix) } else { plan.prefix.clone() }
}
