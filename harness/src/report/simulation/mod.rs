//! What came of simulations: a failure on one screen or one page, a whole run as JUnit XML.

mod junit;
mod page;
mod screen;
mod sheet;
mod timeline;

pub use junit::junit;
pub use page::page;
pub use screen::{found, progress, summary};

use judge::history::Entry;
use sim::{Failure, Lived, Schedule};

/// A schedule that failed, and what was found of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// As it was made from its seed, or read.
    pub whole: Schedule,
    /// As small as the search made it.
    pub left: Schedule,
    /// Runs of the search; 0 where there was none.
    pub runs: usize,
    /// What became of the smaller one.
    pub failure: Failure,
    pub lived: Lived,
    /// The command that shows it again.
    pub again: String,
}

impl Found {
    fn entries(&self) -> &[Entry] {
        match &self.lived {
            Lived::Told(report) => &report.entries,
            Lived::Died(_) | Lived::Hung => &[],
        }
    }

    /// What of the schedule it took.
    fn size(&self) -> String {
        let (whole, left) = (&self.whole, &self.left);
        let all = |schedule: &Schedule| {
            let Schedule { faults, steps, users, nodes, .. } = schedule;
            format!("{} faults, {} steps, {users} users, {nodes} nodes", faults.len(), steps.len())
        };
        match self.runs {
            0 => all(whole),
            runs => format!(
                "{} of {} faults, {} of {} steps, {} of {} users, {} of {} nodes, found in {runs} runs",
                left.faults.len(),
                whole.faults.len(),
                left.steps.len(),
                whole.steps.len(),
                left.users,
                whole.users,
                left.nodes,
                whole.nodes
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
