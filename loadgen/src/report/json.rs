//! The whole outcome as JSON, histograms included.

use crate::measure::Outcome;

/// What [`Outcome::load`] reads.
pub fn json(outcome: &Outcome) -> String {
    let mut text = serde_json::to_string_pretty(outcome).expect("an outcome has text keys");
    text.push('\n');
    text
}
