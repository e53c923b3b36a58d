//! What a run puts into its users' outboxes: messages that are due or once more, requests, and the end of a session.
//!
//! Anyone may send for any user, from any thread; what the kernel does not take at once is left to the user's own task.
//! Where nothing is acknowledged, windows bound what is on its way, and what is due waits its turn in them.

use super::run::Run;
use super::state::{Answer, Outbox, Pending, User};
use super::window::{Admission, Windows};
use crate::dialect::{Ask, Chat, mid_of};
use crate::measure::stamp::Stamp;
use crate::world::Audience;
use chat_protocol::conversation::Target;
use judge::history::{Event, body};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use uuid::Uuid;

/// What most frames need beyond their text.
const USUAL_FRAME_BYTES: usize = 128;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A message that is about to be written.
#[derive(Clone, Copy)]
struct Message {
    stream: u32,
    number: u64,
    due: u64,
    /// It was sent before.
    again: bool,
}

impl Run {
    /// The user who sends `stream`.
    pub fn sender(&self, stream: u32) -> &User {
        &self.users[self.world.streams[stream as usize].sender as usize]
    }

    /// What the server calls the audience of a stream.
    pub fn target(&self, stream: u32) -> Target {
        match self.world.streams[stream as usize].to {
            Audience::Friend(friend) => Target::User(self.users[friend as usize].id()),
            Audience::Group(group) => Target::Group(self.group_ids[group as usize].load(Ordering::Relaxed)),
        }
    }

    /// Whether any recipient of a stream is not connected.
    fn is_anybody_away(&self, stream: u32) -> bool {
        let is_away = |user: u32| !self.users[user as usize].is_online();
        match self.world.streams[stream as usize].to {
            Audience::Friend(friend) => is_away(friend),
            Audience::Group(group) => self.world.groups[group as usize].members.iter().any(|user| is_away(*user)),
        }
    }

    /// Puts a message of `stream` into its sender's outbox, due at `due`, or lets it wait its turn where a window is
    /// full. False, and nothing is entered anywhere, if there is no connection. Follow it with [`User::flush`].
    pub fn send(&self, stream: u32, due: u64) -> bool {
        self.pass_those_away(stream);
        let user = self.sender(stream);
        let mut outbox = user.outbox.lock();
        if !outbox.takes_more() {
            return false;
        }
        match self.windows.as_ref().map_or(Admission::Send, |windows| windows.admit(stream, due)) {
            Admission::Send => self.enter(user, &mut outbox, stream, due),
            Admission::Waits => {}
            Admission::Full => return false,
        }
        true
    }

    /// Closed model: `count` messages of the stream have settled at `now`, so as many may go. They go all or not at
    /// all, where no window bounds them.
    pub(crate) fn refill(&self, stream: u32, now: u64, count: u64) {
        if count == 0 || !self.is_refilling() {
            return;
        }
        if self.windows.is_some() {
            (0..count).take_while(|_| self.send(stream, now)).count();
            return;
        }
        let user = self.sender(stream);
        let mut outbox = user.outbox.lock();
        if outbox.takes_more() {
            outbox.bytes.reserve(count as usize * (self.plan.body + USUAL_FRAME_BYTES));
            for number in self.ledger.send_all(stream, now, count) {
                self.write(user, &mut outbox, Message { stream, number, due: now, again: false });
            }
        }
    }

    /// A message has reached everybody it is for, and makes room for the next, where nothing else tells.
    pub(super) fn make_room(&self, stream: u32, number: u64, now: u64) {
        let Some(windows) = &self.windows else { return };
        windows.arrived(stream, number);
        self.refill(stream, now, 1);
        self.send_waiting(stream);
    }

    /// Messages that are due and wait for room in a window.
    pub fn waiting(&self) -> u64 {
        self.windows.as_ref().map_or(0, Windows::waiting)
    }

    /// Makes room in a window that is full of messages to somebody who is away. Nothing may be locked here, since it
    /// looks at other users.
    fn pass_those_away(&self, stream: u32) {
        let Some(windows) = &self.windows else { return };
        let is_stuck = !windows.has_room(stream) && self.is_anybody_away(stream);
        if is_stuck && windows.expire(stream, self.clock.now(), true) > 0 {
            self.send_waiting(stream);
        }
    }

    fn enter(&self, user: &User, outbox: &mut Outbox, stream: u32, due: u64) {
        let number = self.ledger.send(stream, due);
        if let Some(windows) = &self.windows {
            windows.sent(stream, number, self.clock.now());
        }
        self.write(user, outbox, Message { stream, number, due, again: false });
    }

