//! Chat messages without an ack, in the order they were sent.
//!
//! Invariant: of two messages to the same target, the later one is not put on the wire while the earlier one waits to
//! be put there (again). So a resend after a reconnect, or after a refusal, keeps the order in each conversation.

use super::error::Error;
use super::event::Acknowledged;
use chat_protocol::conversation::Target;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Who learns what became of a message: a waiting call, or, without one, the events.
pub(super) type Waiter = Option<oneshot::Sender<Result<Acknowledged, Error>>>;

#[derive(Debug)]
pub(super) struct Unacked {
    pub mid: Uuid,
    pub to: Target,
    /// The whole frame; sent again byte for byte.
    pub frame: Box<[u8]>,
    /// `qos` 1: sent again after a reconnect. Others end with the connection.
    pub stored: bool,
    pub waiter: Waiter,
    pub queued: Instant,
    pub tries: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    InFlight,
    /// Refused; to be sent again at this time.
    Held(Instant),
}

impl Unacked {
    pub(super) fn new(mid: Uuid, to: Target, frame: Box<[u8]>, stored: bool, waiter: Waiter) -> Self {
        Unacked { mid, to, frame, stored, waiter, queued: Instant::now(), tries: 0, place: Place::Queued }
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: VecDeque<Unacked>,
    /// Entries that are not in flight.
    idle: usize,
    /// Idle entries may stand before ones in flight; else they are exactly the last `idle` ones.
    scattered: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Unacked) {
        self.entries.push_back(message);
        self.idle += 1;
    }

    /// Hands every message that may go now to `write`, until that says there is no more room.
    pub(super) fn pump(&mut self, now: Instant, mut write: impl FnMut(&Unacked) -> bool) {
        if self.idle == 0 {
            return;
        }
        let start = if self.scattered { 0 } else { self.entries.len() - self.idle };
        let mut blocked: Vec<Target> = Vec::new();
        for entry in self.entries.range_mut(start..) {
            match entry.place {
                Place::InFlight => continue,
                Place::Held(until) if until > now => blocked.push(entry.to),
                _ if blocked.contains(&entry.to) => {}
                _ => {
                    entry.place = Place::InFlight;
                    entry.tries += 1;
                    self.idle -= 1;
                    if !write(entry) {
                        break;
                    }
                }
            }
        }
        self.scattered &= self.idle > 0;
    }

    /// Takes a message out, since its fate is known.
    pub(super) fn remove(&mut self, mid: Uuid) -> Option<Unacked> {
        let position = self.entries.iter().position(|entry| entry.mid == mid)?;
        let entry = self.entries.remove(position)?;
        if entry.place != Place::InFlight {
            self.idle -= 1;
        }
        self.shrink();
        Some(entry)
    }

    /// How often the message was put on the wire; `None`: its fate is known already.
    pub(super) fn tries(&self, mid: Uuid) -> Option<u32> {
        self.entries.iter().find(|entry| entry.mid == mid).map(|entry| entry.tries)
    }

