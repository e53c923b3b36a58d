//! Latencies by kind, as HDR histograms in microseconds. They keep three significant figures and can be added exactly,
//! across processes as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Slower than this counts as this.
const HIGHEST_MICROS: u64 = 600_000_000;
const SIGNIFICANT_FIGURES: u8 = 3;

/// What a latency is of; each is kept apart.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumCount,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LatencyKind {
    /// From when the login was due to LOGIN_ACK, connecting included.
    Login,
    /// From when a message was due to its acknowledgement.
    Ack,
    /// To a friend on the sender's node.
    Same,
    /// To a friend on another node.
    Cross,
    /// To a friend, where nothing says which node either is on.
    Direct,
    /// To the first member of a group who has it.
    GroupFirst,
    /// To the last member.
    GroupLast,
    /// From when a user who was away began to log in until all that waited has arrived.
    Drained,
    /// Not the server's: how long after it was due the generator handed a message to the kernel.
    Lateness,
}

impl LatencyKind {
    /// From when a message was due until all who are to get it have it, or it is acknowledged: what people wait for.
    pub const OF_MESSAGES: [LatencyKind; 5] =
        [LatencyKind::Same, LatencyKind::Cross, LatencyKind::Direct, LatencyKind::GroupLast, LatencyKind::Ack];

    /// What it measures, for a person.
    pub const fn title(self) -> &'static str {
        match self {
            LatencyKind::Login => "login",
            LatencyKind::Ack => "send → ack",
            LatencyKind::Same => "friend, same node",
            LatencyKind::Cross => "friend, cross node",
            LatencyKind::Direct => "friend",
            LatencyKind::GroupFirst => "group, first member",
            LatencyKind::GroupLast => "group, last member",
            LatencyKind::Drained => "offline, login → drained",
            LatencyKind::Lateness => "generator lateness",
        }
    }
}

/// A histogram of microseconds that can be stored and added. In JSON: HdrHistogram's V2 format in base64.
#[derive(Clone, Debug, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let mut histogram = Histogram::new(SIGNIFICANT_FIGURES).expect("three figures are lawful");
        histogram.auto(true);
        Latencies(histogram)
    }
}

impl Latencies {
    pub fn record(&mut self, micros: u64) {
        self.0.record(micros.clamp(1, HIGHEST_MICROS)).expect("a histogram that resizes itself takes every value");
    }

    /// Adds all of `other`, exactly.
    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("a histogram that resizes itself takes every other");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The value in microseconds that `percentile` (0 to 100) of all are at or below; 0 if there are none.
    pub fn percentile(&self, percentile: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_percentile(percentile).min(self.0.max()) }
    }

    pub fn max(&self) -> u64 {
        self.0.max()
    }

    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    pub fn stdev(&self) -> f64 {
        self.0.stdev()
    }

    /// Each distinct value and how many had it, ascending.
    pub fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The histogram itself, for what is not offered here.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(Error::custom)?;
        let mut histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| Error::custom(format!("{error:?}")))?;
        histogram.auto(true);
        Ok(Latencies(histogram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_histograms_add_up_exactly() {
        let (mut one, mut other, mut both) = (Latencies::default(), Latencies::default(), Latencies::default());
        for value in 1..10_000 {
            let half = if value % 3 == 0 { &mut one } else { &mut other };
            half.record(value * 17);
            both.record(value * 17);
        }
        let stored = serde_json::to_string(&other).expect("a histogram can be stored");
        one.add(&serde_json::from_str(&stored).expect("and read back"));
        assert_eq!(one, both);
        assert_eq!(one.percentile(99.9), both.percentile(99.9));
    }
}