    /// Sends what waits in the window of `stream`, as far as there is room.
    fn send_waiting(&self, stream: u32) {
        let Some(windows) = self.windows.as_ref().filter(|_| !self.is_closing()) else { return };
        let user = self.sender(stream);
        let mut outbox = user.outbox.lock();
        while outbox.takes_more()
            && let Some(due) = windows.next(stream)
        {
            self.enter(user, &mut outbox, stream, due);
        }
        drop(outbox);
        user.flush();
    }

    /// Gives up messages of a user that do not arrive, so that those behind them get their turn.
    pub(crate) fn move_windows_on(&self, user: &User) {
        let Some(windows) = self.windows.as_ref().filter(|_| !self.is_closing()) else { return };
        for &stream in &user.streams {
            let away = self.is_anybody_away(stream);
            let given_up = windows.expire(stream, self.clock.now(), away);
            if given_up > 0 && !away {
                (0..given_up).for_each(|_| self.error("send: not received within the time allowed, went on"));
            }
            // Closed model: also what could not be refilled while this user was away.
            while self.is_refilling() && windows.has_room(stream) {
                if !self.send(stream, self.clock.now()) {
                    break;
                }
            }
            self.send_waiting(stream);
        }
    }

    /// Sends a message once more, under the same `mid`.
    pub(crate) fn send_again(&self, stream: u32, number: u64, due: u64) {
        let user = self.sender(stream);
        let mut outbox = user.outbox.lock();
        if outbox.online && !self.is_closing() {
            self.write_again(user, &mut outbox, stream, (number, due));
        }
    }

    fn write_again(&self, user: &User, outbox: &mut Outbox, stream: u32, (number, due): (u64, u64)) {
        self.ledger.resend(stream);
        self.write(user, outbox, Message { stream, number, due, again: true });
    }

    fn write(&self, user: &User, outbox: &mut Outbox, message: Message) {
        let Message { stream, number, due, again } = message;
        let (to, mid, qos) = (self.target(stream), mid_of(self.id, stream, number), self.plan.qos);
        TEXT.with_borrow_mut(|text| {
            text.clear();
            Stamp { run: self.id, stream, number, due }.write(self.plan.body, text);
            self.wire.chat(Chat { from: user.id(), from_name: &user.name, to, text, mid, qos }, &mut outbox.bytes);
            let session = outbox.session;
            self.note(|| Event::Send {
                user: user.id(),
                session,
                to: to.into(),
                mid,
                body: body(text),
                qos,
                due,
                again,
            });
        });
    }

    /// Asks the server for something; the answer comes to the receiver, or an error where the connection ends before.
    pub fn ask(&self, user: &User, ask: Ask<'_>) -> oneshot::Receiver<Answer> {
        let (waiter, receiver) = oneshot::channel();
        let mid = Uuid::now_v7();
        let mut outbox = user.outbox.lock();
        if outbox.online {
            self.wire.ask(user.id(), ask, mid, &mut outbox.bytes);
            if self.wire.answers(&ask) {
                user.asks.lock().push(Pending { mid, waiter });
            } else {
                let _ = waiter.send(Ok(0));
            }
        }
        drop(outbox);
        user.flush();
        receiver
    }

    /// The connection is up: what was on its way when the last one broke goes first.
    pub(super) fn came_online(&self, user: &User, session: u32, socket: Option<Arc<TcpStream>>) {
        let mut outbox = user.outbox.lock();
        *outbox = Outbox { socket, session, online: true, ..Outbox::default() };
        if self.plan.qos > 0 && self.wire.acknowledges() && !self.is_closing() {
            for &stream in &user.streams {
                let unsettled = self.ledger.unsettled(stream).into_iter();
                unsettled.for_each(|message| self.write_again(user, &mut outbox, stream, message));
            }
        }
        self.online.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on nothing more is entered; what was still goes out.
    pub(super) fn withdraw(&self, user: &User) {
        if std::mem::take(&mut user.outbox.lock().online) {
            self.online.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Asks to be logged out, without anything to come back.
    pub(super) fn say_goodbye(&self, user: &User) {
        self.wire.ask(user.id(), Ask::Logout, Uuid::nil(), &mut user.outbox.lock().bytes);
    }

    pub(super) fn went_offline(&self, user: &User) {
        let was_online = std::mem::take(&mut *user.outbox.lock()).online;
        if was_online {
            self.online.fetch_sub(1, Ordering::Relaxed);
        }
        *user.asks.lock() = Vec::new();
    }
}
