//! One logged-in user, and what has been pushed to it.
//!
//! The rule: a session pushes each conversation strictly contiguously from its cursor. A live message is a copy of what is
//! in the log; if it is the next one it is pushed, otherwise the cursor falls [`Behind`](Progress) and the log is read
//! (see `catch_up`). Backlog, gap, repair, slow reader and takeover all go this one way, which gives order, no loss and no
//! double push. A user's own messages move the cursor and are not pushed.
//!
//! Knows no socket: bytes go to an [`Outbound`].

use crate::failpoint::PushFaults;
use crate::outbound::{Outbound, Parcel};
use crate::protocol::conversation::{Conversation, UserId};
use crate::protocol::errno::{Errno, Failure};
use crate::protocol::message::Event;
use crate::storage::{Mark, Page, Release, Waiting};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

pub struct Session {
    pub user: UserId,
    pub name: Arc<str>,
    /// Counts the user's sessions, across nodes.
    pub epoch: u64,
    /// The client wants EVENTs.
    pub events: bool,
    /// The client sends RECEIVED; otherwise what the kernel took counts as received.
    pub acknowledges: bool,
    outbound: Arc<Outbound>,
    faults: PushFaults,
    state: Mutex<State>,
    /// Some cursor waits for room in the outbound queue, or for the session to be live.
    stalled: AtomicBool,
    /// Set while the session stands in the list of those with cursors to save.
    unsaved: AtomicBool,
    /// Another node waits for the session's row.
    yielding: AtomicBool,
    ended: Notify,
}

#[derive(Default)]
struct State {
    phase: Phase,
    cursors: HashMap<Conversation, Cursor>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Routable, but LOGIN_ACK has not been queued: nothing may be pushed before it.
    #[default]
    Starting,
    Live,
    /// Its node's lease is in doubt: nothing is pushed.
    Suspended,
    Ended,
}

/// How far a conversation has got in this session.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// False until the cursor has been read from the database; `pushed` and `received` mean nothing before.
    known: bool,
    pushed: u64,
    /// What the client has said it has, or what was its own.
    received: u64,
    /// What the database knows of `received`.
    saved: u64,
    /// The newest seq heard of while behind.
    target: u64,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything heard of has been pushed: the next live message can go out directly.
    Current,
    /// In the hands of `catch_up`.
    Reading,
    /// Must be read on, once the session is live and its queue has room.
    Stalled,
}

/// What became of a live message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Pushed, or known before, or on its way through the log.
    Done,
    /// The session now needs the log: hand it to `catch_up`.
    Behind,
    /// The session has ended.
    Gone,
}

/// What `catch_up` has to do next for a conversation of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The cursor must be read from the database.
    LoadCursor,
    /// Read on after this seq.
    ReadAfter(u64),
    Nothing,
}

