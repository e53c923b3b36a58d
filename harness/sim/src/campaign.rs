//! Many seeds, one after the other, on all cores: what became of them, and what they reached.

use crate::coverage::{self, name_of_fault};
use crate::failure::Failure;
use crate::schedule::Breaking;
use crate::workers::{Lived, Workers};
use crate::{Reached, Schedule, Shape};
use anyhow::Result;
use futures_util::{StreamExt, stream};
use judge::Verdict;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::{Duration, Instant};
use strum::VariantNames;

/// One seed in so many is lived through twice, and the traces compared.
pub const CANARY: u64 = 100;
/// Below so many schedules it says nothing that a rare state was not reached.
pub const ENOUGH_TO_REACH_ALL: u64 = 2_000;

/// What is to be lived through.
#[derive(Clone, Debug)]
pub struct Plan {
    pub from: u64,
    pub seeds: Asked,
    pub shape: Shape,
    /// No further seed is begun after it.
    pub time: Option<Duration>,
    pub keeps_going: bool,
}

/// How many seeds are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Seeds(u64),
    /// Into the time of the plan.
    AsManyAsFit,
}

impl Asked {
    /// `None` where nobody knows beforehand.
    pub fn count(self) -> Option<u64> {
        match self {
            Asked::Seeds(count) => Some(count),
            Asked::AsManyAsFit => None,
        }
    }
}

/// What came of it so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    /// Lived through twice, with the same trace.
    pub canaries: u64,
    /// Deliveries that were judged.
    pub deliveries: u64,
    /// Virtual time in all.
    pub length_ms: u64,
    /// What enough schedules must reach.
    pub to_reach: Vec<String>,
    pub reached: Reached,
    pub failed: Vec<Failed>,
    pub took: Duration,
    /// What was asked for, where `progress` broke off before that.
    pub stopped_short_of: Option<Asked>,
}

/// A schedule that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    pub schedule: Schedule,
    pub failure: Failure,
    pub lived: Lived,
}

impl Tally {
    /// Whether there were enough schedules to ask that they reach everything.
    pub fn is_to_reach_all(&self) -> bool {
        self.schedules >= ENOUGH_TO_REACH_ALL
    }

    /// What no schedule reached, where there were enough of them to say so.
    pub fn never_reached(&self) -> Vec<String> {
        if self.is_to_reach_all() { self.reached.missing(&self.to_reach) } else { Vec::new() }
    }

    /// Faults that struck while it mattered.
    pub fn faults(&self) -> u64 {
        Breaking::VARIANTS.iter().map(|fault| self.reached.of(&name_of_fault(fault))).sum()
    }

    pub fn verdict(&self) -> Verdict {
        let worst = self.failed.iter().map(|failed| failed.failure.verdict()).max();
        match worst.unwrap_or(Verdict::Valid) {
            Verdict::Valid if self.deliveries == 0 || !self.never_reached().is_empty() => Verdict::Unknown,
            verdict => verdict,
        }
    }

