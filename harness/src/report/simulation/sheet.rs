//! Where things lie in a drawing of what happened: times from left to right, and a lane for each node and each user.

use super::Found;
use judge::history::{Entry, Event};
use serde_json::Value;
use sim::told;
use std::collections::BTreeSet;

pub(super) const WIDTH: f64 = 1_200.0;
pub(super) const LEFT: f64 = 92.0;
pub(super) const RIGHT: f64 = 16.0;
pub(super) const TOP: f64 = 10.0;
pub(super) const LANE: f64 = 46.0;
/// Room before the first and after the last that is shown, as a part of the whole.
const MARGIN: f64 = 0.04;
const TICKS: f64 = 8.0;
/// A login that follows within this time is shown as well.
const NEXT_LOGIN_US: u64 = 10_000_000;

pub(super) struct Sheet<'a> {
    pub found: &'a Found,
    pub entries: &'a [Entry],
    /// In microseconds.
    pub from: f64,
    pub to: f64,
    /// Ids of users by number.
    users: Vec<u64>,
    /// Lines of the history that violate something.
    pub wrong: BTreeSet<usize>,
}

impl<'a> Sheet<'a> {
    pub fn of(found: &'a Found) -> Sheet<'a> {
        let entries = found.entries();
        let findings = judge::check(entries).findings;
        let violations = findings.iter().flat_map(|finding| &finding.violations);
        let wrong: BTreeSet<usize> = violations.flat_map(|violation| violation.events.clone()).collect();
        let users: BTreeSet<u64> = entries
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Login { user, .. } => Some(user),
                _ => None,
            })
            .collect();
        let (from, to) = span(found, &wrong);
        let margin = ((to - from) * MARGIN).max(1.0);
        let (from, to) = ((from - margin).max(0.0), to + margin);
        // Users are registered by number, which makes their ids ascend.
        Sheet { found, entries, from, to, users: users.into_iter().collect(), wrong }
    }

    pub fn x(&self, micros: f64) -> f64 {
        let part = ((micros - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    pub fn is_shown(&self, micros: u64) -> bool {
        (self.from..=self.to).contains(&(micros as f64))
    }

    /// The middle of a lane.
    pub fn y(&self, lane: usize) -> f64 {
        TOP + LANE * (lane as f64 + 0.5)
    }

    /// Below what strikes all, which has the first.
    pub fn lane_of_node(&self, node: usize) -> usize {
        1 + node
    }

    pub fn lane_of_user(&self, number: usize) -> usize {
        1 + self.found.left.nodes + number
    }

    pub fn lane_of(&self, user: u64) -> Option<usize> {
        self.users.iter().position(|id| *id == user).map(|number| self.lane_of_user(number))
    }

    pub fn bottom(&self) -> f64 {
        TOP + LANE * (1 + self.found.left.nodes + self.found.left.users) as f64
    }

    /// Where a fault strikes; nowhere in particular if it strikes all.
    pub fn lanes_of(&self, what: &Value) -> Vec<usize> {
        let Value::Object(fields) = what else { return Vec::new() };
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let of = |(name, value): (&String, &Value)| match (name.as_str(), value) {
            ("node", value) => number(value).into_iter().map(|node| self.lane_of_node(node)).collect(),
            ("nodes", Value::Array(nodes)) => {
                nodes.iter().filter_map(number).map(|node| self.lane_of_node(node)).collect()
            }
            ("user", value) => number(value).into_iter().map(|user| self.lane_of_user(user)).collect(),
            (_, value) => self.lanes_of(value),
        };
        fields.iter().flat_map(of).collect()
    }
}

/// From when to when there is something to see: steps, faults, and what violates something.
fn span(found: &Found, wrong: &BTreeSet<usize>) -> (f64, f64) {
    // These are told when all is over, wherever what they prove happened.
    let is_late = |event: &Event| matches!(event, Event::Drained { .. } | Event::Row { .. } | Event::RowsRead);
    let entries = found.entries();
    let wrong = wrong.iter().map(|event| &entries[*event]).filter(|entry| !is_late(&entry.event));
    let wrong = wrong.map(|entry| (entry.t, entry.t));
    let lines = told::lines(&found.left).into_iter();
    let planned = lines.map(|line| (line.at_ms * 1_000, (line.at_ms + line.length_ms) * 1_000));
    let all: Vec<(u64, u64)> = wrong.chain(planned).collect();
    let from = all.iter().map(|(from, _)| *from).min().unwrap_or_default();
    let to = all.iter().map(|(_, to)| *to).max().unwrap_or_default();
    // Who comes back next, and does not get what they should.
    let logins = entries.iter().filter(|entry| matches!(entry.event, Event::Login { .. })).map(|entry| entry.t);
    let to = logins.filter(|at| (to..to + NEXT_LOGIN_US).contains(at)).min().unwrap_or(to);
    (from as f64, (to.max(from + 1_000)) as f64)
}

/// Whole steps of 1, 2 or 5 times a power of ten, in microseconds.
pub(super) fn ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = ((to - from) / TICKS).max(1.0);
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * decade);
    let first = (from / step).ceil() as u64;
    (first..).map(|place| place as f64 * step).take_while(|at| *at <= to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(2_900_000.0, 5_100_000.0), [3e6, 3.5e6, 4e6, 4.5e6, 5e6]);
    }
}
