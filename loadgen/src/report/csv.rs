//! One row per path, for spreadsheets and scripts; latencies in microseconds. Counts of the account follow as rows with
//! a count only, so that one file holds both.

use crate::measure::{LatencyKind, Outcome};
use std::fmt::Write;
use strum::IntoEnumIterator;

/// The header of the rows.
const HEADER: &str = "metric,count,rate_per_s,mean_us,p50_us,p90_us,p99_us,p99_9_us,max_us";
/// Fields that a count leaves empty.
const EMPTY: &str = ",,,,,,,";

/// The outcome as CSV.
pub fn csv(outcome: &Outcome) -> String {
    let mut text = format!("{HEADER}\n");
    for kind in LatencyKind::iter() {
        let Some(latencies) = outcome.latencies.get(&kind) else { continue };
        let rate = latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE);
        // Writing to memory cannot fail.
        let _ = write!(text, "{kind},{},{rate:.1},{:.1}", latencies.count(), latencies.mean());
        for percentile in [50.0, 90.0, 99.0, 99.9] {
            let _ = write!(text, ",{}", latencies.percentile(percentile));
        }
        let _ = writeln!(text, ",{}", latencies.max());
    }
    for (name, count) in outcome.account.counts() {
        let _ = writeln!(text, "{name},{count}{EMPTY}");
    }
    let _ = writeln!(text, "unsent,{}{EMPTY}", outcome.unsent);
    for (kind, count) in &outcome.errors {
        let _ = writeln!(text, "{},{count}{EMPTY}", quote(&format!("error: {kind}")));
    }
    text
}

/// A field that may hold anything. One that a spreadsheet would take for a formula gets an apostrophe.
pub(super) fn quote(field: &str) -> String {
    let harmless =
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() };
    if harmless.contains([',', '"', '\n', '\r']) { format!("\"{}\"", harmless.replace('"', "\"\"")) } else { harmless }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::outcome;

    #[test]
    fn every_row_has_every_field() {
        insta::assert_snapshot!(csv(&outcome()));
    }

    #[test]
    fn fields_may_hold_anything() {
        for (field, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=1+1", "'=1+1"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quote(field), expected);
        }
    }
}
