//! What is shown of a run.

use crate::measure::{LatencyKind, Span};
use crate::run::Moment;
use serde::Serialize;
use std::collections::VecDeque;

/// What a run is, for a person who looks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    pub title: String,
    pub mix: String,
    pub users: u32,
    /// Messages a second at the start; `None` where there is no rate to change.
    pub rate: Option<f64>,
    /// Nodes that can be stopped and started.
    pub nodes: u32,
    /// The measured time in seconds.
    pub duration_s: f64,
}

/// How it ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ending {
    pub verdict: &'static str,
    /// Why it is not valid, then what a reader should know.
    pub reasons: Vec<String>,
    pub notes: Vec<String>,
}

/// All there is, as a viewer gets it at first.
#[derive(Debug, Serialize)]
pub(super) struct State {
    pub about: About,
    pub paths: Vec<Path>,
    pub phase: Phase,
    pub moments: VecDeque<Moment>,
    pub marks: Marks,
    pub ending: Option<Ending>,
}

#[derive(Debug, Serialize)]
pub(super) struct Path {
    pub name: LatencyKind,
    pub title: &'static str,
    pub class: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Phase {
    pub name: &'static str,
    pub done: u64,
    /// 0 where nobody knows.
    pub steps: u64,
}

/// What was done to the run, and what stands out of it for that.
#[derive(Debug, Default, Serialize)]
pub(super) struct Marks {
    pub done: Vec<String>,
    pub spans: Vec<Span>,
}
