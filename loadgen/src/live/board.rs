//! What the page shows, and who looks at it.
//!
//! A viewer first gets all there is, as one event, then whatever is new, in order and without a gap. Events are written
//! once, however many look. Nothing here waits: an event that does not fit into a viewer's queue ends that viewer,
//! whose browser comes back by itself and gets all there is once more.

use super::run::{About, Ending, Marks, Path, Phase, State};
use crate::measure::{Intervention, LatencyKind, spans};
use crate::report::path_class;
use crate::run::Moment;
use hyper::body::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use strum::IntoEnumIterator;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Browsers that look at the same time; a further one is refused.
pub const MAX_VIEWERS: usize = 16;
/// Events that wait for a viewer: two minutes of a run. One that is further behind is dropped.
pub const VIEWER_EVENTS: usize = 128;
/// Moments that are kept for those who come later: ten minutes. Older ones are not shown any more.
const MAX_MOMENTS: usize = 600;
/// Between two events about how a phase goes.
const PHASE_EVERY: Duration = Duration::from_millis(500);

/// What is shown, and to whom.
#[derive(Debug)]
pub struct Board(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    state: State,
    told: Instant,
    /// As many as a run allows.
    done: Vec<Intervention>,
    viewers: Vec<Sink>,
    /// Nobody is let in any more.
    closed: bool,
}

/// Where a viewer's events go.
#[derive(Debug)]
struct Sink {
    events: mpsc::Sender<Bytes>,
    gone: CancellationToken,
}

impl Board {
    pub fn new(about: About) -> Board {
        let paths = LatencyKind::iter().map(|kind| Path { name: kind, title: kind.title(), class: path_class(kind) });
        let state = State {
            about,
            paths: paths.collect(),
            phase: Phase::default(),
            moments: VecDeque::new(),
            marks: Marks::default(),
            ending: None,
        };
        Board(Mutex::new(Shown { state, told: Instant::now(), done: Vec::new(), viewers: Vec::new(), closed: false }))
    }

    /// Another viewer's events, all there is first; `None` if there are too many, or all is over. `gone` is cancelled
    /// when the viewer is dropped for being too slow.
    pub fn view(&self, gone: CancellationToken) -> Option<mpsc::Receiver<Bytes>> {
        let mut shown = self.0.lock();
        shown.viewers.retain(|sink| !sink.events.is_closed());
        if shown.closed || shown.viewers.len() >= MAX_VIEWERS {
            return None;
        }
        let (events, receiver) = mpsc::channel(VIEWER_EVENTS);
        // It is empty, and has room.
        let _ = events.try_send(event("all", &shown.state));
        shown.viewers.push(Sink { events, gone });
        Some(receiver)
    }

    /// How many look.
    pub fn viewers(&self) -> usize {
        self.0.lock().viewers.len()
    }

    pub fn phase(&self, name: &'static str, steps: u64) {
        let mut shown = self.0.lock();
        shown.state.phase = Phase { name, done: 0, steps };
        shown.tell_phase();
    }

    pub fn advance(&self, steps: u64) {
        let mut shown = self.0.lock();
        shown.state.phase.done += steps;
        if shown.told.elapsed() >= PHASE_EVERY {
            shown.tell_phase();
        }
    }

    pub fn moment(&self, moment: Moment) {
        let mut shown = self.0.lock();
        shown.tell("moment", &moment);
        if shown.state.moments.len() == MAX_MOMENTS {
            shown.state.moments.pop_front();
        }
        shown.state.moments.push_back(moment);
    }

    /// Shows what was done to the run.
    pub fn done(&self, intervention: Intervention) {
        let mut shown = self.0.lock();
        shown.done.push(intervention);
        shown.state.marks =
            Marks { done: shown.done.iter().map(ToString::to_string).collect(), spans: spans(&shown.done) };
        let event = event("marks", &shown.state.marks);
        shown.send(&event);
    }

