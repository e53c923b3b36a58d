//! One row per path, for spreadsheets and scripts: times in whole microseconds.

use crate::outcome::Outcome;
use std::fmt::Write;

/// The percentiles that rows have, as in the table.
const PERCENTILES: [(&str, f64); 4] = [("p50_us", 50.0), ("p90_us", 90.0), ("p99_us", 99.0), ("p99_9_us", 99.9)];

/// The latencies; then the counts of messages, under a path `messages` each.
pub fn csv(outcome: &Outcome) -> String {
    let mut text = format!("path,count,rate_per_s,{},max_us\n", PERCENTILES.map(|(name, _)| name).join(","));
    for (path, latencies) in &outcome.paths {
        let rate = latencies.count() as f64 / outcome.measured_s.max(f64::MIN_POSITIVE);
        let values = PERCENTILES.map(|(_, percentile)| latencies.percentile(percentile).to_string()).join(",");
        writeln!(text, "{path},{},{rate:.1},{values},{}", latencies.count(), latencies.max())
            .expect("writing to memory cannot fail");
    }
    for (name, count) in outcome.account.counts() {
        writeln!(text, "messages.{name},{count},,,,,,").expect("writing to memory cannot fail");
    }
    text
}
