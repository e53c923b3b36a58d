//! Who is told how a run goes on.

use crate::measure::Second;
use serde::Serialize;

/// Is told how a run goes on.
pub trait Progress: Send + Sync {
    /// A new phase begins, of `steps` steps (0: nobody knows).
    fn phase(&self, name: &'static str, steps: u64);
    fn advance(&self, steps: u64);
    fn message(&self, text: String);
    /// A second of the measured time is over; `now` looks how things stand, for those who show it.
    fn moment(&self, _now: &dyn Fn() -> Moment) {}
    fn finish(&self);
}

/// A second of the measured time, and how things stood at its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    #[serde(flatten)]
    pub second: Second,
    /// Messages a second that are asked for now; `None` where a window, or goose, says when messages go.
    pub asked_for: Option<f64>,
    pub online: u32,
    /// Messages that are not acknowledged, or not received by all, yet.
    pub open: u64,
    /// Messages that were due while their sender had no connection.
    pub unsent: u64,
    /// Of all kinds.
    pub errors: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Never sent, altered, or delivered to the wrong user.
    pub strange: u64,
}

/// Shows nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _name: &'static str, _steps: u64) {}
    fn advance(&self, _steps: u64) {}
    fn message(&self, _text: String) {}
    fn finish(&self) {}
}
