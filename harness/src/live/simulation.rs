//! What is shown of a run of the simulator.

use super::open;
use loadgen::live::{Address, Audience, Board, Ending, Error, Live, Moments};
use serde::Serialize;
use sim::campaign::Tally;
use sim::{MOST_RUNS, Schedule};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the tally. Each makes a moment.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Failures that are shown; with --keep-going each seed can be one. The others are counted, and shown only once they
/// were made small.
const MAX_FAILED: usize = 100;

/// What is to be lived through, for a person who looks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    pub command: String,
    /// `None`: as many as fit into the time.
    pub seeds: Option<u64>,
    pub minutes: Option<f64>,
}

/// All there is to show.
#[derive(Debug, Default, Serialize)]
struct Simulation {
    about: About,
    standing: Standing,
    moments: Moments<Moment>,
    failed: Vec<Failed>,
    search: Option<Search>,
    is_stopped: bool,
    ending: Option<Ending>,
    /// Up to here the moments go.
    #[serde(skip)]
    seen: Seen,
}

/// The tally, in figures.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Standing {
    schedules: u64,
    twice: u64,
    deliveries: u64,
    faults: u64,
    virtual_hours: f64,
    failed: usize,
    to_reach: usize,
    missing: Vec<String>,
}

/// What was lived through since the moment before.
#[derive(Debug, Serialize)]
struct Moment {
    at_ms: u64,
    length_ms: u64,
    schedules: u64,
    faults: u64,
}

/// A seed that failed.
#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    what: String,
    /// The command that shows it again.
    again: String,
    /// What is left of the schedule, once that was made small.
    left: Option<String>,
}

/// Where the search for a smaller schedule stands.
#[derive(Debug, Serialize)]
struct Search {
    seed: u64,
    runs: usize,
    most: usize,
    left: String,
}

#[derive(Debug, Default)]
struct Seen {
    after: Duration,
    schedules: u64,
    faults: u64,
}

/// The page of one run; served until this is dropped.
pub struct Page {
    board: Arc<Board<Simulation>>,
    live: Live,
}

impl Page {
    /// Serves the page, and says where.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn open(address: &Address, about: About) -> Result<Page, Error> {
        let board = Arc::new(Board::new(Simulation { about, ..Simulation::default() }));
        let steered = board.clone();
        let stop = move || steered.show(Simulation::stop);
        let live = open(address, "harness sim", include_str!("simulation.js"), &board, stop)?;
        Ok(Page { board, live })
    }

    /// What to open in a browser.
    pub fn url(&self) -> &str {
        self.live.url()
    }

    /// One more seed was lived through.
    pub fn lived(&self, tally: &Tally) {
        self.board.show(|run, audience| run.lived(tally, audience));
    }

    /// A viewer wants no further seed to begin.
    pub fn is_enough(&self) -> bool {
        self.board.read(|run| run.is_stopped)
    }

    /// A seed failed, as the tally says already; `again` shows it.
    pub fn failed(&self, tally: &Tally, seed: u64, what: String, again: String) {
        let failed = Failed { seed, what, again, left: None };
        self.board.show(|run, audience| run.fail(tally, failed, audience));
    }

    /// The search for a smaller schedule has taken so many runs; `left` fails as well.
    pub fn searches(&self, seed: u64, runs: usize, left: &Schedule) {
        self.board.show(|run, audience| {
            run.search = Some(Search { seed, runs, most: MOST_RUNS, left: size(left) });
            audience.tell("search", &run.search);
        });
    }

    /// So much is left of a seed's schedule; `again` shows it.
    pub fn found(&self, seed: u64, what: String, left: &Schedule, again: String) {
        let found = Failed { seed, what, again, left: Some(size(left)) };
        self.board.show(|run, audience| run.find(found, audience));
    }

    /// Shows what came of it, and lets nobody in any more.
    pub fn end(&self, tally: Option<&Tally>, ending: Ending) {
        self.board.show(|run, audience| {
            run.end(tally, ending, audience);
            audience.close();
        });
    }
}

impl Simulation {
    fn stop(&mut self, audience: &mut Audience) -> Result<String, String> {
        let is_all_begun = self.search.is_some() || self.about.seeds == Some(self.standing.schedules);
        if self.is_stopped || is_all_begun || self.ending.is_some() {
            return Err("no further seed will begin anyway".into());
        }
        self.is_stopped = true;
        audience.tell("is_stopped", &true);
        Ok("the seeds under way are lived through to their end; no further one begins".into())
    }

    fn lived(&mut self, tally: &Tally, audience: &mut Audience) {
        let length = tally.took.saturating_sub(self.seen.after);
        if length < LOOK_EVERY {
            return;
        }
        let (schedules, faults) = (tally.schedules, tally.faults());
        let moment = Moment {
            at_ms: self.seen.after.as_millis() as u64,
            length_ms: length.as_millis() as u64,
            schedules: schedules - self.seen.schedules,
            faults: faults - self.seen.faults,
        };
        self.seen = Seen { after: tally.took, schedules, faults };
        audience.tell("moment", &moment);
        self.moments.add(moment);
        self.stand(tally, audience);
    }

