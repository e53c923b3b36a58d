//! One logged-in user, and what has been pushed to it.
//!
//! The rule: a session pushes each conversation strictly contiguously from its cursor. A live message is a copy of what
//! is in the log; if it is the next one it is pushed, otherwise the cursor falls behind and the log is read (see
//! `catch_up`). Backlog, gap, repair, slow reader and takeover all go this one way, which gives order, no loss and no
//! double push. A user's own messages move the cursor and are not pushed. The cursors themselves are in `cursors`;
//! here they meet the lock that all who push share, and the connection.
//!
//! Knows no socket: bytes go to an [`Outbound`].

use super::answers::{Delivered, Doubt, Gap, Next, Queue, Read, Relayed};
use super::cursors::Cursors;
use super::failure;
use crate::cluster::{EndReason, NodeKey};
use crate::failpoint::PushFaults;
use crate::session::outbound::{Outbound, Push};
use crate::storage::{Actor, End, Mark, Page, Position, Release, SessionKey, Waiting};
use chat_protocol::conversation::{Conversation, Log, UserId};
use chat_protocol::errno::{Errno, Failure};
use chat_protocol::message::{ChatMessage, Event};
use parking_lot::Mutex;
use std::cell::Cell;
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
    state: Mutex<Cursors>,
    /// Some cursor waits for room in the outbound queue, or for the session to be live.
    stalled: AtomicBool,
    /// Set while the session stands in the list of those with cursors to save.
    unsaved: AtomicBool,
    /// Somebody elsewhere waits for the session's row.
    yielding: AtomicBool,
    /// The row is another node's already: nothing may be done or saved in the session's name.
    lost: AtomicBool,
    ended: Notify,
}

/// A session as its cursors see it.
struct Way<'a> {
    session: &'a Session,
    gaps: Cell<u64>,
}

impl Queue for Way<'_> {
    fn user(&self) -> UserId {
        self.session.user
    }

    fn push(&self, push: &Push<'_>) -> bool {
        let outbound = &self.session.outbound;
        self.session.faults.push(push.message, |other| match other {
            None => outbound.push(push),
            Some(message) => outbound.push(&Push::new(message, 1)),
        })
    }

    fn pass_own(&self, message: &ChatMessage) {
        if !self.session.acknowledges {
            self.session.outbound.note(message.log(), message.seq);
        }
    }

    fn has_room(&self) -> bool {
        self.session.outbound.has_room()
    }

    fn tell_when_drained(&self) {
        self.session.stalled.store(true, Ordering::Release);
    }

    fn gap(&self, gap: Gap) {
        self.gaps.set(self.gaps.get() + 1);
        self.removed(gap);
    }

    fn removed(&self, Gap { log, first, last }: Gap) {
        if self.session.events {
            self.session.outbound.tell(&Event::Gap { conv: log.to_string(), first, last });
        }
    }
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
            lost: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    pub fn release(&self) -> Release {
        Release { user: self.user, epoch: self.epoch }
    }

    /// On whose behalf the session's requests change something.
    pub fn actor(&self, node: &NodeKey) -> Actor {
        Actor { user: self.user, session: Some(SessionKey { node: node.clone(), epoch: self.epoch }) }
    }

    /// Offers a copy of a stored message.
    pub fn deliver(&self, push: &Push<'_>) -> Delivered {
        self.state.lock().deliver(push, &self.way())
    }

    /// The conversation's log has got so far; has all of it been pushed?
    pub fn note(&self, conv: Conversation, end: End) -> Delivered {
        self.state.lock().note(conv, end, &self.way())
    }

    /// Offers a message with `qos` 0, whose recipients were looked up under `version` of the conversation's members.
    pub fn relay(&self, push: &Push<'_>, version: u64) -> Relayed {
        let state = self.state.lock();
        match state.may_relay(push.message.conv, version) {
            // Still under the lock: nothing follows the answer that ends a membership.
            Relayed::Queued if !self.outbound.push(push) => Relayed::Refused,
            relayed => relayed,
        }
    }

    pub fn tell(&self, event: &Event) {
        if self.events && self.state.lock().is_live() {
            self.outbound.tell(event);
        }
    }

    fn way(&self) -> Way<'_> {
        Way { session: self, gaps: Cell::new(0) }
    }
}

/// The life of a session.
impl Session {
    /// LOGIN_ACK is queued. Returns the conversations to hand to `catch_up`.
    pub fn go_live(&self) -> Vec<Conversation> {
        self.state.lock().started();
        self.resume_stalled()
    }

    /// The lease is in doubt: push nothing until [`Session::resume`].
    pub fn suspend(&self) {
        self.state.lock().suspend(true);
    }

    /// The lease is good again. Returns the conversations to hand to `catch_up`; none of a session that has not begun.
    pub fn resume(&self) -> Vec<Conversation> {
        self.state.lock().suspend(false);
        self.resume_stalled()
    }

    /// The session is about to end: push nothing more, for good.
    pub fn leave(&self) {
        self.state.lock().leave();
    }

    /// Whether cursors wait for room: ask when the queue has drained.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// The conversations to read on, now that there is room.
    pub fn resume_stalled(&self) -> Vec<Conversation> {
        let mut state = self.state.lock();
        if !state.is_live() || !self.stalled.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        state.resume()
    }

    /// Has the connection closed, after the session was ended in good order.
    pub fn close(&self, why: Failure) {
        self.outbound.close(why);
    }

