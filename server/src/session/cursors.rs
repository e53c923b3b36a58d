//! How far each conversation has got in one session: a state machine that knows no lock, no socket, no clock and no
//! task.
//!
//! Every conversation is pushed strictly contiguously from its cursor. A live copy that fits goes out at once; anything
//! else makes the cursor fall behind, and whoever reads the log (`catch_up`) asks what to read ([`Cursors::next_read`])
//! and brings it ([`Cursors::push_page`]). What was read for an earlier state of the conversation comes with an old
//! ticket, and is not used.
//!
//! While a request to join or leave a group is under way, or its outcome unknown, the conversation is in doubt: nothing
//! of it is pushed, and copies only say how far there is something to read.

mod membership;
mod reading;

use super::answers::{Delivered, Queue, Relayed};
use super::barred::Barred;
use super::place::{Before, Place};
use crate::failpoint::{self, Failpoint};
use crate::session::outbound::Push;
use crate::storage::{End, Mark, Position, Waiting};
use chat_protocol::conversation::{Conversation, Log, LogEpoch, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// Reads in a row that may bring nothing although something should be there; then the log is read once more in a way
/// that cannot be out of date, and what is missing is skipped.
pub const MISSING_READS: u8 = 6;

#[derive(Default)]
pub struct Cursors {
    phase: Phase,
    /// The node's lease is in doubt: nothing is pushed.
    is_suspended: bool,
    cursors: BTreeMap<Conversation, Cursor>,
    /// Cursors in doubt.
    in_doubt: usize,
    /// Conversations that `catch_up` has in its queue or hands.
    handed: BTreeSet<Conversation>,
    barred: Barred,
    tickets: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Routable, but LOGIN_ACK has not been queued: nothing may be pushed before it.
    #[default]
    Starting,
    Started,
    /// About to end: nothing is pushed any more, but what was pushed may still be received.
    Leaving,
    Ended,
}

#[derive(Debug)]
struct Cursor {
    /// `None` until it has been read from the database.
    place: Option<Place>,
    /// The newest seq heard of.
    target: u64,
    progress: Progress,
    /// The newest seq heard of since the log was last asked for.
    heard_since: u64,
    /// Reads in a row that brought nothing.
    missing: u8,
    ticket: u64,
    log_epoch: LogEpoch,
    /// Where it stood in another epoch of the log, or before the user left, until all that is still there of that has
    /// been passed.
    before: Option<Before>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Everything heard of has been pushed: the next live message can go out directly. The place is known.
    Current,
    /// In the hands of `catch_up`.
    Reading,
    /// Must be read on, once the session is live and its queue has room.
    Stalled,
    /// Whether the user is a member, and from where on, is not known for now.
    InDoubt,
}

impl Cursor {
    fn unknown(ticket: u64, log_epoch: LogEpoch) -> Self {
        let progress = Progress::Stalled;
        Cursor { place: None, target: 0, progress, heard_since: 0, missing: 0, ticket, log_epoch, before: None }
    }

    fn end(&self) -> End {
        End { log_epoch: self.log_epoch, seq: self.target }
    }

    /// Nothing before this is for the user.
    fn begin_at(&mut self, position: &Position) {
        if self.log_epoch <= position.log_epoch {
            self.before = None;
            self.stand_at(position);
        } else {
            // A newer epoch has been heard of: to be read what is left of this one.
            (self.place, self.before) = (None, Some(Before::at(position)));
        }
    }

    /// As the database has it; what was pushed beyond is passed over.
    fn stand_at(&mut self, position: &Position) {
        self.log_epoch = position.log_epoch;
        self.place = Some(Place::at(position));
    }

    /// How far it has got, in which epoch.
    fn so_far(&self) -> Option<Before> {
        let place = self.place.as_ref();
        match self.before {
            Some(before) => {
                let received = place.map_or(0, |place| place.received).max(before.received);
                Some(Before { received, ..before })
            }
            None => {
                place.map(|place| Before { log_epoch: self.log_epoch, pushed: place.pushed, received: place.received })
            }
        }
    }

    /// How far the log that this is a position of has been pushed: of an earlier epoch, what is still there of it.
    fn pushed_of(&self, position: &Position) -> Option<u64> {
        let still_there = |pushed: u64, of: LogEpoch| match of < position.log_epoch {
            true => pushed.min(position.epoch_after),
            false => pushed,
        };
        let before = self.before.map(|before| still_there(before.pushed, before.log_epoch));
        before.max(self.place.as_ref().map(|place| still_there(place.pushed, self.log_epoch)))
    }

    /// How far it has been received, where the database does not know it.
    fn unsaved(&self) -> Option<End> {
        let (saved, received) = self.place.as_ref().map_or((0, 0), |place| (place.saved, place.received));
        // The database knows better than this how much of it is left.
        let before = self.before.filter(|before| before.received > received && self.progress != Progress::Current);
        let (seq, log_epoch) = before.map_or((received, self.log_epoch), |before| (before.received, before.log_epoch));
        (seq > saved).then_some(End { log_epoch, seq })
    }

    fn hear_of(&mut self, seq: u64) {
        self.target = self.target.max(seq);
        self.heard_since = self.heard_since.max(seq);
    }

    fn is_behind(&self) -> bool {
        self.place.as_ref().is_none_or(|place| self.target > place.pushed)
    }
}

/// What is told while it happens.
impl Cursors {
    /// Offers a copy of a stored message.
    pub fn deliver(&mut self, push: &Push<'_>, queue: &impl Queue) -> Delivered {
        let message = push.message;
        let is_live = self.is_live();
        match self.cursors.get_mut(&message.conv) {
            _ if self.phase == Phase::Ended => Delivered::Gone,
            Some(Cursor { progress: Progress::Current, place: Some(place), log_epoch, before, .. })
                if is_live && *log_epoch == message.log_epoch && follows(message.seq, place.pushed) =>
            {
                if place.pass(push, before, queue) {
                    return Delivered::Done;
                }
                self.fall_behind(message.conv, End::of(message), true, queue)
            }
            _ => self.note(message.conv, End::of(message), queue),
        }
    }

    /// The conversation's log has got so far; has all of it been pushed?
    pub fn note(&mut self, conv: Conversation, end: End, queue: &impl Queue) -> Delivered {
        if self.phase == Phase::Ended {
            return Delivered::Gone;
        }
        if self.follow_epoch(conv, end.log_epoch) {
            return self.fall_behind(conv, end, false, queue);
        }
        match self.cursors.get_mut(&conv) {
            // Of a stretch of the log that is lost, or long pushed.
            Some(cursor) if end.log_epoch < cursor.log_epoch => Delivered::Done,
            Some(cursor) if cursor.progress != Progress::Current => {
                cursor.hear_of(end.seq);
                Delivered::Done
            }
            Some(Cursor { place: Some(place), .. }) if place.pushed >= end.seq => Delivered::Done,
            None if self.barred.has_left(conv) => Delivered::Done,
            _ => self.fall_behind(conv, end, false, queue),
        }
    }

    /// Where the log's epoch is newer than the cursor's, what was pushed may be gone from it, and what is not known to
    /// be received must be read again. True: nobody was to read it so far.
    fn follow_epoch(&mut self, conv: Conversation, log_epoch: LogEpoch) -> bool {
        let is_older = |cursor: &&mut Cursor| cursor.log_epoch < log_epoch;
        let Some(cursor) = self.cursors.get_mut(&conv).filter(is_older) else { return false };
        let (before, progress) = (cursor.so_far(), cursor.progress);
        let ticket = match progress {
            Progress::InDoubt => cursor.ticket,
            _ => {
                self.tickets += 1;
                self.tickets
            }
        };
        *cursor = Cursor { before, progress, ..Cursor::unknown(ticket, log_epoch) };
        progress == Progress::Current
    }

    /// Whether a message with `qos` 0 may be pushed, whose recipients were looked up under `version`.
    pub fn may_relay(&self, conv: Conversation, version: u64) -> Relayed {
        if !self.is_live() {
            return Relayed::Refused;
        }
        let is_in_doubt = || self.cursors.get(&conv).is_some_and(|cursor| cursor.progress == Progress::InDoubt);
        match (self.in_doubt > 0 && is_in_doubt()) || self.barred.forbids(conv, version) {
            true => Relayed::TooLate,
            false => Relayed::Queued,
        }
    }

    /// The cursor must be read on to `end`. `refused`: its queue had no room a moment ago.
    fn fall_behind(&mut self, conv: Conversation, end: End, refused: bool, queue: &impl Queue) -> Delivered {
        self.tickets += 1;
        let cursor = self.cursors.entry(conv).or_insert(Cursor::unknown(self.tickets, end.log_epoch));
        cursor.hear_of(end.seq);
        cursor.progress = Progress::Stalled;
        if self.is_live() && !refused {
            return self.hand_over(conv);
        }
        self.stall(queue, conv)
    }

    /// First says that it waits, then looks once more whether there is room: whoever makes room does it the other way
    /// round, so one of the two notices.
    fn stall(&mut self, queue: &impl Queue, conv: Conversation) -> Delivered {
        queue.tell_when_drained();
        if self.is_live() && queue.has_room() { self.hand_over(conv) } else { Delivered::Done }
    }

    fn hand_over(&mut self, conv: Conversation) -> Delivered {
        if let Some(cursor) = self.cursors.get_mut(&conv) {
            cursor.progress = Progress::Reading;
        }
        if self.handed.insert(conv) { Delivered::Behind } else { Delivered::Done }
    }
}

/// The life of a session.
impl Cursors {
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Started && !self.is_suspended
    }

    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// LOGIN_ACK is queued.
    pub fn started(&mut self) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Started;
        }
    }

    pub fn leave(&mut self) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Leaving;
        }
    }

    pub fn suspend(&mut self, is_suspended: bool) {
        self.is_suspended = is_suspended;
    }

    /// Returns the cursors still to be saved.
    pub fn end(&mut self, user: UserId) -> Vec<Mark> {
        let marks = self.unsaved(user);
        *self = Cursors { phase: Phase::Ended, ..Cursors::default() };
        marks
    }

    /// Takes all that waits for room, or for the session to be live, to be handed to `catch_up`.
    pub fn resume(&mut self) -> Vec<Conversation> {
        let stalled = self.cursors.iter_mut().filter(|(_, cursor)| cursor.progress == Progress::Stalled);
        let handed = stalled.filter_map(|(conv, cursor)| {
            cursor.progress = Progress::Reading;
            self.handed.insert(*conv).then_some(*conv)
        });
        handed.collect()
    }

    /// At the start: messages wait in this conversation, and those up to `pushed` are on their way to the client
    /// already.
    pub fn waits(&mut self, waiting: &Waiting, pushed: u64, queue: &impl Queue) {
        self.tickets += 1;
        let Waiting { conv, position, .. } = *waiting;
        let heard_of = self.cursors.get(&conv).map(Cursor::end).unwrap_or_default();
        let End { log_epoch, seq: target } = waiting.end().max(heard_of);
        let unknown = Cursor { target, ..Cursor::unknown(self.tickets, log_epoch) };
        let cursor = match log_epoch == position.log_epoch {
            true => Cursor { place: Some(Place { pushed, ..Place::at(&position) }), ..unknown },
            false => Cursor { before: Some(Before { pushed, ..Before::at(&position) }), ..unknown },
        };
        self.cursors.insert(conv, cursor);
        queue.tell_when_drained();
    }
}

