//! Outcomes for people and programs: one file per form.

mod csv;
mod json;
mod junit;
mod markdown;
mod table;

pub use csv::csv;
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use table::table;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;

/// The forms of a result on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Table,
    Json,
    /// One row per path, times in microseconds
    Csv,
    Markdown,
}

/// Whether standard output takes colours: a terminal, and `NO_COLOR` is not set.
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Microseconds as a person reads them.
pub fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A number with its thousands apart.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        for (micros, text) in
            [(0, "0 µs"), (999, "999 µs"), (1_500, "1.50 ms"), (25_040, "25.0 ms"), (2_000_000, "2.00 s")]
        {
            assert_eq!(duration(micros), text);
        }
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
    }
}