impl Session {
    pub fn new(
        user: UserId,
        name: Arc<str>,
        epoch: u64,
        events: bool,
        acknowledges: bool,
        outbound: Arc<Outbound>,
    ) -> Self {
        Session {
            user,
            name,
            epoch,
            events,
            acknowledges,
            outbound,
            faults: PushFaults::default(),
            state: Mutex::default(),
            stalled: AtomicBool::new(false),
            unsaved: AtomicBool::new(false),
            yielding: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    pub fn release(&self) -> Release {
        Release { user: self.user, epoch: self.epoch }
    }

    /// Offers a copy of a stored message.
    pub fn deliver(&self, parcel: &Parcel<'_>) -> Delivery {
        let message = parcel.message;
        let mut state = self.state.lock();
        if state.phase == Phase::Ended {
            return Delivery::Gone;
        }
        let live = state.phase == Phase::Live;
        let Some(cursor) = state.cursors.get_mut(&message.conv) else {
            return self.fall_behind(&mut state, message.conv, message.seq);
        };
        if cursor.progress != Progress::Current {
            cursor.target = cursor.target.max(message.seq);
            return Delivery::Done;
        }
        if message.seq <= cursor.pushed {
            return Delivery::Done;
        }
        if live && message.seq == cursor.pushed + 1 {
            if self.pass(cursor, parcel) {
                return Delivery::Done;
            }
            cursor.target = message.seq;
            cursor.progress = Progress::Stalled;
            self.stalled.store(true, Ordering::Release);
            return Delivery::Done;
        }
        self.fall_behind(&mut state, message.conv, message.seq)
    }

    /// Offers a message with `qos` 0. False if it could not be queued at once.
    pub fn relay(&self, parcel: &Parcel<'_>) -> bool {
        self.state.lock().phase == Phase::Live && self.outbound.push(parcel)
    }

    pub fn tell(&self, event: &Event) {
        if self.events && self.state.lock().phase == Phase::Live {
            self.outbound.tell(event);
        }
    }

    /// There is a message `last_seq` in the conversation; has it been pushed?
    pub fn note(&self, conv: Conversation, last_seq: u64) -> Delivery {
        let mut state = self.state.lock();
        match (state.phase, state.cursors.get_mut(&conv)) {
            (Phase::Ended, _) => Delivery::Gone,
            (_, Some(cursor)) if cursor.progress != Progress::Current => {
                cursor.target = cursor.target.max(last_seq);
                Delivery::Done
            }
            (_, Some(cursor)) if cursor.pushed >= last_seq => Delivery::Done,
            _ => self.fall_behind(&mut state, conv, last_seq),
        }
    }

    /// The user is no longer in the conversation: what waits there is not delivered.
    pub fn forget(&self, conv: Conversation) {
        self.state.lock().cursors.remove(&conv);
    }

    fn fall_behind(&self, state: &mut State, conv: Conversation, target: u64) -> Delivery {
        let live = state.phase == Phase::Live;
        let progress = if live { Progress::Reading } else { Progress::Stalled };
        let unknown = Cursor { known: false, pushed: 0, received: 0, saved: 0, target, progress };
        let cursor = state.cursors.entry(conv).or_insert(unknown);
        cursor.target = cursor.target.max(target);
        cursor.progress = progress;
        if live {
            return Delivery::Behind;
        }
        self.stalled.store(true, Ordering::Release);
        Delivery::Done
    }

    /// Moves the cursor over the next message: one's own is not pushed. False if there was no room.
    fn pass(&self, cursor: &mut Cursor, parcel: &Parcel<'_>) -> bool {
        let message = parcel.message;
        if message.sender == self.user {
            if cursor.received == cursor.pushed {
                cursor.received = message.seq;
            }
        } else if !self.faults.push(parcel, |parcel| self.outbound.push(parcel)) {
            return false;
        }
        cursor.pushed = message.seq;
        true
    }
}

/// The life of a session.
impl Session {
    /// LOGIN_ACK is queued, or the lease is good again. Returns the conversations to hand to `catch_up`.
    pub fn go_live(&self) -> Vec<Conversation> {
        let mut state = self.state.lock();
        if state.phase != Phase::Ended {
            state.phase = Phase::Live;
        }
        drop(state);
        self.resume_stalled()
    }

    /// The lease is in doubt: push nothing until [`Session::go_live`].
    pub fn suspend(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Live {
            state.phase = Phase::Suspended;
        }
    }

    /// Whether cursors wait for room: ask when the queue has drained.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// The conversations to read on, now that there is room.
    pub fn resume_stalled(&self) -> Vec<Conversation> {
        let mut state = self.state.lock();
        if state.phase != Phase::Live || !self.stalled.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let stalled = state.cursors.iter_mut().filter(|(_, cursor)| cursor.progress == Progress::Stalled);
        stalled
            .map(|(conv, cursor)| {
                cursor.progress = Progress::Reading;
                *conv
            })
            .collect()
    }

    /// Has the connection closed, after the session was ended in good order.
    pub fn close(&self, why: Failure) {
        self.outbound.close(why);
    }

    /// Its connection is to be closed, and takes no more messages.
    pub fn is_closing(&self) -> bool {
        self.outbound.is_closing()
    }

    /// Nothing is pushed any more, though the row may not be free yet.
    pub fn has_ended(&self) -> bool {
        self.state.lock().phase == Phase::Ended
    }

    /// At the start: messages wait in this conversation, and those up to `pushed` are on their way to the client already.
    pub fn waits(&self, waiting: &Waiting, pushed: u64) {
        let mut state = self.state.lock();
        let Waiting { conv, received_seq: received, last_seq, .. } = *waiting;
        let heard_of = state.cursors.get(&conv).map_or(0, |cursor| cursor.target);
        let target = last_seq.max(heard_of);
        let progress = Progress::Stalled;
        state.cursors.insert(conv, Cursor { known: true, pushed, received, saved: received, target, progress });
        self.stalled.store(true, Ordering::Release);
    }

    /// A login on another node replaces this one.
    pub fn yield_to_other_node(&self) {
        self.yielding.store(true, Ordering::Release);
        self.close(Errno::Replaced.into());
    }

    pub fn is_yielding(&self) -> bool {
        self.yielding.load(Ordering::Acquire)
    }

    /// From here on nothing is pushed. Returns the cursors still to be saved; empty the second time.
    pub fn end(&self) -> Vec<Mark> {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.phase, Phase::Ended) == Phase::Ended {
            return Vec::new();
        }
        let marks = unsaved_marks(self.user, &state.cursors);
        state.cursors = HashMap::new();
        marks
    }

    /// The session's row is free again.
    pub fn released(&self) {
        self.ended.notify_waiters();
    }

    /// Completes at [`Session::released`]; create the future before asking for the end.
    pub fn wait_released(&self) -> tokio::sync::futures::Notified<'_> {
        self.ended.notified()
    }
}

