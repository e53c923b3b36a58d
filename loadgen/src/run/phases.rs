//! The course of a run: set up, ramp, measure, drain, last logins, account.

use super::Run;
use super::last_login;
use super::sending::Sending;
use super::usage::{memory_bytes, nodes_memory_bytes};
use super::watch::{self, Meter};
use super::{open_files, setup};
use crate::cluster::Nodes;
use crate::dialect::profile::{self, Framing, LoginBy, Profile};
use crate::dialect::{Classic, Framed, Wire};
use crate::link::{self, Dialer};
use crate::measure::outcome::{Answers, Outcome, Resources};
use crate::measure::recorder::Second;
use crate::plan::{DialectName, Plan};
use crate::run::progress::Progress;
use crate::scenario;
use crate::user::accounts::{self, Book};
use crate::user::{self, Wish};
use judge::history::{Event, History};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between two looks at something that takes a while.
const POLL: Duration = Duration::from_millis(20);
/// From the moment the driver starts until the first message is due.
const LEAD_MICROS: u64 = 50_000;
/// For everybody to log out at the end.
const LEAVE_PATIENCE: Duration = Duration::from_secs(6);
/// Without any progress for this long, what is open will not come any more: longer than a cluster's repair interval.
const DRAIN_QUIET: Duration = Duration::from_secs(14);

