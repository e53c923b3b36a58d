//! One simulated user: an account, a connection that comes and goes as wished, and what waits to be written.
//!
//! Anyone may [`User::send`]; the user's own task (`session`) connects, reads, answers and checks what arrives. A user
//! without a connection keeps nothing but its name.

pub mod accounts;

mod establish;
mod session;
pub(crate) mod window;

pub use establish::PASSWORD;
pub(crate) use establish::describe;
pub use session::live;

use crate::dialect::{Ask, Chat, Refusal, mid_of};
use crate::measure::recorder::Path;
use crate::measure::stamp::Stamp;
use crate::plan::Plan;
use crate::run::{NO_NODE, Run};
use crate::user::accounts::Account;
use crate::user::window::Admission;
use futures_util::task::AtomicWaker;
use judge::history::Event;
use parking_lot::{Mutex, MutexGuard};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Bytes waiting for one user beyond which nothing more is sent: the server does not read.
const MAX_OUTBOX_BYTES: usize = 1024 * 1024;

/// What most frames need beyond their text.
const USUAL_FRAME_BYTES: usize = 128;
/// Latencies that wait to be shown elsewhere; beyond it they are only in our own record.
const MAX_MIRRORED: usize = 4_096;

/// Between a request that is not answered and the next: many servers take for one message whatever one read gives them.
pub(crate) const UNANSWERED_PAUSE: Duration = Duration::from_millis(50);

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a user is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Wish {
    /// Logged out and not connected.
    Away,
    Online,
    /// Away for good; the user's task ends.
    Gone,
}

/// What an answer to an [`Ask`] brings: the id that was made, or 0.
pub type Answer = Result<u64, Refusal>;

struct Pending {
    mid: Uuid,
    waiter: oneshot::Sender<Answer>,
}

/// What waits to be written, and where it can be written to.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    socket: Option<Arc<TcpStream>>,
    online: bool,
    session: u32,
    /// The kernel takes no more for now; the user's task waits for it.
    blocked: bool,
}

/// One simulated user.
pub struct User {
    pub index: u32,
    pub name: String,
    id: AtomicU64,
    token: Mutex<Option<Box<str>>>,
    /// Streams that this user sends.
    streams: Box<[u32]>,
    outbox: Mutex<Outbox>,
    waker: AtomicWaker,
    wish: AtomicU8,
    /// When the wish was made.
    wished_at: AtomicU64,
    node: AtomicU32,
    paused: AtomicBool,
    broken: AtomicBool,
    /// Something was received that the server does not know of.
    dirty: AtomicBool,
    /// It is time to say so.
    tell: AtomicBool,
    asks: Mutex<Vec<Pending>>,
    /// What was measured for this user and is to be shown elsewhere as well.
    mirrored: Mutex<Vec<(Path, u64)>>,
    /// Groups that the server said this user is in, by name.
    pub(crate) groups: Mutex<Vec<(String, u64)>>,
}

impl User {
    pub(crate) fn new(index: u32, streams: Vec<u32>, plan: &Plan) -> User {
        User {
            index,
            name: accounts::name(plan, index),
            id: AtomicU64::new(0),
            token: Mutex::default(),
            streams: streams.into(),
            outbox: Mutex::default(),
            waker: AtomicWaker::new(),
            wish: AtomicU8::new(Wish::Away as u8),
            wished_at: AtomicU64::new(0),
            node: AtomicU32::new(NO_NODE),
            paused: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            tell: AtomicBool::new(false),
            asks: Mutex::default(),
            mirrored: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// What the server calls this user; 0 before the first login.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// The node of the current or last session, as [`Run::node`] numbers them.
    pub fn node(&self) -> u32 {
        self.node.load(Ordering::Relaxed)
    }

    pub fn is_online(&self) -> bool {
        self.outbox.lock().online
    }

    /// Takes over what was learned of the account in an earlier run.
    pub fn remember(&self, account: &Account) {
        self.id.store(account.id, Ordering::Relaxed);
        *self.token.lock() = account.token.clone();
    }

    /// What a later run can use.
    pub fn account(&self) -> Account {
        Account { name: self.name.clone(), id: self.id(), token: self.token.lock().clone() }
    }

    /// Records a latency, here and for whoever else shows it.
    fn record(&self, run: &Run, path: Path, micros: u64) {
        self.record_all(run, path, &[micros]);
    }

    fn record_all(&self, run: &Run, path: Path, micros: &[u64]) {
        run.recorder.record_all(path, micros);
        if run.mirrors {
            let mut mirrored = self.mirrored.lock();
            let room = MAX_MIRRORED.saturating_sub(mirrored.len());
            mirrored.extend(micros.iter().take(room).map(|micros| (path, *micros)));
        }
    }

    /// What was recorded for this user since the last call.
    pub fn take_mirrored(&self) -> Vec<(Path, u64)> {
        std::mem::take(&mut self.mirrored.lock())
    }

    /// Makes the user come or go, from now on. A login's latency counts from here.
    pub fn wish(&self, wish: Wish, run: &Run) {
        if self.wish.swap(wish as u8, Ordering::AcqRel) != wish as u8 {
            self.wished_at.store(run.clock.now(), Ordering::Release);
        }
        self.waker.wake();
    }

    fn wished(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::Away,
            1 => Wish::Online,
            _ => Wish::Gone,
        }
    }

    /// Drops the connection as it stands; the user comes back by itself.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Stops reading, or goes on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.waker.wake();
    }