    /// The message was refused for now: sends it again at `until`, in its place in the order.
    pub(super) fn hold(&mut self, mid: Uuid, until: Instant) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.mid == mid) else { return };
        if entry.place == Place::InFlight {
            self.idle += 1;
        }
        entry.place = Place::Held(until);
        self.scattered = true;
    }

    /// The connection is gone: what is stored waits to be sent again, in order. Returned is the rest, and what was put
    /// on the wire `max_tries` times, lest a message that makes nodes close goes round for ever.
    pub(super) fn disconnected(&mut self, max_tries: u32) -> Vec<Unacked> {
        let again = |entry: &Unacked| entry.tries == 0 || (entry.stored && entry.tries < max_tries);
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries).into_iter().partition(again);
        self.entries = kept.into();
        for entry in &mut self.entries {
            entry.place = Place::Queued;
        }
        self.idle = self.entries.len();
        self.scattered = false;
        ended
    }

    /// Takes out the messages that were sent `allowed` ago or earlier.
    pub(super) fn expired(&mut self, now: Instant, allowed: Duration) -> Vec<Unacked> {
        let mut expired = Vec::new();
        while self.entries.front().is_some_and(|oldest| now.saturating_duration_since(oldest.queued) >= allowed) {
            let Some(oldest) = self.entries.pop_front() else { break };
            if oldest.place != Place::InFlight {
                self.idle -= 1;
            }
            expired.push(oldest);
        }
        self.shrink();
        expired
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> Vec<Unacked> {
        self.idle = 0;
        std::mem::take(&mut self.entries).into()
    }

    /// When something is to be done: a held message sent, or the oldest given up. What could have been sent before
    /// `now` waits for something else than time.
    pub(super) fn deadline(&self, allowed: Duration, now: Instant) -> Option<Instant> {
        let oldest = self.entries.front()?.queued + allowed;
        if !self.scattered {
            return Some(oldest);
        }
        let held = self.entries.iter().filter_map(|entry| match entry.place {
            Place::Held(until) if until > now => Some(until),
            _ => None,
        });
        Some(held.min().map_or(oldest, |until| until.min(oldest)))
    }

    /// An idle client keeps no buffer.
    fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.scattered = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(mid: u128, to: u64) -> Unacked {
        Unacked::new(Uuid::from_u128(mid), Target::User(to), Box::from([mid as u8]), true, None)
    }

    fn pump(outbox: &mut Outbox, now: Instant) -> Vec<u8> {
        let mut sent = Vec::new();
        outbox.pump(now, |message| {
            sent.extend_from_slice(&message.frame);
            true
        });
        sent
    }

    #[test]
    fn held_message_holds_back_later_ones_to_its_target_only() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(message(1, 1));
        assert_eq!(pump(&mut outbox, now), [1]);
        let until = now + Duration::from_secs(1);
        outbox.hold(Uuid::from_u128(1), until);
        outbox.push(message(2, 1));
        outbox.push(message(3, 2));
        assert_eq!(pump(&mut outbox, now), [3]);
        assert_eq!(outbox.deadline(Duration::from_secs(60), now), Some(until));
        assert_eq!(pump(&mut outbox, until), [1, 2]);
        assert_eq!(outbox.idle, 0);
    }

    #[test]
    fn reconnect_sends_again_in_order_and_ends_what_is_not_stored() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for mid in 1..=4 {
            outbox.push(Unacked { stored: mid != 3, ..message(mid, mid as u64 % 2) });
        }
        assert_eq!(pump(&mut outbox, now), [1, 2, 3, 4]);
        outbox.remove(Uuid::from_u128(2));
        let ended: Vec<_> = outbox.disconnected(5).iter().map(|entry| entry.mid.as_u128()).collect();
        assert_eq!(ended, [3]);
        assert_eq!(pump(&mut outbox, now), [1, 4]);
    }

    #[test]
    fn a_message_sent_too_often_ends_with_the_connection() {
        let mut outbox = Outbox::default();
        outbox.push(message(1, 1));
        pump(&mut outbox, Instant::now());
        assert_eq!(outbox.disconnected(1).len(), 1);
    }

    #[test]
    fn a_full_link_stops_the_pump_and_loses_no_place() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for mid in 1..=3 {
            outbox.push(message(mid, 1));
        }
        let mut sent = Vec::new();
        outbox.pump(now, |message| {
            sent.extend_from_slice(&message.frame);
            false
        });
        assert_eq!(sent, [1]);
        assert_eq!(pump(&mut outbox, now), [2, 3]);
    }

    #[test]
    fn old_messages_expire() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(message(1, 1));
        let allowed = Duration::from_secs(60);
        assert!(outbox.expired(now, allowed).is_empty());
        assert_eq!(outbox.expired(now + allowed * 2, allowed).len(), 1);
        assert_eq!(outbox.deadline(allowed, now), None);
    }
}
