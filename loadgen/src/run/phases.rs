//! The phases of a run: accounts, logins, friends and groups, measuring, draining, last logins, leaving.

use super::error::{Error, Failure};
use super::last_login;
use super::progress::Progress;
use super::sending::Sending;
use super::setup;
use super::steering::Steering;
use super::storms::{candidates, storms};
use super::usage::{memory_bytes, nodes_memory_bytes};
use super::watch::{self, Meter};
use crate::cluster::Nodes;
use crate::measure::{Outcome, Resources, Second};
use crate::user::accounts::{self, Book};
use crate::user::{self, Run, Wish};
use judge::history::Event;
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

/// A run on its way through its phases.
pub(super) struct Phases<'a> {
    run: Arc<Run>,
    nodes: Nodes,
    progress: &'a dyn Progress,
    steering: Steering,
    /// The users', and what looks after them.
    tasks: JoinSet<()>,
}

impl<'a> Phases<'a> {
    pub fn new(run: Arc<Run>, nodes: Nodes, progress: &'a dyn Progress, steering: Steering) -> Self {
        Phases { run, nodes, progress, steering, tasks: JoinSet::new() }
    }

    pub async fn go(mut self) -> Result<Outcome, Failure> {
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
            () = self.steering.interrupt().cancelled() => return Err(Failure::Interrupted),
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
                    () = self.steering.interrupt().cancelled() => return Err(Failure::Interrupted),
                }
            }
            self.tasks.spawn(user::live(user.clone(), run.clone()));
            run.wish(user, Wish::Online);
        }
        let patience = begun + ramp + run.plan.connect_timeout() + run.plan.patience();
        while run.online.load(Ordering::Relaxed) < run.plan.users && tokio::time::Instant::now() < patience {
            if self.steering.interrupt().is_cancelled() {
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
            () = self.steering.interrupt().cancelled() => return Err(Failure::Interrupted),
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

    /// The time set for all who measure together, in milliseconds since the Unix epoch, if there is one.
    async fn start(&self) -> Result<Option<i64>, Failure> {
        let Some(gate) = self.steering.gate() else { return Ok(self.run.plan.start_at_ms) };
        self.progress.phase("waiting for other shards", 0);
        tokio::select! {
            start = gate.pass() => start.map(Some).map_err(|why| Error::Together(why).into()),
            () = self.steering.interrupt().cancelled() => Err(Failure::Interrupted),
        }
    }

    /// Waits for the time set for all who measure together; where it is past, begins at once.
    async fn wait_for_start(&self) -> Result<(), Failure> {
        let Some(start) = self.start().await? else { return Ok(()) };
        let left = start.saturating_sub(jiff::Timestamp::now().as_millisecond());
        self.progress.phase("waiting to start", 0);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(left.try_into().unwrap_or(0))) => Ok(()),
            () = self.steering.interrupt().cancelled() => Err(Failure::Interrupted),
        }
    }

    async fn measure(&mut self) -> Result<Outcome, Failure> {
        // What ends the measured time: somebody's interrupt, or a driver that ends early.
        let cut = self.steering.interrupt().child_token();
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
        let candidates = candidates(&run);
        let asked_for = self.steering.begin(&run, candidates.len());
        acts.spawn(storms(run.clone(), candidates, asked_for));
        for place in 0..run.casts.len() {
            let run = run.clone();
            acts.spawn(async move {
                let cast = &run.casts[place];
                cast.kind.act(&cast.actors, &*run).await;
            });
        }
        let seconds = self.watch(&mut meter, end, &cut).await;
        let measured_s = meter.elapsed_s();
        let interrupted = cut.is_cancelled();
        let interventions = self.steering.end();
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
        Ok(Outcome { measured_from_ms, thresholds, interventions, ..outcome })
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
                self.progress.moment(&|| watch::moment(&self.run, &second));
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
            latencies: run.recorder.totals(),
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
        run.users.iter().for_each(|user| run.wish(user, Wish::Gone));
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
