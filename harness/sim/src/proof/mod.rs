//! Shows that the simulator finds what it is there for: each bug that is built into the node ([`BUGS`]), by one of the
//! promises that it breaks, and after how many seeds.
//!
//! A seed finds a bug only if it is valid without it: what a bug has not broken does not prove that it is found. Each
//! run has a process of its own, since a failpoint holds for all of it.

mod bugs;
mod table;

pub use bugs::{BUGS, Bug, breaks};
pub use table::Table;

use crate::Outcome;
use anyhow::{Context, Result};
use clap::ValueEnum;
use judge::{Guarantee, Verdict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Between the first seeds of two starts: more than anybody looks at.
const BETWEEN_STARTS: u64 = 1_000_000;

/// What a run came to, as the worker program tells it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    is_valid: bool,
    /// The codes of the promises that were broken.
    broken: Vec<String>,
}

impl Told {
    pub fn of(outcome: &Outcome) -> Told {
        let broken = outcome.judgement.findings.iter().filter(|finding| finding.violated > 0);
        let broken = broken.map(|finding| finding.guarantee.code().to_owned()).collect();
        Told { is_valid: outcome.verdict() == Verdict::Valid, broken }
    }
}

/// Looks for bugs, with a program that is a node with failpoints and lives through the seed that it is called with.
pub struct Proof {
    pub worker: PathBuf,
    /// Where seeds are counted from: so many times for each bug.
    pub starts: u64,
    /// Seeds that are tried from each.
    pub most: u64,
    pub at_once: u64,
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
    pub fn new(worker: PathBuf) -> Proof {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        Proof { worker, starts: 1, most: 1_000, at_once }
    }

    /// Looks for the bug from each start.
    ///
    /// # Errors
    /// If the worker cannot be run, or does not come to an end.
    pub fn of(&self, bug: &Bug) -> Result<Vec<Option<Found>>> {
        (0..self.starts).map(|start| self.find(bug, start * BETWEEN_STARTS + 1)).collect()
    }

    fn find(&self, bug: &Bug, first: u64) -> Result<Option<Found>> {
        let (mut next, end) = (first, first + self.most);
        while next < end {
            let seeds = next..end.min(next + self.at_once);
            next = seeds.end;
            let started = seeds.map(|seed| Ok((seed, self.start(seed, bug, true)?))).collect::<Result<Vec<_>>>()?;
            let mut told = Vec::new();
            for (seed, child) in started {
                told.push((seed, finish(child).with_context(|| format!("seed {seed} with {}", bug.failpoint.name()))?));
            }
            for (seed, told) in told {
                let by = bug.breaks.iter().find(|promise| told.broken.iter().any(|code| code == promise.code()));
                if let Some(by) = by
                    && finish(self.start(seed, bug, false)?)?.is_valid
                {
                    return Ok(Some(Found { by: *by, seeds: seed - first + 1, seed }));
                }
            }
        }
        Ok(None)
    }

    fn start(&self, seed: u64, bug: &Bug, is_there: bool) -> Result<Child> {
        let workload = bug.workload.to_possible_value().context("a workload without a name")?;
        let strikes = if is_there { bug.strikes } else { "off" };
        let mut command = Command::new(&self.worker);
        command.arg(seed.to_string()).arg(workload.get_name()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("FAILPOINTS", format!("{}={strikes}", bug.failpoint.name()));
        command.spawn().with_context(|| format!("cannot start {}", self.worker.display()))
    }
}

fn finish(child: Child) -> Result<Told> {
    let output = child.wait_with_output().context("cannot wait for a process")?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("it did not come to an end: {}", output.status))
}
