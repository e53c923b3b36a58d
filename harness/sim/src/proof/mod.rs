//! Shows that the simulator finds what it is there for: each bug that is built into the node ([`BUGS`]), by one of the
//! promises that it breaks, and after how many seeds.
//!
//! A seed finds a bug only if it is valid without it: what a bug has not broken does not prove that it is found. Each
//! run has a process of its own, since a failpoint holds for all of it.

mod bugs;
mod table;

pub use bugs::{BUGS, Bug, breaks};
pub use table::Table;

use crate::{Failure, Lived, Schedule, Shape, Workers};
use anyhow::{Result, bail};
use judge::Guarantee;
use std::path::PathBuf;

/// Between the first seeds of two starts: more than anybody looks at.
const BETWEEN_STARTS: u64 = 1_000_000;

/// Looks for bugs.
pub struct Proof {
    /// Of a node with failpoints.
    pub workers: Workers,
    /// Where seeds are counted from: so many times for each bug.
    pub starts: u64,
    /// Seeds that are tried from each.
    pub most: u64,
}

/// Where a bug was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub by: Guarantee,
    /// How many seeds it took.
    pub seeds: u64,
    pub seed: u64,
}

impl Proof {
    /// With this worker, from one start.
    pub fn new(worker: PathBuf) -> Proof {
        Proof { workers: Workers::of(worker), starts: 1, most: 1_000 }
    }

    /// Looks for the bug from each start.
    ///
    /// # Errors
    /// If the worker cannot be run, or does not come to an end.
    pub async fn of(&self, bug: &Bug) -> Result<Vec<Option<Found>>> {
        let mut found = Vec::new();
        for start in 0..self.starts {
            found.push(self.find(bug, start * BETWEEN_STARTS + 1).await?);
        }
        Ok(found)
    }

    async fn find(&self, bug: &Bug, first: u64) -> Result<Option<Found>> {
        let (with, without) = (self.workers(bug, bug.strikes), self.workers(bug, "off"));
        let schedule = |seed| Schedule::from_seed(seed, &Shape { workload: bug.workload, ..Shape::default() });
        let (mut next, end) = (first, first.saturating_add(self.most));
        while next < end {
            let is_over = |lived: &Lived| bug.broken_in(lived).is_some() || !matches!(lived, Lived::Told(_));
            let Some((place, lived)) = with.first_that((next..end).map(schedule), is_over).await? else { break };
            let seed = next + place as u64;
            let Some(by) = bug.broken_in(&lived) else {
                bail!("seed {seed} with {} does not come to an end: {lived:?}", bug.failpoint.name());
            };
            if Failure::of(&without.live(&schedule(seed), false).await?).is_none() {
                return Ok(Some(Found { by, seeds: seed - first + 1, seed }));
            }
            next = seed + 1;
        }
        Ok(None)
    }

    fn workers(&self, bug: &Bug, strikes: &str) -> Workers {
        let failpoints = format!("{}={strikes}", bug.failpoint.name());
        Workers { environment: vec![("FAILPOINTS".into(), failpoints)], ..self.workers.clone() }
    }
}
