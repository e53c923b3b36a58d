//! From a schedule that fails to a small one that fails the same way: fewer faults, then fewer steps, then fewer users
//! and nodes, then shorter times.
//!
//! What is left out moves all chance that comes after it, so that a smaller schedule may just miss the moment. Hence
//! each candidate is also tried with other seeds once its own leads no further.

use crate::Schedule;
use crate::ddmin::ddmin;
use crate::smaller;

/// Runs of a whole search. It ends with the smallest schedule that it knows by then.
pub const MOST_RUNS: usize = 800;
/// Of these, how many may go into shorter times, which is for the eye alone.
const RUNS_FOR_TIMES: usize = 160;
/// Seeds tried for each candidate beside its own.
const OTHER_SEEDS: u64 = 3;
/// A search that still finds something after so many rounds is left at that.
const MOST_ROUNDS: usize = 6;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    pub schedule: Schedule,
    pub runs: usize,
}

/// `first_failing` says which of several candidates is the first that fails as the schedule does, by its place.
pub async fn shrink(schedule: Schedule, first_failing: impl AsyncFnMut(&[Schedule]) -> Option<usize>) -> Shrunk {
    let mut search = Search { left: schedule, runs: 0, most: MOST_RUNS - RUNS_FOR_TIMES, seeds: 1, first_failing };
    for round in 0..MOST_ROUNDS {
        let before = search.left.clone();
        search.leave_out_faults().await;
        search.leave_out_steps().await;
        search.repeat(smaller::without_a_user).await;
        search.repeat(smaller::without_a_node).await;
        search.repeat(smaller::without_dialects).await;
        search.repeat(smaller::without_buses).await;
        if round > 0 && search.left == before {
            break;
        }
        search.seeds = 1 + OTHER_SEEDS;
    }
    (search.seeds, search.most) = (1, MOST_RUNS);
    search.repeat(smaller::with_shorter_times).await;
    Shrunk { schedule: search.left, runs: search.runs }
}

struct Search<F> {
    left: Schedule,
    runs: usize,
    most: usize,
    /// How many are tried for each candidate.
    seeds: u64,
    first_failing: F,
}

impl<F: AsyncFnMut(&[Schedule]) -> Option<usize>> Search<F> {
    async fn leave_out_faults(&mut self) {
        let faults = self.left.faults.clone();
        ddmin(faults, self.most, async |candidates| {
            let whole = self.left.clone();
            let with = |faults: &Vec<_>| Schedule { faults: faults.clone(), ..whole.clone() };
            self.take_first(candidates.iter().map(with).collect()).await
        })
        .await;
    }

    async fn leave_out_steps(&mut self) {
        let steps = self.left.steps.clone();
        ddmin(steps, self.most, async |candidates| {
            let whole = self.left.clone();
            let with = |steps: &Vec<_>| Schedule { steps: steps.clone(), ..whole.clone() };
            self.take_first(candidates.iter().map(with).collect()).await
        })
        .await;
    }

    /// Makes it smaller in one way until that leads no further.
    async fn repeat(&mut self, candidates: fn(&Schedule) -> Vec<Schedule>) {
        while self.take_first(candidates(&self.left)).await.is_some() {}
    }

    /// Goes on with the first candidate that fails, if there is one; its place.
    async fn take_first(&mut self, candidates: Vec<Schedule>) -> Option<usize> {
        let mut tries: Vec<Schedule> = Vec::new();
        for candidate in candidates {
            let seeds = candidate.seed..candidate.seed.saturating_add(self.seeds);
            tries.extend(seeds.map(|seed| Schedule { seed, ..candidate.clone() }));
        }
        tries.truncate(self.most.saturating_sub(self.runs));
        if tries.is_empty() {
            return None;
        }
        let place = (self.first_failing)(&tries).await;
        self.runs += place.map_or(tries.len(), |place| place + 1);
        let place = place?;
        self.left = tries.swap_remove(place);
        Some(place / self.seeds as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::schedule::{Breaking, Doing};

    /// Fails where somebody writes to the group while a node is paused that was crashed before.
    fn fails(schedule: &Schedule) -> bool {
        let crashed = schedule.faults.iter().find(|fault| matches!(fault.what, Breaking::Crash { .. }));
        schedule.faults.iter().any(|fault| {
            matches!(fault.what, Breaking::Pause { .. })
                && crashed.is_some_and(|crashed| crashed.at_ms < fault.at_ms)
                && schedule.steps.iter().any(|step| {
                    let during = fault.at_ms..=fault.at_ms + fault.length_ms;
                    matches!(step.what, Doing::WriteToGroup { .. }) && during.contains(&step.at_ms)
                })
        })
    }

    #[tokio::test]
    async fn guilty_steps_and_faults_are_left_at_short_times() {
        let seed = (1..).find(|seed| fails(&Schedule::from_seed(*seed, &Shape::default()))).expect("one of them does");
        let schedule = Schedule::from_seed(seed, &Shape::default());
        let shrunk = shrink(schedule, async |candidates: &[Schedule]| candidates.iter().position(fails)).await;
        let Shrunk { schedule: left, runs } = shrunk;
        assert!(fails(&left) && runs <= MOST_RUNS, "{left:?} after {runs} runs");
        assert_eq!((left.faults.len(), left.steps.len()), (2, 1), "{left:?}");
        // Each of the faults may need a node of its own.
        assert!(left.users == 2 && left.nodes <= 2, "{left:?}");
        assert!(left.steps[0].at_ms < 5_000, "{left:?}");
    }

    #[tokio::test]
    async fn search_ends_when_its_runs_are_used_up() {
        let mut runs = 0;
        let whole = Schedule::from_seed(1, &Shape::default());
        let shrunk = shrink(whole.clone(), async |candidates: &[Schedule]| {
            runs += candidates.len();
            None
        });
        let shrunk = shrunk.await;
        assert_eq!((shrunk.schedule, shrunk.runs), (whole, runs));
        assert!(runs <= MOST_RUNS);
    }
}
