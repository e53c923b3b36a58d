//! Latencies as percentile distributions in the text form that HdrHistogram's tools plot: in milliseconds, a file per
//! path.

use crate::measure::Latencies;
use std::fmt::Write;

/// Lines per halving of what lies above.
const TICKS_PER_HALVING: u32 = 5;
const MICROS_PER_MILLI: f64 = 1_000.0;

/// The distribution of one path.
pub fn hdr(latencies: &Latencies) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let histogram = latencies.histogram();
    // Writing to memory cannot fail.
    for step in histogram.iter_quantiles(TICKS_PER_HALVING) {
        let (value, quantile) = (step.value_iterated_to().min(latencies.max()), step.quantile_iterated_to());
        let count = histogram.count_between(0, value);
        let value = value as f64 / MICROS_PER_MILLI;
        let _ = match quantile < 1.0 {
            true => writeln!(text, "{value:>12.3} {quantile:2.12} {count:>10} {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text, "{value:>12.3} {quantile:2.12} {count:>10}"),
        };
    }
    let (mean, stdev) = (latencies.mean() / MICROS_PER_MILLI, latencies.stdev() / MICROS_PER_MILLI);
    let max = latencies.max() as f64 / MICROS_PER_MILLI;
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {stdev:>12.3}]");
    let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {:>12}]", latencies.count());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn a_distribution_ends_with_the_highest_value_and_the_whole_count() {
        let mut latencies = Latencies::default();
        (1..=10_000).for_each(|micros| latencies.record(micros * 10));
        assert_snapshot!("hdr", hdr(&latencies));
        assert_snapshot!("hdr_of_nothing", hdr(&Latencies::default()));
    }
}