/// Why there is no outcome at all. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plan(#[from] crate::plan::Error),
    #[error(transparent)]
    Accounts(#[from] accounts::Error),
    #[error(transparent)]
    History(#[from] judge::history::Error),
    #[error(transparent)]
    Files(#[from] open_files::Error),
    #[error(transparent)]
    Profile(#[from] profile::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why measuring never began: this is the outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Link(#[from] link::Error),
    #[error(transparent)]
    Setup(#[from] setup::Error),
    #[error("nobody could log in{}", why.as_ref().map_or(String::new(), |why| format!(": {why}")))]
    NobodyOnline { why: Option<String> },
    #[error("interrupted before the measured time")]
    Interrupted,
    #[cfg(feature = "goose")]
    #[error(transparent)]
    Goose(#[from] crate::driver::goose::Error),
    #[error(transparent)]
    Fatal(#[from] Error),
}

/// Carries out a plan against `targets`, which are `nodes`. When `interrupt` is cancelled the measured time ends there.
///
/// # Errors
/// What concerns this side only: the plan, its files, the system's limits. A target that fails is an outcome.
pub async fn execute(
    mut plan: Plan,
    targets: &[String],
    nodes: Nodes,
    progress: &dyn Progress,
    interrupt: CancellationToken,
) -> Result<Outcome, Error> {
    let wire = wire(&mut plan)?;
    execute_over(wire, plan, targets, nodes, progress, interrupt).await
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
    interrupt: CancellationToken,
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
    let run = Arc::new(Run::new(Plan { prefix, ..plan }, run_id, wire, dialer, history));
    let course = Course { run: run.clone(), nodes: nodes.clone(), progress, interrupt, tasks: JoinSet::new() };
    let mut outcome = match course.go().await {
        Ok(outcome) => outcome,
        Err(Failure::Fatal(error)) => return Err(error),
        Err(failure) => {
            let mut outcome = Outcome::failed(run.plan.clone(), failure.to_string());
            outcome.errors = run.errors();
            outcome.interrupted = matches!(failure, Failure::Interrupted);
            outcome
        }
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

struct Course<'a> {
    run: Arc<Run>,
    nodes: Nodes,
    progress: &'a dyn Progress,
    interrupt: CancellationToken,
    tasks: JoinSet<()>,
}

impl Course<'_> {
    async fn go(mut self) -> Result<Outcome, Failure> {
        let book = self.register().await?;
        self.tasks.spawn(watch::tick(self.run.clone()));
        self.ramp().await?;
        self.set_the_stage(&book).await?;
        let outcome = self.measure().await;
        self.leave().await;
        outcome
    }

    async fn register(&self) -> Result<Book, Failure> {
        let run = &self.run;
        let book = match &run.plan.accounts {
            Some(path) => Book::load(path).map_err(Error::from)?,
            None => Book::default(),
        };
        let known = book.accounts.iter().zip(&run.users).take_while(|(account, user)| account.name == user.name);
        let known = known.map(|(account, user)| user.remember(account)).count() as u32;
        self.progress.phase("accounts", u64::from(run.plan.users - known));
        let registering = setup::register(run, known, || self.progress.advance(1));
        tokio::select! {
            registered = registering => registered?,
            () = self.interrupt.cancelled() => return Err(Failure::Interrupted),
        }
        Ok(book)
    }

    /// Lets everybody log in, spread over the ramp.
    async fn ramp(&mut self) -> Result<(), Failure> {
        let run = self.run.clone();
        self.progress.phase("logins", u64::from(run.plan.users));
        let begun = tokio::time::Instant::now();
        let ramp = Duration::from_secs_f64(run.plan.ramp_s);
        let mut told = 0;
        for (place, user) in run.users.iter().enumerate() {
            let due = begun + ramp.mul_f64(place as f64 / run.users.len() as f64);
            if due > tokio::time::Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => self.show_online(&mut told),
                    () = self.interrupt.cancelled() => return Err(Failure::Interrupted),
                }
            }
            self.tasks.spawn(user::live(user.clone(), run.clone()));
            user.wish(Wish::Online, &run);
        }
        let patience = begun + ramp + run.plan.connect_timeout() + run.plan.patience();
        while run.online.load(Ordering::Relaxed) < run.plan.users && tokio::time::Instant::now() < patience {
            if self.interrupt.is_cancelled() {
                return Err(Failure::Interrupted);
            }
            tokio::time::sleep(POLL).await;
            self.show_online(&mut told);
        }
        if run.online.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(Failure::NobodyOnline { why: run.first_failed_login().map(str::to_owned) })
    }

    fn show_online(&self, told: &mut u64) {
        let online = u64::from(self.run.online.load(Ordering::Relaxed));
        self.progress.advance(online.saturating_sub(*told));
        *told = online.max(*told);
    }

    /// Makes friends and groups, and keeps what later runs can use.
    async fn set_the_stage(&self, book: &Book) -> Result<(), Failure> {
        let run = &self.run;
        let steps = run.world.friends.len() + run.world.groups.len();
        self.progress.phase("friends and groups", steps as u64);
        let making = async {
            setup::befriend(run, book, || self.progress.advance(1)).await?;
            setup::make_groups(run, book, || self.progress.advance(1)).await
        };
        tokio::select! {
            made = making => made?,
            () = self.interrupt.cancelled() => return Err(Failure::Interrupted),
        }
        for (number, group) in run.world.groups.iter().enumerate() {
            let id = run.group_ids[number].load(Ordering::Relaxed);
            group
                .members
                .iter()
                .for_each(|user| run.note(|| Event::Joined { group: id, user: run.users[*user as usize].id() }));
        }
        if let Some(path) = &run.plan.accounts {
            self.book().save(path).map_err(Error::from)?;
        }
        Ok(())
    }

    fn book(&self) -> Book {
        let run = &self.run;
        let groups = run.world.groups.iter().enumerate().map(|(number, group)| {
            let name = accounts::group_name(&run.plan, group.members[0], group.members.len());
            (name, run.group_ids[number].load(Ordering::Relaxed))
        });
        Book {
            accounts: run.users.iter().map(|user| user.account()).collect(),
            friends: run.world.friends.clone(),
            groups: groups.collect(),
        }
    }

    /// Waits for the time set for all who measure together; where it is past, begins at once.
    async fn wait_for_start(&self) -> Result<(), Failure> {
        let Some(start) = self.run.plan.start_at_ms else { return Ok(()) };
        let left = start.saturating_sub(jiff::Timestamp::now().as_millisecond());
        self.progress.phase("waiting to start", 0);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(left.try_into().unwrap_or(0))) => Ok(()),
            () = self.interrupt.cancelled() => Err(Failure::Interrupted),
        }
    }

    async fn measure(&mut self) -> Result<Outcome, Failure> {
        // What ends the measured time: somebody's interrupt, or a driver that ends early.
        let cut = self.interrupt.child_token();
        let mut sending = Sending::prepare(&self.run, &cut).await?;
        self.wait_for_start().await?;
        let measured_from_ms = jiff::Timestamp::now().as_millisecond();
        let run = self.run.clone();
        let online = run.online.load(Ordering::Relaxed);
        self.progress.phase("measuring", run.plan.duration().as_millis() as u64);
        let mut meter = Meter::start(&run, &self.nodes);
        let begin = run.clock.now() + LEAD_MICROS;
        let end = begin + judge::clock::micros(run.plan.duration());
        sending.begin(&run, begin, end)?;
        let mut acts = JoinSet::new();
        for cast in &run.world.casts {
            acts.spawn(scenario::act(cast.kind, cast.actors.clone(), run.clone()));
        }
        let seconds = self.watch(&mut meter, end, &cut).await;
        let measured_s = meter.elapsed_s();
        let interrupted = cut.is_cancelled();
        // Before the driver's thread ends and takes its figures along.
        let (memory_bytes, nodes_memory_bytes) = (memory_bytes(), nodes_memory_bytes(&self.nodes));
        let resources = Resources { memory_bytes, nodes_memory_bytes, ..meter.resources() };
        run.refilling.store(false, Ordering::Relaxed);
        run.stopping.cancel();
        let thresholds = sending.stopped(&run).await;
        while acts.join_next().await.is_some() {}
        let mut drained = self.drain(online).await;
        // What is still on its way to somebody could get lost by a logout.
        if !drained.cut_short && !self.nodes.have_ended() {
            drained.cut_short = !last_login::fetch_stored(&run, self.progress).await;
        }
        let online = (online, run.online.load(Ordering::Relaxed));
        let outcome = self.outcome(measured_s, drained, interrupted, online, seconds, resources);
        Ok(Outcome { measured_from_ms, thresholds, ..outcome })
    }

    /// Shows and keeps what happens, second by second, until the measured time is over.
    async fn watch(&self, meter: &mut Meter, end: u64, cut: &CancellationToken) -> Vec<Second> {
        let mut seconds = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.tick().await;
        let end = tokio::time::Instant::from_std(self.run.clock.instant(end));
        loop {
            let over = tokio::select! {
                _ = tick.tick() => false,
                () = tokio::time::sleep_until(end) => true,
                () = cut.cancelled() => true,
            };
            let second = meter.second(&self.run);
            if second.length_ms > 0 {
                self.progress.advance(second.length_ms);
                self.progress.message(watch::line(&self.run, &second));
                seconds.push(second);
            }
            if over {
                return seconds;
            }
        }
    }

    /// Waits until every message is accounted for and everybody is back, or nothing more can be hoped for, or for as
    /// long as the plan allows. Where messages were still arriving then, nobody can say that the others are lost.
    async fn drain(&self, online: u32) -> Drained {
        let run = &self.run;
        let left = || run.ledger.open() + run.waiting();
        let open = left();
        self.progress.phase("draining", open);
        let begun = Instant::now();
        let limit = Duration::from_secs_f64(run.plan.drain_s);
        let (mut last, mut last_at, mut told) = (open, begun, 0);
        let is_done = || (left() == 0 && run.online.load(Ordering::Relaxed) >= online) || self.nodes.have_ended();
        while !is_done() && begun.elapsed() < limit && last_at.elapsed() < DRAIN_QUIET {
            tokio::time::sleep(POLL).await;
            let now = left();
            if now < last {
                (last, last_at) = (now, Instant::now());
                let done = open.saturating_sub(now);
                self.progress.advance(done.saturating_sub(told));
                told = done.max(told);
            }
        }
        let cut_short = left() > 0 && last_at.elapsed() < DRAIN_QUIET.min(limit / 2);
        Drained { seconds: begun.elapsed().as_secs_f64(), cut_short: cut_short && !self.nodes.have_ended() }
    }

    fn outcome(
        &self,
        measured_s: f64,
        drained: Drained,
        interrupted: bool,
        online: (u32, u32),
        seconds: Vec<Second>,
        resources: Resources,
    ) -> Outcome {
        let run = &self.run;
        let online_now = run.users.iter().filter(|user| user.is_online());
        online_now.for_each(|user| run.note(|| Event::Drained { user: user.id() }));
        let mut account = run.ledger.account();
        if drained.cut_short {
            account.leave_open();
        }
        Outcome {
            measured_s,
            drained_s: drained.seconds,
            cut_short: drained.cut_short,
            interrupted,
            online,
            logins: run.logins.load(Ordering::Relaxed),
            account,
            paths: run.recorder.totals(),
            errors: run.errors(),
            stored: run.stored.load(Ordering::Relaxed),
            unsent: run.unsent.load(Ordering::Relaxed) + run.waiting(),
            seconds,
            nodes: run.nodes(),
            resources,
            ..Outcome::failed(run.plan.clone(), String::new())
        }
    }

    /// Logs everybody out.
    async fn leave(&mut self) {
        let run = self.run.clone();
        self.progress.phase("leaving", 0);
        run.users.iter().for_each(|user| user.wish(Wish::Gone, &run));
        run.over.cancel();
        let _ = tokio::time::timeout(LEAVE_PATIENCE, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
        self.progress.finish();
    }
}

/// How the waiting for what was on its way went.
struct Drained {
    seconds: f64,
    /// Something was still arriving.
    cut_short: bool,
}
