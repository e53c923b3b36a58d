//! What the server says of messages: that one was accepted or refused, or that one is here.

use super::batch::{Batch, Delivery, Message};
use super::{Session, events};
use crate::dialect::{Push, Refusal, mid_of};
use crate::measure::LatencyKind;
use crate::measure::ledger::Fate;
use crate::measure::stamp::{Reading, Stamp};
use crate::user::retries::{Again, Retry};
use crate::user::state::NO_NODE;
use judge::history::Event;
use std::borrow::Cow;
use std::sync::atomic::Ordering;

/// The longest wait before a refused message is sent again, or another in its place, and the wait where the server
/// names none.
const RETRY_MICROS: (u64, u64) = (5_000_000, 200_000);

/// Conversations in which a session follows places; beyond it order within further ones is judged by the sender's
/// numbers only.
const MAX_CURSORS: usize = 16_384;

/// Who speaks where a server puts its own words into a chat message.
const SERVER_ID: u64 = 0;

/// What was pushed of one conversation in this session, and what the server knows of it.
pub(super) struct Cursor {
    pub conv: Box<str>,
    pub seq: u64,
    pub told: u64,
}

impl Session<'_> {
    pub(super) fn on_settled(
        &self,
        message: Message,
        place: Option<(Cow<'_, str>, u64)>,
        result: Result<(), Refusal>,
        batch: &mut Batch,
    ) {
        let run = self.run;
        let Message { stream, number } = message;
        run.note(|| events::settled(self.who(), mid_of(run.id, stream, number), place, result.as_ref().err()));
        if result.is_err() {
            // What the server said first of a message holds.
            self.enter_acknowledged(batch);
        }
        match result {
            Ok(()) => batch.acknowledged.push(message),
            Err(refusal) if refusal.retryable && run.plan.qos > 0 => {
                run.error(format!("send: refused for now: {refusal}"));
                if let Some(due) = run.ledger.due(stream, number) {
                    let what = Again::Send { number, due };
                    run.retries.add(Retry { at: batch.read_at + back_off(&refusal), stream, what });
                }
            }
            Err(refusal) => {
                run.error(format!("send: refused: {refusal}"));
                // Whoever is refused at once would be refused millions of times.
                if run.ledger.settle(stream, number, Fate::Refused).is_some() && run.is_refilling() {
                    let what = Again::Refill { after: number };
                    run.retries.add(Retry { at: batch.read_at + back_off(&refusal), stream, what });
                }
            }
        }
    }

    pub(super) fn on_push(&mut self, push: &Push<'_>, batch: &mut Batch) {
        let in_order = self.advance(push);
        self.count_down(push, batch.read_at);
        let run = self.run;
        let reading = Stamp::read(&push.text);
        run.note(|| {
            let mut event = events::push(self.who(), push);
            // Where the dialect names no message, its text does.
            if let (Event::Push { mid: mid @ None, .. }, Reading::Whole(stamp)) = (&mut event, reading) {
                *mid = Some(mid_of(stamp.run, stamp.stream, stamp.number));
            }
            event
        });
        match reading {
            Reading::Whole(stamp) if stamp.run == run.id => self.on_message(push, stamp, in_order, batch),
            Reading::Altered => run.ledger.altered(),
            Reading::Foreign if push.from == SERVER_ID => run.error(format!("the server says: {}", push.text)),
            Reading::Whole(_) | Reading::Foreign => run.ledger.foreign(),
        }
    }

    fn on_message(&self, push: &Push<'_>, stamp: Stamp, in_order: Option<bool>, batch: &mut Batch) {
        let Stamp { stream, number, due, .. } = stamp;
        let known = self.run.world.streams.get(stream as usize);
        if known.is_some_and(|known| self.run.users[known.sender as usize].id() != push.from) {
            // The server says that somebody else sent it.
            return self.run.ledger.altered();
        }
        batch.deliveries.push(Delivery { message: Message { stream, number }, due, in_order });
    }

    pub(super) fn kind_from(&self, sender: u32) -> LatencyKind {
        match (self.run.users[sender as usize].node(), self.user.node()) {
            (NO_NODE, _) | (_, NO_NODE) => LatencyKind::Direct,
            (theirs, ours) if theirs == ours => LatencyKind::Same,
            _ => LatencyKind::Cross,
        }
    }

    /// Moves the conversation's cursor; says whether the place follows what came before, where there are places.
    fn advance(&mut self, push: &Push<'_>) -> Option<bool> {
        if push.seq == 0 || push.conv.is_empty() {
            return None;
        }
        self.user.dirty.store(true, Ordering::Release);
        let is_full = self.cursors.len() >= MAX_CURSORS;
        match self.cursors.iter_mut().find(|cursor| *cursor.conv == *push.conv) {
            Some(cursor) => {
                let in_order = push.seq > cursor.seq;
                cursor.seq = cursor.seq.max(push.seq);
                Some(in_order)
            }
            None if is_full => None,
            None => {
                self.cursors.push(Cursor { conv: (*push.conv).into(), seq: push.seq, told: 0 });
                Some(true)
            }
        }
    }

    fn count_down(&mut self, push: &Push<'_>, now: u64) {
        if self.waiting == 0 || push.seq == 0 || push.time > self.welcomed_at {
            return;
        }
        self.waiting -= 1;
        if self.waiting == 0 && !self.run.is_closing() {
            self.run.record(self.user, LatencyKind::Drained, now.saturating_sub(self.due));
        }
    }
}

/// How long a refused message, or the next in its place, waits, in microseconds.
fn back_off(refusal: &Refusal) -> u64 {
    refusal.retry_ms.map_or(RETRY_MICROS.1, |wait| wait.saturating_mul(1_000).min(RETRY_MICROS.0))
}
