//! What a member tells the others once a second, and what all of that comes to.
//!
//! A row is written by its member alone: its heartbeat does so, and so does handing in, each time it looks at who else
//! has. These are two connections, so an older row may stand over a newer one until the next is written, a fifth of a
//! second later. All others read it, and believe nothing: what it lacks has its default, what cannot be read is no row,
//! and sums do not overflow.

use super::parcel::Parcel;
use crate::measure::LatencyKind;
use crate::run::Moment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a member has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Accounts, logins, friends and groups.
    #[default]
    Preparing,
    /// Everything is there to begin with.
    Ready,
    /// It measured, and hands in what came of it.
    Ended,
    /// It will not measure, or has nothing to hand in.
    Failed,
}

/// How one member does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its host and process, for a person.
    pub member: String,
    /// Goes up with each time that it is told.
    pub beat: u64,
    pub stage: Stage,
    /// Why it failed, in words.
    pub why: String,
    /// Somebody stopped it: all are to stop.
    pub interrupted: bool,
    pub latest: Latest,
    /// Its result, once it has handed it in.
    pub result: Option<Parcel>,
}

/// A second of the measured time in figures that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latest {
    pub sent_per_second: u64,
    pub delivered_per_second: u64,
    /// The p99 of the slowest path, in microseconds; of several: the highest.
    pub p99_micros: u64,
    pub open: u64,
    pub online: u64,
    pub errors: u64,
}

impl Latest {
    pub fn of(moment: &Moment) -> Latest {
        let per_second = |count: u64| count.saturating_mul(1_000) / moment.second.length_ms.max(1);
        let latencies = &moment.second.latencies;
        let slowest = LatencyKind::OF_MESSAGES.iter().filter_map(|kind| latencies.get(kind));
        Latest {
            sent_per_second: per_second(moment.second.sent),
            delivered_per_second: per_second(moment.second.delivered),
            p99_micros: slowest.map(|point| point.p99).max().unwrap_or(0),
            open: moment.open,
            online: u64::from(moment.online),
            errors: moment.errors,
        }
    }

    /// The figures come from others, so no sum may overflow.
    fn add(&mut self, other: &Latest) {
        let sums = [
            (&mut self.sent_per_second, other.sent_per_second),
            (&mut self.delivered_per_second, other.delivered_per_second),
            (&mut self.open, other.open),
            (&mut self.online, other.online),
            (&mut self.errors, other.errors),
        ];
        sums.into_iter().for_each(|(sum, part)| *sum = sum.saturating_add(part));
        self.p99_micros = self.p99_micros.max(other.p99_micros);
    }
}

/// One line about all members together, for a person who watches; the dead and the failed do nothing any more.
pub fn line(rows: &BTreeMap<u32, Row>, dead: &BTreeSet<u32>, count: u32) -> String {
    let lives = |(shard, row): &(&u32, &Row)| row.stage != Stage::Failed && !dead.contains(shard);
    let mut sum = Latest::default();
    rows.iter().filter(lives).for_each(|(_, row)| sum.add(&row.latest));
    let Latest { sent_per_second, delivered_per_second, p99_micros, open, online, errors } = sum;
    format!(
        "{} of {count} shards: {sent_per_second} sent/s, {delivered_per_second} delivered/s, p99 {:.1} ms at most, \
         {open} open, {online} online, {errors} errors",
        rows.iter().filter(lives).count(),
        p99_micros as f64 / 1e3,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Point, Second};

    #[test]
    fn a_moment_is_told_per_second_with_its_slowest_path() {
        let point = |p99| Point { count: 1, p50: 1, p99, max: p99 };
        let latencies = [(LatencyKind::Same, point(900)), (LatencyKind::Cross, point(1_200))];
        let late = [(LatencyKind::Login, point(9_000)), (LatencyKind::Lateness, point(9_000))];
        let latencies = latencies.into_iter().chain(late).collect();
        let second = Second { at_ms: 0, length_ms: 500, latencies, sent: 10, delivered: 20 };
        let latest = Latest::of(&Moment { second, online: 4, open: 3, errors: 2, ..Moment::default() });
        let expected =
            Latest { sent_per_second: 20, delivered_per_second: 40, p99_micros: 1_200, open: 3, online: 4, errors: 2 };
        assert_eq!(latest, expected);
        assert_eq!(Latest::of(&Moment::default()), Latest::default());
    }

    #[test]
    fn the_line_is_of_all_and_does_not_overflow() {
        let row = |sent_per_second, p99_micros| Row {
            latest: Latest { sent_per_second, p99_micros, online: 10, ..Latest::default() },
            ..Row::default()
        };
        let failed = Row { stage: Stage::Failed, ..row(900, 9_000) };
        let rows = BTreeMap::from([(1, row(100, 4_000)), (2, failed), (3, row(50, 2_000)), (4, row(800, 8_000))]);
        assert_eq!(
            line(&rows, &[4].into(), 4),
            "2 of 4 shards: 150 sent/s, 0 delivered/s, p99 4.0 ms at most, 0 open, 20 online, 0 errors"
        );
        let rows = BTreeMap::from([(1, row(u64::MAX, 0)), (2, row(1, 0))]);
        assert!(line(&rows, &BTreeSet::new(), 2).contains(&u64::MAX.to_string()));
    }

    #[test]
    fn what_a_row_lacks_is_nothing() {
        assert_eq!(serde_json::from_str::<Row>("{}").expect("an object"), Row::default());
    }
}
