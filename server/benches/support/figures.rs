//! What a bench has measured, kept for `ci/bench`, which compares it with an earlier run.

use std::fs::File;
use std::io::{Result, Write};

/// Names the file that figures are added to; nothing is kept without it.
const FILE: &str = "BENCH_FIGURES";

/// Keeps the value of each round, in a line of its own: name, unit, values.
pub fn keep(name: &str, unit: &str, rounds: impl IntoIterator<Item = f64>) -> Result<()> {
    let Some(file) = std::env::var_os(FILE) else { return Ok(()) };
    let values: Vec<String> = rounds.into_iter().map(|value| value.to_string()).collect();
    writeln!(File::options().append(true).create(true).open(file)?, "{name}\t{unit}\t{}", values.join(" "))
}
