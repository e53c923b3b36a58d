//! What a page shows, and who looks at it.
//!
//! A viewer first gets all there is, as one event, then whatever is new, in order and without a gap. Events are written
//! once, however many look. Nothing here waits: an event that does not fit into a viewer's queue ends that viewer,
//! whose browser comes back by itself and gets all there is once more.

use hyper::body::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Browsers that look at the same time; a further one is refused.
pub const MAX_VIEWERS: usize = 16;
/// Events that wait for a viewer: two minutes at one a second, less where more happens. One that is further behind is
/// dropped.
pub const VIEWER_EVENTS: usize = 128;

/// What is shown, and to whom.
#[derive(Debug)]
pub struct Board<S>(Mutex<Shown<S>>);

#[derive(Debug)]
struct Shown<S> {
    state: S,
    audience: Audience,
}

/// Those who look.
#[derive(Debug, Default)]
pub struct Audience {
    viewers: Vec<Sink>,
    /// Nobody is let in any more.
    is_closed: bool,
}

/// How what is shown ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ending {
    pub verdict: &'static str,
    /// Why it is not valid, then what a reader should know.
    pub reasons: Vec<String>,
    pub notes: Vec<String>,
}

/// Where a viewer's events go.
#[derive(Debug)]
struct Sink {
    events: mpsc::Sender<Bytes>,
    gone: CancellationToken,
}

/// Where a server gets the events of those whom it lets in.
pub(super) trait Views: Send + Sync + 'static {
    /// Another viewer's events, all there is first; `None` if there are too many, or all is over. `gone` is cancelled
    /// when the viewer is dropped for being too slow.
    fn view(&self, gone: CancellationToken) -> Option<mpsc::Receiver<Bytes>>;
}

impl<S: Serialize> Board<S> {
    pub fn new(state: S) -> Board<S> {
        Board(Mutex::new(Shown { state, audience: Audience::default() }))
    }

    /// How many look.
    pub fn viewers(&self) -> usize {
        self.0.lock().audience.viewers.len()
    }

    /// Looks at what is shown.
    pub fn read<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.0.lock().state)
    }

    /// Changes what is shown to those who come later, and tells those who look.
    pub fn show<T>(&self, change: impl FnOnce(&mut S, &mut Audience) -> T) -> T {
        let Shown { state, audience } = &mut *self.0.lock();
        change(state, audience)
    }
}

impl<S: Serialize + Send + 'static> Views for Board<S> {
    fn view(&self, gone: CancellationToken) -> Option<mpsc::Receiver<Bytes>> {
        let Shown { state, audience } = &mut *self.0.lock();
        audience.viewers.retain(|sink| !sink.events.is_closed());
        if audience.is_closed || audience.viewers.len() >= MAX_VIEWERS {
            return None;
        }
        let (events, receiver) = mpsc::channel(VIEWER_EVENTS);
        // It is empty, and has room.
        let _ = events.try_send(event("all", state));
        audience.viewers.push(Sink { events, gone });
        Some(receiver)
    }
}

impl Audience {
    /// An event for each; whoever has no room for it is dropped.
    pub fn tell(&mut self, name: &str, data: &impl Serialize) {
        if self.viewers.is_empty() {
            return;
        }
        let event = event(name, data);
        self.viewers.retain(|sink| match sink.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                sink.gone.cancel();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    /// Lets nobody in any more; those who look get what waits for them, and then the end.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.viewers.clear();
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

    type Viewer = mpsc::Receiver<Bytes>;

    fn view(board: &Board<Vec<usize>>) -> Option<Viewer> {
        board.view(CancellationToken::new())
    }

    fn next(viewer: &mut Viewer) -> String {
        let bytes = viewer.try_recv().expect("an event waits");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    fn add(board: &Board<Vec<usize>>, number: usize) {
        board.show(|numbers, audience| {
            numbers.push(number);
            audience.tell("more", &number);
        });
    }

    #[test]
    fn a_viewer_gets_all_there_is_and_then_what_is_new() {
        let board = Board::new(vec![1]);
        add(&board, 2);
        let mut viewer = view(&board).expect("there is room");
        add(&board, 3);

        assert_eq!(next(&mut viewer), "event: all\ndata: [1,2]\n\n");
        assert_eq!(next(&mut viewer), "event: more\ndata: 3\n\n");
    }

    #[test]
    fn who_does_not_keep_up_is_dropped_and_others_miss_nothing() {
        let board = Board::new(Vec::new());
        let [slow_gone, quick_gone] = [CancellationToken::new(), CancellationToken::new()];
        let _slow = board.view(slow_gone.clone()).expect("there is room");
        let mut quick = board.view(quick_gone.clone()).expect("there is room");
        next(&mut quick);
        for number in 0..VIEWER_EVENTS {
            add(&board, number);
            assert_eq!(next(&mut quick), format!("event: more\ndata: {number}\n\n"));
        }
        assert!(slow_gone.is_cancelled() && !quick_gone.is_cancelled());
        assert_eq!(board.viewers(), 1);
    }

    #[test]
    fn viewers_are_bounded() {
        let board = Board::new(Vec::new());
        let mut viewers: Vec<Viewer> = (0..MAX_VIEWERS).map(|_| view(&board).expect("there is room")).collect();
        assert!(view(&board).is_none());
        viewers.pop();
        assert!(view(&board).is_some(), "a place came free");
    }

    #[test]
    fn the_end_is_the_last_event_and_nobody_comes_after_it() {
        let board = Board::new(Vec::new());
        let mut viewer = view(&board).expect("there is room");
        add(&board, 1);
        board.show(|_, audience| audience.close());
        next(&mut viewer);
        assert_eq!(next(&mut viewer), "event: more\ndata: 1\n\n");
        assert_eq!(viewer.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert!(view(&board).is_none());
    }
}
