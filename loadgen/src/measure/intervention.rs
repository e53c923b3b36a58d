//! What somebody did to a run while it was measured. A result that was steered says how.

use super::figures::{number, rate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How long a storm stands out in a plot, in seconds: its users are away for half of it, and then log in.
const STORM_S: f64 = 1.0;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// Milliseconds from the start of the measured time.
    pub at_ms: u64,
    #[serde(flatten)]
    pub act: Act,
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// From now on, this many messages a second.
    Rate {
        per_second: f64,
    },
    /// Nothing is due until it goes on.
    Pause,
    Resume,
    /// This many users log out and in again, all within a moment.
    Storm {
        users: u32,
    },
    /// This node of an embedded cluster, counted from 1, goes at once.
    StopNode {
        node: u32,
    },
    /// It comes back.
    StartNode {
        node: u32,
    },
    /// The measured time ends now.
    Stop,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Rate { per_second } => write!(f, "rate set to {}/s", rate(*per_second)),
            Act::Pause => f.write_str("paused"),
            Act::Resume => f.write_str("resumed"),
            Act::Storm { users } => write!(f, "storm: {} users logged out and in again", number(u64::from(*users))),
            Act::StopNode { node } => write!(f, "node {node} is down"),
            Act::StartNode { node } => write!(f, "node {node} is started again"),
            Act::Stop => f.write_str("stopped"),
        }
    }
}

impl Intervention {
    /// Seconds from the start of the measured time.
    pub fn at_s(&self) -> f64 {
        self.at_ms as f64 / 1e3
    }
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.1} s: {}", self.at_s(), self.act)
    }
}

/// A part of the measured time that stands out, in seconds; without an end it lasts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    pub from: f64,
    pub to: Option<f64>,
    pub name: String,
}

/// What stands out of a run to which this was done.
pub fn spans(interventions: &[Intervention]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for done in interventions {
        let from = done.at_s();
        match done.act {
            Act::Pause => spans.push(Span { from, to: None, name: done.act.to_string() }),
            Act::Resume => end(&mut spans, Act::Pause, from),
            Act::StopNode { .. } => spans.push(Span { from, to: None, name: done.act.to_string() }),
            Act::StartNode { node } => end(&mut spans, Act::StopNode { node }, from),
            Act::Storm { .. } => spans.push(Span { from, to: Some(from + STORM_S), name: done.act.to_string() }),
            Act::Rate { .. } | Act::Stop => {}
        }
    }
    spans
}

/// What lasted of this is over.
fn end(spans: &mut [Span], of: Act, at: f64) {
    let name = of.to_string();
    spans.iter_mut().filter(|span| span.to.is_none() && span.name == name).for_each(|span| span.to = Some(at));
}

/// Messages that were to be sent within `seconds`, at `per_second` at first and as it was changed.
pub fn asked_for(per_second: f64, seconds: f64, interventions: &[Intervention]) -> f64 {
    let (mut rate, mut is_paused, mut from, mut sum) = (per_second, false, 0.0, 0.0);
    for done in interventions {
        let at = done.at_s().clamp(from, seconds);
        sum += if is_paused { 0.0 } else { rate * (at - from) };
        from = at;
        match done.act {
            Act::Rate { per_second } => rate = per_second,
            Act::Pause => is_paused = true,
            Act::Resume => is_paused = false,
            Act::Storm { .. } | Act::StopNode { .. } | Act::StartNode { .. } | Act::Stop => {}
        }
    }
    sum + if is_paused { 0.0 } else { rate * (seconds - from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: u64, act: Act) -> Intervention {
        Intervention { at_ms, act }
    }

    #[test]
    fn what_is_asked_for_follows_rate_and_pauses() {
        let done = [
            at(2_000, Act::Rate { per_second: 300.0 }),
            at(4_000, Act::Pause),
            at(5_000, Act::Rate { per_second: 50.0 }),
            at(6_000, Act::Resume),
            at(7_000, Act::Storm { users: 3 }),
        ];
        for (count, expected) in [(0, 1_000.0), (1, 200.0 + 2_400.0), (2, 800.0), (3, 800.0), (5, 800.0 + 200.0)] {
            assert_eq!(asked_for(100.0, 10.0, &done[..count]), expected, "{count}");
        }
        assert_eq!(asked_for(100.0, 1.0, &done), 100.0, "what was done later does not count");
    }

    #[test]
    fn pauses_and_storms_stand_out_and_a_pause_without_end_lasts() {
        let mut done = vec![at(1_000, Act::Pause), at(2_000, Act::Storm { users: 1_000 })];
        assert_eq!(spans(&done).iter().map(|span| span.to).collect::<Vec<_>>(), [None, Some(3.0)]);
        done.push(at(4_500, Act::Resume));
        assert_eq!(spans(&done)[0], Span { from: 1.0, to: Some(4.5), name: "paused".into() });
        done.extend([at(5_000, Act::StopNode { node: 2 }), at(6_000, Act::StartNode { node: 1 })]);
        assert_eq!(spans(&done)[2], Span { from: 5.0, to: None, name: "node 2 is down".into() });
        done.push(at(7_000, Act::StartNode { node: 2 }));
        assert_eq!(spans(&done)[2].to, Some(7.0));
        assert_eq!(done[1].to_string(), "after 2.0 s: storm: 1,000 users logged out and in again");
    }

    #[test]
    fn what_is_stored_and_asked_for_is_one_flat_object() {
        let done = at(1_500, Act::Rate { per_second: 20.0 });
        let text = serde_json::to_string(&done).expect("JSON");
        assert_eq!(text, r#"{"at_ms":1500,"act":"rate","per_second":20.0}"#);
        assert_eq!(serde_json::from_str::<Intervention>(&text).expect("read back"), done);
    }
}
