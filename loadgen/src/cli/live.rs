//! `--live`: the page that shows a run and steers it, for as long as the run lasts.

use crate::cluster;
use crate::live::{About, Address, Board, Ending, Hands, Live, Run};
use crate::measure::{Act, Outcome};
use crate::plan::{Driver, NodesAs, Plan};
use crate::report::{number, rate};
use crate::run::{Moment, Progress, Steering};
use anyhow::Result;
use std::sync::Arc;

/// The page of one run.
pub struct Show {
    board: Arc<Board<Run>>,
    /// Served until this is dropped.
    _live: Live,
}

impl Show {
    /// Serves the page, and says where; whoever opens it steers by `steering`.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub fn open(address: &Address, plan: &Plan, steering: &Steering) -> Result<Show> {
        let board = Arc::new(Board::new(Run::new(about(plan))));
        let wheel = Wheel { board: board.clone(), steering: steering.clone() };
        let live = Live::open(address, Run::page(), board.clone(), Arc::new(wheel))?;
        eprintln!("live: {}", live.url());
        Ok(Show { board, _live: live })
    }

    /// Tells the page as well what is told to `progress`.
    pub fn beside(&self, progress: Arc<dyn Progress>) -> Arc<dyn Progress> {
        Arc::new(Both { progress, board: self.board.clone() })
    }

    /// Shows what came of it, or why nothing did, to those who look, and ends.
    pub fn end(self, result: Result<&Outcome, &anyhow::Error>) {
        self.board.end(match result {
            Err(error) => Ending { verdict: "not run", reasons: vec![format!("{error:#}")], ..Ending::default() },
            Ok(outcome) => {
                let failed = outcome.assertions.iter().filter(|checked| !checked.holds).map(ToString::to_string);
                Ending {
                    verdict: outcome.verdict.name(),
                    reasons: outcome.reasons.iter().cloned().chain(failed).collect(),
                    notes: outcome.warnings.clone(),
                }
            }
        });
    }
}

fn about(plan: &Plan) -> About {
    let target = match plan.targets.as_slice() {
        [] => format!("embedded cluster of {} nodes", plan.nodes),
        targets => targets.join(", "),
    };
    let load = match plan.window {
        Some(window) => format!("closed model, {window} outstanding per stream"),
        None => format!("open model, {} messages/s", rate(plan.rate)),
    };
    let has_rate = plan.window.is_none() && plan.driver == Driver::Native && plan.rate > 0.0;
    let is_ours = plan.targets.is_empty() && cluster::place(plan) == NodesAs::Threads;
    About {
        title: format!("{target}: {} users, {load}, {} s", number(u64::from(plan.users)), plan.duration_s),
        mix: plan.mix_in_words(),
        users: plan.users,
        rate: has_rate.then_some(plan.rate),
        nodes: if is_ours { plan.nodes } else { 0 },
        duration_s: plan.duration_s,
    }
}

/// Steers, and shows what was done.
struct Wheel {
    board: Arc<Board<Run>>,
    steering: Steering,
}

impl Hands for Wheel {
    fn act(&self, json: &[u8]) -> Result<String, String> {
        let act: Act = serde_json::from_slice(json).map_err(|error| format!("nothing known: {error}"))?;
        let done = self.steering.act(act).map_err(|refused| refused.to_string())?;
        let told = done.to_string();
        self.board.done(done);
        Ok(told)
    }
}

struct Both {
    progress: Arc<dyn Progress>,
    board: Arc<Board<Run>>,
}

impl Progress for Both {
    fn phase(&self, name: &'static str, steps: u64) {
        self.progress.phase(name, steps);
        self.board.phase(name, steps);
    }

    fn advance(&self, steps: u64) {
        self.progress.advance(steps);
        self.board.advance(steps);
    }

    fn message(&self, text: String) {
        self.progress.message(text);
    }

    fn moment(&self, now: &dyn Fn() -> Moment) {
        self.progress.moment(now);
        self.board.moment(now());
    }

    fn finish(&self) {
        self.progress.finish();
    }
}
