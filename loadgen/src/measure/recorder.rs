//! Latencies: one HDR histogram in microseconds per path, and a row per second for the plots.
//!
//! This is the truth of a run; whatever else shows figures gets them from here. Recording takes a short lock per path,
//! for as many latencies as there are, and no memory. Histograms keep three significant figures and can be added
//! exactly, across processes as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Slower than this counts as this.
const HIGHEST_MICROS: u64 = 600_000_000;
const SIGNIFICANT_FIGURES: u8 = 3;

/// What a latency is of; each is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
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

impl Path {
    pub const ALL: [Path; 9] = [
        Path::Login,
        Path::Ack,
        Path::Same,
        Path::Cross,
        Path::Direct,
        Path::GroupFirst,
        Path::GroupLast,
        Path::Drained,
        Path::Lateness,
    ];

    /// The name in results and assertions.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Login => "login",
            Path::Ack => "ack",
            Path::Same => "same",
            Path::Cross => "cross",
            Path::Direct => "direct",
            Path::GroupFirst => "group_first",
            Path::GroupLast => "group_last",
            Path::Drained => "drained",
            Path::Lateness => "lateness",
        }
    }

    /// What it measures, for a person.
    pub const fn title(self) -> &'static str {
        match self {
            Path::Login => "login",
            Path::Ack => "send → ack",
            Path::Same => "friend, same node",
            Path::Cross => "friend, cross node",
            Path::Direct => "friend",
            Path::GroupFirst => "group, first member",
            Path::GroupLast => "group, last member",
            Path::Drained => "offline, login → drained",
            Path::Lateness => "generator lateness",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Path::ALL.map(Path::name).join(", ");
        Path::ALL
            .into_iter()
            .find(|path| path.name() == text)
            .ok_or_else(|| format!("no path {text:?}; there are {}", known()))
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

/// One path within one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub count: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// What happened within one second of the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Where it began, in milliseconds from the start of the measured time.
    pub at_ms: u64,
    pub length_ms: u64,
    pub paths: BTreeMap<Path, Point>,
    pub sent: u64,
    pub delivered: u64,
}

/// Each latency is recorded once, in the second that it falls into; seconds add up exactly.
#[derive(Debug, Default)]
struct Track {
    earlier: Latencies,
    second: Latencies,
}

/// Takes latencies from any thread.
#[derive(Debug, Default)]
pub struct Recorder {
    tracks: [Mutex<Track>; Path::ALL.len()],
}

impl Recorder {
    /// Records `micros` under `path`.
    pub fn record(&self, path: Path, micros: u64) {
        self.record_all(path, &[micros]);
    }

    /// Records each of `micros` under `path`.
    pub fn record_all(&self, path: Path, micros: &[u64]) {
        let second = &mut self.tracks[path as usize].lock().second;
        micros.iter().for_each(|micros| second.record(*micros));
    }

    /// What was recorded since the last call, for the row of one second.
    pub fn take_second(&self) -> BTreeMap<Path, Point> {
        let mut points = BTreeMap::new();
        for path in Path::ALL {
            let Track { earlier, second } = &mut *self.tracks[path as usize].lock();
            if second.is_empty() {
                continue;
            }
            let at = |percentile| second.percentile(percentile);
            points.insert(path, Point { count: second.count(), p50: at(50.0), p99: at(99.0), max: second.max() });
            earlier.add(second);
            second.clear();
        }
        points
    }

    /// Everything recorded so far, without the paths that nothing took.
    pub fn totals(&self) -> BTreeMap<Path, Latencies> {
        let all = Path::ALL.into_iter().map(|path| (path, self.tracks[path as usize].lock().total()));
        all.filter(|(_, latencies)| !latencies.is_empty()).collect()
    }

    /// How many were recorded under `path`.
    pub fn count(&self, path: Path) -> u64 {
        let track = self.tracks[path as usize].lock();
        track.earlier.count() + track.second.count()
    }
}

impl Track {
    fn total(&self) -> Latencies {
        let mut total = self.earlier.clone();
        total.add(&self.second);
        total
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

    #[test]
    fn slow_and_fast_are_recorded_as_they_are() {
        let recorder = Recorder::default();
        for micros in [0, 1, 2_047, 2_048, 1_000_000, 60_000_000] {
            recorder.record(Path::Ack, micros);
            let (max, second) =
                (recorder.totals()[&Path::Ack].max() as f64, recorder.take_second()[&Path::Ack].max as f64);
            let expected = micros.max(1) as f64;
            assert!((expected..=expected * 1.001).contains(&max), "{max} {expected}");
            assert!((expected..=expected * 1.001).contains(&second), "{second} {expected}");
        }
    }

    #[test]
    fn a_second_starts_empty() {
        let recorder = Recorder::default();
        recorder.record(Path::Ack, 1_000);
        assert_eq!(recorder.take_second()[&Path::Ack].count, 1);
        assert!(recorder.take_second().is_empty());
        recorder.record_all(Path::Ack, &[1, 2]);
        assert_eq!((recorder.count(Path::Ack), recorder.totals()[&Path::Ack].count()), (3, 3));
    }
}