    /// Its connection is to be closed, and takes no more messages.
    pub fn is_closing(&self) -> bool {
        self.outbound.is_closing()
    }

    /// Whether it is the session of this connection.
    pub fn is_on(&self, outbound: &Arc<Outbound>) -> bool {
        Arc::ptr_eq(&self.outbound, outbound)
    }

    /// Which connection it is on, to be compared and no more.
    pub fn connection(&self) -> *const Outbound {
        Arc::as_ptr(&self.outbound)
    }

    /// Nothing is pushed any more, though the row may not be free yet.
    pub fn has_ended(&self) -> bool {
        self.state.lock().has_ended()
    }

    /// At the start: messages wait in this conversation, and those up to `pushed` are on their way to the client
    /// already.
    pub fn waits(&self, waiting: &Waiting, pushed: u64) {
        self.state.lock().waits(waiting, pushed, &self.way());
    }

    /// Somebody elsewhere wants it to end, and waits for its row.
    pub fn give_up(&self, reason: EndReason) {
        self.yielding.store(true, Ordering::Release);
        self.close(failure::of_end(reason));
    }

    /// The session has been taken over behind this node's back.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.close(Errno::Replaced.into());
    }

    pub fn is_yielding(&self) -> bool {
        self.yielding.load(Ordering::Acquire)
    }

    /// From here on nothing is pushed. Returns the cursors still to be saved; empty the second time.
    pub fn end(&self) -> Vec<Mark> {
        let marks = self.state.lock().end(self.user);
        self.unless_lost(marks)
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

/// Requests that make the user a member, or end that (see `delivery::member_changes`).
impl Session {
    /// Such a request is about to reach the database: nothing of the conversation is pushed until its outcome is told.
    pub fn doubt(&self, conv: Conversation) -> Doubt {
        self.state.lock().doubt(conv)
    }

    /// The user is no member: nothing that waits there is pushed any more.
    pub fn left(&self, doubt: &Doubt) {
        self.state.lock().left(doubt);
    }

    /// The user has become a member, and gets what comes after `end`.
    pub fn joined(&self, doubt: &Doubt, end: End) -> Delivered {
        self.state.lock().joined(doubt, end, &self.way())
    }

    /// The user was a member already. `None` where it is not known since when: an earlier request's outcome is not.
    pub fn stayed(&self, doubt: &Doubt) -> Option<Delivered> {
        self.state.lock().stayed(doubt, &self.way())
    }

    /// The cursor that the database has when no request of the user can take effect any more.
    pub fn settled(&self, doubt: &Doubt, position: Option<Position>) -> Delivered {
        self.state.lock().settled(doubt, position, &self.way())
    }

    /// Messages with `qos` 0 whose recipients were looked up under an older version come too late.
    pub fn relays_from(&self, conv: Conversation, version: u64) {
        self.state.lock().relays_from(conv, version);
    }
}

/// What `catch_up` needs.
impl Session {
    /// Where to read on in the conversation.
    pub fn next_read(&self, conv: Conversation) -> Next {
        self.state.lock().next_read(conv, &self.way())
    }

    /// The cursor as the database has it; `None`: the user is no member, so nothing is owed.
    pub fn cursor_loaded(&self, conv: Conversation, ticket: u64, position: Option<Position>) {
        self.state.lock().cursor_loaded(conv, ticket, position);
    }

    /// Pushes a page of the log.
    pub fn push_page(&self, conv: Conversation, ticket: u64, page: &Page) -> Read {
        self.state.lock().push_page(conv, ticket, page, None, &self.way())
    }

    /// Pushes a page that is certain, with the conversation's end as of then, and skips what is missing in it. Returns
    /// how many stretches are.
    pub fn push_certain(&self, conv: Conversation, ticket: u64, page: &Page, last_seq: u64) -> (Read, u64) {
        let way = self.way();
        let read = self.state.lock().push_page(conv, ticket, page, Some(last_seq), &way);
        (read, way.gaps.get())
    }
}

/// Cursors on their way to the database.
impl Session {
    /// The client has everything of the log up to `seq`. Beyond what was pushed, or backwards: ignored.
    /// True: the session has something to save and is not yet in the list.
    pub fn received(&self, log: Log, seq: u64) -> bool {
        self.state.lock().received(log, seq) && !self.unsaved.swap(true, Ordering::AcqRel)
    }

    /// How far each conversation has been pushed, where the client is not known to have it all.
    pub fn unreceived(&self) -> Vec<(Log, u64)> {
        self.state.lock().unreceived()
    }

    /// Takes the cursors that the database does not know yet.
    pub fn take_unsaved(&self) -> Vec<Mark> {
        let state = self.state.lock();
        self.unsaved.store(false, Ordering::Release);
        self.unless_lost(state.unsaved(self.user))
    }

    /// Saving failed. True: the session must go back into the list.
    pub fn still_unsaved(&self) -> bool {
        !self.unsaved.swap(true, Ordering::AcqRel)
    }

    /// The database has these now.
    pub fn saved(&self, marks: &[Mark]) {
        let mut state = self.state.lock();
        marks.iter().for_each(|mark| state.saved(mark));
    }

    fn unless_lost(&self, marks: Vec<Mark>) -> Vec<Mark> {
        if self.lost.load(Ordering::Acquire) { Vec::new() } else { marks }
    }
}
