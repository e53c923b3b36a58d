//! A run's page: throughput, latency of each path, users and messages, and what was done to it.

use super::board::{Audience, Board, Ending};
use super::moments::Moments;
use super::page;
use crate::measure::{Intervention, LatencyKind, Span, spans};
use crate::report::path_class;
use crate::run::Moment;
use serde::Serialize;
use std::time::{Duration, Instant};
use strum::IntoEnumIterator;

/// Between two events about how a phase goes.
const PHASE_EVERY: Duration = Duration::from_millis(500);

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

/// All there is to show of a run.
#[derive(Debug, Serialize)]
pub struct Run {
    about: About,
    paths: Vec<Path>,
    phase: Phase,
    moments: Moments<Moment>,
    marks: Marks,
    ending: Option<Ending>,
    /// When it was last told how a phase goes.
    #[serde(skip)]
    told: Instant,
    /// As many as a run allows.
    #[serde(skip)]
    done: Vec<Intervention>,
}

#[derive(Debug, Serialize)]
struct Path {
    name: LatencyKind,
    title: &'static str,
    class: String,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Phase {
    name: &'static str,
    done: u64,
    /// 0 where nobody knows.
    steps: u64,
}

/// What was done to the run, and what stands out of it for that.
#[derive(Debug, Default, Serialize)]
struct Marks {
    done: Vec<String>,
    spans: Vec<Span>,
}

impl Run {
    pub fn new(about: About) -> Run {
        let paths = LatencyKind::iter().map(|kind| Path { name: kind, title: kind.title(), class: path_class(kind) });
        Run {
            about,
            paths: paths.collect(),
            phase: Phase::default(),
            moments: Moments::default(),
            marks: Marks::default(),
            ending: None,
            told: Instant::now(),
            done: Vec::new(),
        }
    }

    /// The page that shows it.
    pub fn page() -> String {
        page("loadgen", include_str!("run.html"), "", include_str!("run.js"))
    }

    fn tell_phase(&mut self, audience: &mut Audience) {
        self.told = Instant::now();
        audience.tell("phase", &self.phase);
    }
}

impl Board<Run> {
    pub fn phase(&self, name: &'static str, steps: u64) {
        self.show(|run, audience| {
            run.phase = Phase { name, done: 0, steps };
            run.tell_phase(audience);
        });
    }

    pub fn advance(&self, steps: u64) {
        self.show(|run, audience| {
            run.phase.done += steps;
            if run.told.elapsed() >= PHASE_EVERY {
                run.tell_phase(audience);
            }
        });
    }

    pub fn moment(&self, moment: Moment) {
        self.show(|run, audience| {
            audience.tell("moment", &moment);
            run.moments.add(moment);
        });
    }

    /// Shows what was done to the run.
    pub fn done(&self, intervention: Intervention) {
        self.show(|run, audience| {
            run.done.push(intervention);
            let done = run.done.iter().map(ToString::to_string).collect();
            run.marks = Marks { done, spans: spans(&run.done) };
            audience.tell("marks", &run.marks);
        });
    }

    /// Shows how it ended, and lets nobody in any more.
    pub fn end(&self, ending: Ending) {
        self.show(|run, audience| {
            audience.tell("end", &ending);
            run.ending = Some(ending);
            audience.close();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::Views;
    use super::*;
    use crate::measure::Act;
    use hyper::body::Bytes;
    use tokio::sync::mpsc::Receiver;
    use tokio_util::sync::CancellationToken;

    fn view(board: &Board<Run>) -> Receiver<Bytes> {
        board.view(CancellationToken::new()).expect("there is room")
    }

    fn next(viewer: &mut Receiver<Bytes>) -> String {
        let bytes = viewer.try_recv().expect("an event waits");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_viewer_gets_the_run_so_far_and_then_what_is_new() {
        let board = Board::new(Run::new(About { title: "a\nb".into(), ..About::default() }));
        board.phase("logins", 10);
        board.moment(Moment { online: 7, ..Moment::default() });
        let mut viewer = view(&board);
        board.moment(Moment { online: 8, ..Moment::default() });
        board.done(Intervention { at_ms: 500, act: Act::Pause });
        board.end(Ending { verdict: "valid", ..Ending::default() });

        let all = next(&mut viewer);
        assert!(all.starts_with("event: all\ndata: {") && all.contains(r#""title":"a\nb""#), "{all}");
        assert!(all.contains(r#""online":7"#) && all.contains(r#""name":"logins""#) && !all.contains(r#""online":8"#));
        assert_eq!(all.matches('\n').count(), 3, "one line of data");
        assert!(next(&mut viewer).contains(r#""online":8"#));
        let marks = r#"event: marks
data: {"done":["after 0.5 s: paused"],"spans":[{"from":0.5,"to":null,"name":"paused"}]}"#;
        assert_eq!(next(&mut viewer).trim_end(), marks);
        assert!(next(&mut viewer).starts_with("event: end\ndata: {\"verdict\":\"valid\""));
    }
}
