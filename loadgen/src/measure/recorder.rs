//! Takes latencies from any thread: one histogram for each kind, and a row per second for the plots.
//!
//! This is the truth of a run; whatever else shows figures gets them from here. Recording takes a short lock per kind,
//! for as many latencies as there are, and no memory.

use super::latency::{Latencies, LatencyKind};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{EnumCount, IntoEnumIterator};

/// Latencies of one kind within one second.
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
    #[serde(rename = "paths")]
    pub latencies: BTreeMap<LatencyKind, Point>,
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
    tracks: [Mutex<Track>; LatencyKind::COUNT],
}

impl Recorder {
    /// Records `micros` under `kind`.
    pub fn record(&self, kind: LatencyKind, micros: u64) {
        self.record_all(kind, &[micros]);
    }

    /// Records each of `micros` under `kind`.
    pub fn record_all(&self, kind: LatencyKind, micros: &[u64]) {
        let second = &mut self.tracks[kind as usize].lock().second;
        micros.iter().for_each(|micros| second.record(*micros));
    }

    /// What was recorded since the last call, for the row of one second.
    pub fn take_second(&self) -> BTreeMap<LatencyKind, Point> {
        let mut points = BTreeMap::new();
        for kind in LatencyKind::iter() {
            let Track { earlier, second } = &mut *self.tracks[kind as usize].lock();
            if second.is_empty() {
                continue;
            }
            let at = |percentile| second.percentile(percentile);
            points.insert(kind, Point { count: second.count(), p50: at(50.0), p99: at(99.0), max: second.max() });
            earlier.add(second);
            second.clear();
        }
        points
    }

    /// Everything recorded so far, without the kinds that there were none of.
    pub fn totals(&self) -> BTreeMap<LatencyKind, Latencies> {
        let all = LatencyKind::iter().map(|kind| (kind, self.tracks[kind as usize].lock().total()));
        all.filter(|(_, latencies)| !latencies.is_empty()).collect()
    }

    /// How many were recorded under `kind`.
    pub fn count(&self, kind: LatencyKind) -> u64 {
        let track = self.tracks[kind as usize].lock();
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
    fn slow_and_fast_are_recorded_as_they_are() {
        let recorder = Recorder::default();
        for micros in [0, 1, 2_047, 2_048, 1_000_000, 60_000_000] {
            recorder.record(LatencyKind::Ack, micros);
            let (max, second) = (
                recorder.totals()[&LatencyKind::Ack].max() as f64,
                recorder.take_second()[&LatencyKind::Ack].max as f64,
            );
            let expected = micros.max(1) as f64;
            assert!((expected..=expected * 1.001).contains(&max), "{max} {expected}");
            assert!((expected..=expected * 1.001).contains(&second), "{second} {expected}");
        }
    }

    #[test]
    fn a_second_starts_empty() {
        let recorder = Recorder::default();
        recorder.record(LatencyKind::Ack, 1_000);
        assert_eq!(recorder.take_second()[&LatencyKind::Ack].count, 1);
        assert!(recorder.take_second().is_empty());
        recorder.record_all(LatencyKind::Ack, &[1, 2]);
        assert_eq!((recorder.count(LatencyKind::Ack), recorder.totals()[&LatencyKind::Ack].count()), (3, 3));
    }
}
