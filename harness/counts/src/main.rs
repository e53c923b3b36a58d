//! `counts`: what a node does for each operation, counted: instructions, allocations, statements, commits, rows.
//!
//! Counts are the same on every machine, whatever else it does, so that continuous integration can hold a change to
//! them where times would only be noise. `counts` compares with the stored ones and fails if one rises by more than
//! [`stored::TOLERANCE`]; `counts --store` stores them. `ci/counts` builds and runs it; docs/performance.md tells what
//! each count says and what it does not.
//!
//! [`hot_paths`] are run twice: under a counting allocator, and each in a process of its own under valgrind, which is
//! this program again (`counts instructions NAME`). [`requests`] go through a whole node, on an engine that counts.

mod ageless;
mod allocations;
mod database;
mod hot_paths;
mod instructions;
mod people;
mod requests;
mod stored;
mod table;
mod world;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use stored::{Count, Stored, Unit};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// How often a hot path is run to be counted: what a map or a buffer does now and then is spread over all.
pub const ROUNDS: usize = 1_000;
/// Beside this package's manifest.
const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stored.txt");

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => compare(),
        ["--store"] => {
            let now = count_all()?;
            std::fs::write(STORED, now.to_string())?;
            println!("{} counts stored in {}", now.counts.len(), Path::new(STORED).display());
            Ok(ExitCode::SUCCESS)
        }
        ["instructions", name] => {
            instructions::run_counted(name)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("unknown arguments {arguments:?}; there is --store"),
    }
}

fn compare() -> Result<ExitCode> {
    let anew = "ci/counts --store writes it anew";
    let text = std::fs::read_to_string(STORED).with_context(|| format!("cannot read {STORED}; {anew}"))?;
    let stored = text.parse::<Stored>().with_context(|| format!("cannot use {STORED}; {anew}"))?;
    let comparison = stored.compare(&count_all()?);
    print!("{}", table::of(&comparison));
    Ok(if comparison.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count_all() -> Result<Stored> {
    let mut counts = requests::count()?;
    for name in hot_paths::names() {
        let per_run = |count: u64| (count as f64 / ROUNDS as f64 * 100.0).round() / 100.0;
        counts.push(Count { what: name.into(), unit: Unit::Allocations, value: per_run(allocations::of(name)?) });
        let instructions = per_run(instructions::of(name)?).round();
        counts.push(Count { what: name.into(), unit: Unit::Instructions, value: instructions });
    }
    Ok(Stored { compiler: instructions::compiler()?, counts })
}