    pub fn per_second(&self) -> f64 {
        self.schedules as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// One more schedule, and each of the lives that it was lived.
    pub fn add(&mut self, schedule: Schedule, lives: &[Lived]) {
        self.schedules += 1;
        let Some(first) = lives.first() else { return };
        if let Lived::Told(report) = first {
            self.deliveries += report.deliveries;
            self.length_ms += report.length_ms;
            self.reached.merge(&report.reached);
        }
        let is_same = lives.iter().all(|other| other == first);
        self.canaries += u64::from(is_same && lives.len() > 1);
        let failure = Failure::of(first).or((!is_same).then_some(Failure::Strayed));
        if let Some(failure) = failure {
            self.failed.push(Failed { schedule, failure, lived: first.clone() });
        }
    }
}

/// Lives through the seeds in order until one fails, or all of them. `progress` sees what became of each, and of all so
/// far; where it breaks off, the seeds under way are lived through to their end, and no further one is begun.
///
/// # Errors
/// If no worker can be started.
pub async fn run(
    plan: &Plan,
    workers: &Workers,
    mut progress: impl FnMut(&Tally, u64, &Lived) -> ControlFlow<()>,
) -> Result<Tally> {
    let to_reach = coverage::names(plan.shape.workload);
    let (began, mut tally) = (Instant::now(), Tally { to_reach, ..Tally::default() });
    let is_time = || plan.time.is_none_or(|time| began.elapsed() < time);
    let (is_enough, was_more) = (Cell::new(false), Cell::new(false));
    // Asked only where a seed is left, and time for it: one that is not begun is left out by hand.
    let goes_on = |_: &u64| {
        was_more.set(is_enough.get());
        !is_enough.get()
    };
    let end = plan.from.saturating_add(plan.seeds.count().unwrap_or(u64::MAX));
    let seeds = (plan.from..end).take_while(|_| is_time()).take_while(goes_on);
    // One more than there are cores: who waits for an earlier one keeps no core idle.
    let lives = stream::iter(seeds).map(|seed| live(plan, workers, seed)).buffered(workers.at_once.max(1) + 1);
    let mut lives = pin!(lives);
    while let Some(lived) = lives.next().await {
        let (schedule, lives) = lived?;
        let seed = schedule.seed;
        tally.add(schedule, &lives);
        tally.took = began.elapsed();
        if lives.first().is_some_and(|lived| progress(&tally, seed, lived).is_break()) {
            is_enough.set(true);
        }
        if !tally.failed.is_empty() && !plan.keeps_going {
            break;
        }
    }
    tally.stopped_short_of = was_more.get().then_some(plan.seeds);
    Ok(tally)
}

async fn live(plan: &Plan, workers: &Workers, seed: u64) -> Result<(Schedule, Vec<Lived>)> {
    let schedule = Schedule::from_seed(seed, &plan.shape);
    let times = if seed.is_multiple_of(CANARY) { 2 } else { 1 };
    let mut lives = Vec::new();
    for _ in 0..times {
        lives.push(workers.live(&schedule, false).await?);
    }
    Ok((schedule, lives))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Report;

    fn schedule(seed: u64) -> Schedule {
        Schedule::from_seed(seed, &Shape::default())
    }

    fn report(verdict: Verdict, hash: u64) -> Lived {
        let mut reached = Reached::default();
        reached.add("fault: crash", 2);
        Lived::Told(Report {
            verdict,
            problems: Vec::new(),
            deliveries: 1,
            hash,
            events: 1,
            length_ms: 30_000,
            reached,
            entries: Vec::new(),
            trace: Vec::new(),
        })
    }

    #[test]
    fn two_traces_of_one_seed_must_be_equal() {
        let mut tally = Tally::default();
        tally.add(schedule(1), &[report(Verdict::Valid, 7), report(Verdict::Valid, 7)]);
        assert_eq!((tally.canaries, tally.verdict()), (1, Verdict::Valid));
        tally.add(schedule(2), &[report(Verdict::Valid, 7), report(Verdict::Valid, 8)]);
        assert_eq!((tally.canaries, tally.verdict()), (1, Verdict::Invalid));
        assert_eq!(tally.failed[0].failure, Failure::Strayed);
        assert_eq!(tally.faults(), 4);
    }

    #[test]
    fn schedules_in_which_nothing_was_owed_prove_nothing() {
        let silent = match report(Verdict::Valid, 7) {
            Lived::Told(report) => Lived::Told(Report { deliveries: 0, ..report }),
            other => other,
        };
        let mut tally = Tally::default();
        tally.add(schedule(1), &[silent]);
        assert_eq!(tally.verdict(), Verdict::Unknown);
        tally.add(schedule(2), &[report(Verdict::Valid, 7)]);
        assert_eq!(tally.verdict(), Verdict::Valid);
    }

    #[test]
    fn nothing_lived_through_is_not_valid_and_one_that_died_is_a_failure() {
        let mut tally = Tally::default();
        assert_eq!(tally.verdict(), Verdict::Unknown);
        tally.add(schedule(1), &[Lived::Died("thread 'main' panicked at a.rs:1:1:".into())]);
        assert_eq!(tally.verdict(), Verdict::Invalid);
    }
}
