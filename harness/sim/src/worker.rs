//! One schedule in a process of its own, which is what makes it go the same way every time: read from standard input,
//! lived through, and told on standard output. [`crate::Workers`] is the other end.
//!
//! It must be the first thing that its process does: tokio's chance counts the runtimes of a process.

use crate::{Reached, Schedule, run};
use anyhow::{Context, Result};
use judge::Verdict;
use judge::history::Entry;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::process::ExitCode;

/// What a worker is asked for.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub schedule: Schedule,
    /// The trace as text, too.
    pub keeps_trace: bool,
}

/// What came of a schedule, as far as anybody outside its process wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub problems: Vec<String>,
    /// Deliveries that were judged.
    pub deliveries: u64,
    /// Of all that happened.
    pub hash: u64,
    pub events: u64,
    /// How much time passed within.
    pub length_ms: u64,
    /// How often each fault struck, and each rare state was reached.
    pub reached: Reached,
    /// The history, where it is not valid.
    pub entries: Vec<Entry>,
    pub trace: Vec<String>,
}

/// Does what standard input asks for.
pub fn serve() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> Result<()> {
    #[cfg(feature = "failpoints")]
    chat::failpoint::set_from_environment()?;
    let order: Order = serde_json::from_reader(std::io::stdin().lock()).context("no order on standard input")?;
    let report = live(&order)?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    out.flush().context("cannot tell what came of it")
}

fn live(order: &Order) -> Result<Report> {
    let outcome = run(&order.schedule, order.keeps_trace)?;
    let verdict = outcome.verdict();
    Ok(Report {
        verdict,
        deliveries: outcome.deliveries(),
        hash: outcome.digest.hash,
        events: outcome.digest.events,
        length_ms: u64::try_from(outcome.length.as_millis()).unwrap_or(u64::MAX),
        reached: outcome.reached,
        entries: if verdict == Verdict::Valid { Vec::new() } else { outcome.entries },
        problems: outcome.problems,
        trace: outcome.trace,
    })
}