    /// Lets the user tell the server what it received, if there is anything to tell.
    pub fn tell(&self) {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.tell.store(true, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Puts a message of `stream` into the outbox, due at `due`, or lets it wait its turn where a window is full.
    /// False, and nothing is entered anywhere, if there is no connection. Follow it with [`User::flush`].
    pub fn send(&self, run: &Run, stream: u32, due: u64) -> bool {
        self.pass_those_away(run, stream);
        let mut outbox = self.outbox.lock();
        if !outbox.online || outbox.bytes.len() > MAX_OUTBOX_BYTES {
            return false;
        }
        match run.windows.as_ref().map_or(Admission::Send, |windows| windows.admit(stream, due)) {
            Admission::Send => self.enter(run, &mut outbox, stream, due),
            Admission::Waits => {}
            Admission::Full => return false,
        }
        true
    }

    /// Puts `count` messages of `stream`, all due at `due`, into the outbox as [`User::send`] does: all or none, where
    /// no window bounds them.
    pub(crate) fn send_all(&self, run: &Run, stream: u32, due: u64, count: u64) {
        if run.windows.is_some() {
            (0..count).take_while(|_| self.send(run, stream, due)).count();
            return;
        }
        let mut outbox = self.outbox.lock();
        if outbox.online && outbox.bytes.len() <= MAX_OUTBOX_BYTES {
            outbox.bytes.reserve(count as usize * (run.plan.body + USUAL_FRAME_BYTES));
            for number in run.ledger.send_all(stream, due, count) {
                self.write(run, &mut outbox, stream, number, due, false);
            }
        }
    }

    /// Makes room in a window that is full of messages to somebody who is away. Nothing may be locked here, since it
    /// looks at other users.
    fn pass_those_away(&self, run: &Run, stream: u32) {
        let Some(windows) = &run.windows else { return };
        if !windows.has_room(stream) && run.is_anybody_away(stream) && windows.expire(stream, run.clock.now(), true) > 0
        {
            self.send_waiting(run, stream);
        }
    }

    fn enter(&self, run: &Run, outbox: &mut Outbox, stream: u32, due: u64) {
        let number = run.ledger.send(stream, due);
        if let Some(windows) = &run.windows {
            windows.sent(stream, number, run.clock.now());
        }
        self.write(run, outbox, stream, number, due, false);
    }

    /// Sends what waits in the window of `stream`, as far as there is room.
    pub(crate) fn send_waiting(&self, run: &Run, stream: u32) {
        let Some(windows) = run.windows.as_ref().filter(|_| !run.is_closing()) else { return };
        let mut outbox = self.outbox.lock();
        while outbox.online
            && outbox.bytes.len() <= MAX_OUTBOX_BYTES
            && let Some(due) = windows.next(stream)
        {
            self.enter(run, &mut outbox, stream, due);
        }
        drop(outbox);
        self.flush();
    }

    /// Gives up messages that do not arrive, so that those behind them get their turn.
    pub(crate) fn move_windows_on(&self, run: &Run) {
        let Some(windows) = run.windows.as_ref().filter(|_| !run.is_closing()) else { return };
        for &stream in &self.streams {
            let away = run.is_anybody_away(stream);
            let given_up = windows.expire(stream, run.clock.now(), away);
            if given_up > 0 && !away {
                (0..given_up).for_each(|_| run.error("send: not received within the time allowed, went on"));
            }
            // Closed model: also what could not be refilled while this user was away.
            while run.is_refilling() && windows.has_room(stream) {
                if !self.send(run, stream, run.clock.now()) {
                    break;
                }
            }
            self.send_waiting(run, stream);
        }
    }

    /// Sends a message once more, under the same `mid`.
    pub(crate) fn send_again(&self, run: &Run, stream: u32, number: u64, due: u64) {
        let mut outbox = self.outbox.lock();
        if outbox.online && !run.is_closing() {
            run.ledger.resend(stream);
            self.write(run, &mut outbox, stream, number, due, true);
        }
    }

    fn write(&self, run: &Run, outbox: &mut Outbox, stream: u32, number: u64, due: u64, again: bool) {
        let (to, mid) = (run.target(stream), mid_of(run.id, stream, number));
        TEXT.with_borrow_mut(|text| {
            text.clear();
            Stamp { run: run.id, stream, number, due }.write(run.plan.body, text);
            let chat = Chat { from: self.id(), from_name: &self.name, to, text, mid, qos: run.plan.qos };
            run.wire.chat(chat, &mut outbox.bytes);
            run.note(|| Event::Send {
                user: self.id(),
                session: outbox.session,
                to: to.into(),
                mid,
                body: judge::history::body(text),
                qos: run.plan.qos,
                due,
                again,
            });
        });
    }

    /// Hands the outbox to the kernel.
    pub fn flush(&self) {
        let mut outbox = self.outbox.lock();
        if !outbox.blocked && !outbox.write_out() {
            drop(outbox);
            self.waker.wake();
        }
    }

    /// Asks the server for something; the answer comes to the receiver, or an error where the connection ends before.
    pub fn ask(&self, run: &Run, ask: Ask<'_>) -> oneshot::Receiver<Answer> {
        let (waiter, receiver) = oneshot::channel();
        let mid = Uuid::now_v7();
        let mut outbox = self.outbox.lock();
        if outbox.online {
            run.wire.ask(self.id(), ask, mid, &mut outbox.bytes);
            if run.wire.answers(&ask) {
                self.asks.lock().push(Pending { mid, waiter });
            } else {
                let _ = waiter.send(Ok(0));
            }
        }
        drop(outbox);
        self.flush();
        receiver
    }

    fn answered(&self, mid: Option<Uuid>, answer: Answer) {
        let mut asks = self.asks.lock();
        // A dialect without ids answers in order.
        let place = match mid {
            Some(mid) => asks.iter().position(|pending| pending.mid == mid),
            None => (!asks.is_empty()).then_some(0),
        };
        if let Some(place) = place {
            let _ = asks.remove(place).waiter.send(answer);
        }
        if asks.is_empty() {
            *asks = Vec::new();
        }
    }

    /// The connection is up: what was on its way when the last one broke goes first.
    fn came_online(&self, run: &Run, session: u32, socket: Option<Arc<TcpStream>>) {
        let mut outbox = self.outbox.lock();
        *outbox = Outbox { socket, session, online: true, ..Outbox::default() };
        if run.plan.qos > 0 && run.wire.acknowledges() && !run.is_closing() {
            self.write_unsettled(run, &mut outbox);
        }
        run.online.fetch_add(1, Ordering::Relaxed);
    }

    fn write_unsettled(&self, run: &Run, outbox: &mut MutexGuard<'_, Outbox>) {
        for &stream in &self.streams {
            for (number, due) in run.ledger.unsettled(stream) {
                run.ledger.resend(stream);
                self.write(run, outbox, stream, number, due, true);
            }
        }
    }

    /// From now on nothing more is entered; what was still goes out.
    fn withdraw(&self, run: &Run) {
        if std::mem::take(&mut self.outbox.lock().online) {
            run.online.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Asks to be logged out, without anything to come back.
    fn say_goodbye(&self, run: &Run) {
        run.wire.ask(self.id(), Ask::Logout, Uuid::nil(), &mut self.outbox.lock().bytes);
    }

    fn has_written_all(&self) -> bool {
        self.outbox.lock().bytes.is_empty()
    }

    fn went_offline(&self, run: &Run) {
        let was_online = std::mem::take(&mut *self.outbox.lock()).online;
        if was_online {
            run.online.fetch_sub(1, Ordering::Relaxed);
        }
        *self.asks.lock() = Vec::new();
    }
}

impl Outbox {
    /// Writes what the kernel takes; false if the user's task must see to the rest.
    fn write_out(&mut self) -> bool {
        let Some(socket) = &self.socket else { return self.bytes.is_empty() };
        let mut written = 0;
        while written < self.bytes.len() {
            match socket.try_write(&self.bytes[written..]) {
                Ok(count) if count > 0 => written += count,
                // Errors come to light when the task reads.
                _ => {
                    self.blocked = true;
                    break;
                }
            }
        }
        crate::link::discard_front(&mut self.bytes, written);
        !self.blocked
    }
}