    /// Shows how it ended, and lets nobody in any more; those who look get what waits for them, and then the end.
    pub fn end(&self, ending: Ending) {
        let mut shown = self.0.lock();
        shown.tell("end", &ending);
        shown.state.ending = Some(ending);
        shown.closed = true;
        shown.viewers.clear();
    }
}

impl Shown {
    fn tell_phase(&mut self) {
        self.told = Instant::now();
        let phase = self.state.phase.clone();
        self.tell("phase", &phase);
    }

    fn tell(&mut self, name: &str, data: &impl Serialize) {
        if !self.viewers.is_empty() {
            self.send(&event(name, data));
        }
    }

    /// Whoever has no room is dropped.
    fn send(&mut self, event: &Bytes) {
        self.viewers.retain(|sink| match sink.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                sink.gone.cancel();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }
}

/// One server-sent event. JSON has no line breaks of its own, so that one line of data holds it.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).expect("what is shown has text keys");
    format!("event: {name}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Act;

    type Viewer = mpsc::Receiver<Bytes>;

    fn view(board: &Board) -> Option<Viewer> {
        board.view(CancellationToken::new())
    }

    fn next(viewer: &mut Viewer) -> String {
        let bytes = viewer.try_recv().expect("an event waits");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_viewer_gets_all_there_is_and_then_what_is_new() {
        let board = Board::new(About { title: "a\nb".into(), ..About::default() });
        board.phase("logins", 10);
        board.moment(Moment { online: 7, ..Moment::default() });
        let mut viewer = view(&board).expect("there is room");
        board.moment(Moment { online: 8, ..Moment::default() });
        board.done(Intervention { at_ms: 500, act: Act::Pause });

        let all = next(&mut viewer);
        assert!(all.starts_with("event: all\ndata: {") && all.contains(r#""title":"a\nb""#), "{all}");
        assert!(all.contains(r#""online":7"#) && all.contains(r#""name":"logins""#) && !all.contains(r#""online":8"#));
        assert_eq!(all.matches('\n').count(), 3, "one line of data");
        assert!(next(&mut viewer).contains(r#""online":8"#));
        let marks = r#"event: marks
data: {"done":["after 0.5 s: paused"],"spans":[{"from":0.5,"to":null,"name":"paused"}]}"#;
        assert_eq!(next(&mut viewer).trim_end(), marks);
    }

    #[test]
    fn who_does_not_keep_up_is_dropped_and_others_miss_nothing() {
        let board = Board::new(About::default());
        let [slow_gone, quick_gone] = [CancellationToken::new(), CancellationToken::new()];
        let _slow = board.view(slow_gone.clone()).expect("there is room");
        let mut quick = board.view(quick_gone.clone()).expect("there is room");
        next(&mut quick);
        for online in 0..VIEWER_EVENTS as u32 {
            board.moment(Moment { online, ..Moment::default() });
            assert!(next(&mut quick).contains(&format!("\"online\":{online},")));
        }
        assert!(slow_gone.is_cancelled() && !quick_gone.is_cancelled());
        assert_eq!(board.viewers(), 1);
    }

    #[test]
    fn viewers_and_what_is_kept_for_them_are_bounded() {
        let board = Board::new(About::default());
        let mut viewers: Vec<Viewer> = (0..MAX_VIEWERS).map(|_| view(&board).expect("there is room")).collect();
        assert!(view(&board).is_none());
        viewers.pop();
        let mut another = view(&board).expect("a place came free");
        next(&mut another);
        (0..2 * MAX_MOMENTS).for_each(|_| {
            board.moment(Moment::default());
            next(&mut another);
        });
        assert_eq!(board.0.lock().state.moments.len(), MAX_MOMENTS);
    }

    #[test]
    fn the_end_is_the_last_event_and_nobody_comes_after_it() {
        let board = Board::new(About::default());
        let mut viewer = view(&board).expect("there is room");
        board.end(Ending { verdict: "valid", ..Ending::default() });
        next(&mut viewer);
        assert!(next(&mut viewer).starts_with("event: end\ndata: {\"verdict\":\"valid\""));
        assert_eq!(viewer.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert!(view(&board).is_none());
    }
}