    fn fail(&mut self, tally: &Tally, failed: Failed, audience: &mut Audience) {
        if self.failed.len() < MAX_FAILED {
            self.failed.push(failed);
            // The next look may be far: a failure can end the run.
            self.stand(tally, audience);
            audience.tell("failed", &self.failed);
        }
    }

    fn find(&mut self, found: Failed, audience: &mut Audience) {
        self.search = None;
        audience.tell("search", &self.search);
        match self.failed.iter_mut().find(|failed| failed.seed == found.seed) {
            Some(failed) => *failed = found,
            None => self.failed.push(found),
        }
        audience.tell("failed", &self.failed);
    }

    fn end(&mut self, tally: Option<&Tally>, ending: Ending, audience: &mut Audience) {
        if let Some(tally) = tally {
            self.stand(tally, audience);
        }
        // Nothing is left out where a viewer asked after the last seed had begun, or a failure had ended the run.
        self.is_stopped = tally.is_some_and(|tally| tally.stopped_short_of.is_some());
        audience.tell("is_stopped", &self.is_stopped);
        audience.tell("end", &ending);
        self.ending = Some(ending);
    }

    fn stand(&mut self, tally: &Tally, audience: &mut Audience) {
        self.standing = Standing {
            schedules: tally.schedules,
            twice: tally.canaries,
            deliveries: tally.deliveries,
            faults: tally.faults(),
            virtual_hours: tally.length_ms as f64 / 3.6e6,
            failed: tally.failed.len(),
            to_reach: tally.to_reach.len(),
            missing: tally.reached.missing(&tally.to_reach),
        };
        audience.tell("standing", &self.standing);
    }
}

fn size(schedule: &Schedule) -> String {
    let Schedule { faults, steps, users, nodes, .. } = schedule;
    format!("{} faults, {} steps, {users} users, {nodes} nodes", faults.len(), steps.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::simulation::samples;
    use serde_json::{Value, json};
    use sim::campaign::Asked;

    fn run() -> Board<Simulation> {
        let about = About { command: "harness sim".into(), seeds: Some(5_000), minutes: None };
        Board::new(Simulation { about, ..Simulation::default() })
    }

    fn failed(seed: u64) -> Failed {
        Failed { seed, what: "hangs".into(), again: "harness sim".into(), left: None }
    }

    fn shown(board: &Board<Simulation>) -> Value {
        board.read(|run| json!(run))
    }

    #[test]
    fn a_look_at_the_tally_is_a_moment_and_says_what_is_missing() {
        let (board, mut tally) = (run(), samples::tally());
        tally.took = Duration::from_millis(1_500);
        board.show(|run, audience| run.lived(&tally, audience));
        tally.took = Duration::from_millis(2_000);
        tally.schedules += 1;
        board.show(|run, audience| run.lived(&tally, audience));

        let shown = shown(&board);
        let moments = json!([{ "at_ms": 0, "length_ms": 1_500, "schedules": 2_234, "faults": 2_468 }]);
        assert_eq!(shown["moments"], moments, "half a second later is too soon");
        assert_eq!(shown["standing"]["missing"], json!(["fault: stall"]));
        assert_eq!((&shown["standing"]["failed"], &shown["standing"]["to_reach"]), (&json!(1), &json!(2)));
    }

    #[test]
    fn an_end_is_asked_for_once_and_while_there_is_something_to_end() {
        let board = run();
        let stop = || board.show(Simulation::stop);
        assert!(stop().is_ok() && stop().is_err());
        assert_eq!(shown(&board)["is_stopped"], true);
        let over = run();
        over.show(|run, _| run.standing.schedules = 5_000);
        assert!(over.show(Simulation::stop).is_err());
    }

    #[test]
    fn only_what_was_left_out_by_hand_is_called_stopped_in_the_end() {
        for (stopped_short_of, is_stopped) in [(None, false), (Some(Asked::Seeds(5_000)), true)] {
            let (board, tally) = (run(), Tally { stopped_short_of, ..samples::tally() });
            board.show(Simulation::stop).expect("seeds are to come");
            board.show(|run, audience| run.end(Some(&tally), Ending::default(), audience));
            assert_eq!(shown(&board)["is_stopped"], is_stopped);
        }
    }

    #[test]
    fn a_failure_comes_with_the_tally() {
        let (board, tally) = (run(), samples::tally());
        board.show(|run, audience| run.fail(&tally, failed(7), audience));
        assert_eq!(shown(&board)["standing"]["failed"], 1);
        assert_eq!(shown(&board)["standing"]["schedules"], tally.schedules);
    }

    #[test]
    fn failures_that_are_shown_are_bounded_and_what_was_made_small_is_among_them() {
        let (board, tally) = (run(), samples::tally());
        for seed in 0..2 * MAX_FAILED as u64 {
            board.show(|run, audience| run.fail(&tally, failed(seed), audience));
        }
        assert_eq!(board.read(|run| run.failed.len()), MAX_FAILED);
        let small = |seed| Failed { left: Some("0 faults".into()), ..failed(seed) };
        board.show(|run, audience| [3, 150].map(|seed| run.find(small(seed), audience)));
        let made_small: Vec<u64> =
            board.read(|run| run.failed.iter().filter(|one| one.left.is_some()).map(|one| one.seed).collect());
        assert_eq!((made_small, board.read(|run| run.failed.len())), (vec![3, 150], MAX_FAILED + 1));
    }
}