/// What `catch_up` needs.
impl Session {
    /// Where to read on in the conversation.
    pub fn next_read(&self, conv: Conversation) -> Next {
        let mut state = self.state.lock();
        let live = state.phase == Phase::Live;
        let Some(cursor) = state.cursors.get_mut(&conv) else { return Next::Nothing };
        if !live {
            cursor.progress = Progress::Stalled;
            self.stalled.store(true, Ordering::Release);
            return Next::Nothing;
        }
        if cursor.known { Next::ReadAfter(cursor.pushed) } else { Next::LoadCursor }
    }

    /// The cursor as the database has it; `None`: the user is no member, so nothing is owed.
    pub fn cursor_loaded(&self, conv: Conversation, received_seq: Option<u64>) {
        let mut state = self.state.lock();
        let Some(seq) = received_seq else {
            state.cursors.remove(&conv);
            return;
        };
        if let Some(cursor) = state.cursors.get_mut(&conv).filter(|cursor| !cursor.known) {
            *cursor = Cursor { known: true, pushed: seq, received: seq, saved: seq, ..*cursor };
        }
    }

    /// Pushes a page of the log. True: the conversation needs another page.
    pub fn push_page(&self, conv: Conversation, page: &Page) -> bool {
        let mut state = self.state.lock();
        let live = state.phase == Phase::Live;
        let Some(cursor) = state.cursors.get_mut(&conv).filter(|cursor| cursor.progress == Progress::Reading) else {
            return false;
        };
        let seen = page.messages.partition_point(|message| message.seq <= cursor.pushed);
        let unseen = &page.messages[seen..];
        if !cursor.known || unseen.first().is_some_and(|message| message.seq != cursor.pushed + 1) {
            // The user left and joined again while the page was read: it starts elsewhere.
            return true;
        }
        for message in unseen {
            let parcel = Parcel::new(message, 1);
            if !live || !self.pass(cursor, &parcel) {
                cursor.progress = Progress::Stalled;
                self.stalled.store(true, Ordering::Release);
                return false;
            }
        }
        if page.more || cursor.target > cursor.pushed {
            return true;
        }
        cursor.progress = Progress::Current;
        false
    }

    /// The log could not be read: try again when asked next.
    pub fn read_failed(&self, conv: Conversation) {
        if let Some(cursor) = self.state.lock().cursors.get_mut(&conv) {
            cursor.progress = Progress::Stalled;
            self.stalled.store(true, Ordering::Release);
        }
    }
}

/// Cursors on their way to the database.
impl Session {
    /// The client has everything of the conversation up to `seq`. Beyond what was pushed, or backwards: ignored.
    /// True: the session has something to save and is not yet in the list.
    pub fn received(&self, conv: Conversation, seq: u64) -> bool {
        let mut state = self.state.lock();
        match state.cursors.get_mut(&conv) {
            Some(cursor) if cursor.known && seq > cursor.received && seq <= cursor.pushed => cursor.received = seq,
            _ => return false,
        }
        !self.unsaved.swap(true, Ordering::AcqRel)
    }

    /// How far each conversation has been pushed, where the client is not known to have it all.
    pub fn unreceived(&self) -> Vec<Mark> {
        let state = self.state.lock();
        let unreceived = state.cursors.iter().filter(|(_, cursor)| cursor.received < cursor.pushed);
        unreceived.map(|(conv, cursor)| Mark { conv: *conv, user: self.user, seq: cursor.pushed }).collect()
    }

    /// Takes the cursors that the database does not know yet.
    pub fn take_unsaved(&self) -> Vec<Mark> {
        let state = self.state.lock();
        self.unsaved.store(false, Ordering::Release);
        unsaved_marks(self.user, &state.cursors)
    }

    /// Saving failed. True: the session must go back into the list.
    pub fn still_unsaved(&self) -> bool {
        !self.unsaved.swap(true, Ordering::AcqRel)
    }

    /// The database has these now.
    pub fn saved(&self, marks: &[Mark]) {
        let mut state = self.state.lock();
        for mark in marks {
            if let Some(cursor) = state.cursors.get_mut(&mark.conv) {
                cursor.saved = cursor.saved.max(mark.seq);
            }
        }
    }
}

fn unsaved_marks(user: UserId, cursors: &HashMap<Conversation, Cursor>) -> Vec<Mark> {
    let unsaved = cursors.iter().filter(|(_, cursor)| cursor.known && cursor.received > cursor.saved);
    unsaved.map(|(conv, cursor)| Mark { conv: *conv, user, seq: cursor.received }).collect()
}