/// Cursors on their way to the database.
impl Cursors {
    /// The client has everything of the log up to `seq`. Beyond what was pushed, or backwards: ignored, and false. What
    /// it has of an earlier epoch counts as far as the log is still the same.
    pub fn received(&mut self, log: Log, seq: u64) -> bool {
        let Some(cursor) = self.cursors.get_mut(&log.conv) else {
            return self.barred.received(log, seq);
        };
        let moved_before = cursor.before.as_mut().is_some_and(|before| before.receive(log.epoch, seq));
        let Some(place) = cursor.place.as_mut().filter(|_| log.epoch <= cursor.log_epoch) else { return moved_before };
        let seq = if log.epoch < cursor.log_epoch { seq.min(place.same_since(log.epoch)) } else { seq };
        let moves = seq > place.received && seq <= place.pushed;
        if moves {
            place.received = seq;
        }
        moves || moved_before
    }

    /// How far each conversation has been pushed, where the client is not known to have it all.
    pub fn unreceived(&self) -> Vec<(Log, u64)> {
        let unreceived = |(conv, cursor): (&Conversation, &Cursor)| {
            let place = cursor.place.as_ref().filter(|place| place.received < place.pushed)?;
            Some((Log { conv: *conv, epoch: cursor.log_epoch }, place.pushed))
        };
        self.cursors.iter().filter_map(unreceived).collect()
    }

    /// How far each has been received, where the database does not know it.
    pub fn unsaved(&self, user: UserId) -> Vec<Mark> {
        let mark = |conv: Conversation, End { log_epoch, seq }: End| Mark { conv, user, seq, log_epoch };
        let here = self.cursors.iter().filter_map(|(conv, cursor)| Some(mark(*conv, cursor.unsaved()?)));
        here.chain(self.barred.unsaved(user)).collect()
    }

    pub fn saved(&mut self, mark: &Mark) {
        if let Some(Cursor { place: Some(place), log_epoch, .. }) = self.cursors.get_mut(&mark.conv)
            && *log_epoch == mark.log_epoch
        {
            place.saved = place.saved.max(mark.seq);
        }
        self.barred.saved(mark);
    }
}

/// Whether this is the next to be pushed.
fn follows(seq: u64, pushed: u64) -> bool {
    seq == pushed + 1 || (seq > pushed && failpoint::hits(Failpoint::SessionPushAhead))
}
