//! How many messages of a stream may be on their way to a server that acknowledges nothing: windowed on what arrives.
//!
//! A message that is due while the window is full waits its turn here; its latency still counts from when it was due.
//! One that has not arrived for long is given up, and the window moves on: should it come later all the same, it counts
//! as received. A message that was not received in the end is lost, whatever the window made of it.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages of one stream that wait their turn; what is due beyond it is not sent.
const MAX_WAITING: usize = 65_536;
/// To a recipient who is away nothing arrives: this long after sending, in microseconds, the server has surely taken
/// it.
const TAKEN_MICROS: u64 = 50_000;

/// What is to be done with a message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Send,
    /// It is kept until there is room.
    Waits,
    /// Too many wait already.
    Full,
}

#[derive(Debug, Default)]
struct Lane {
    /// Numbers and when they were sent, in microseconds of the run's clock.
    on_the_way: Vec<(u64, u64)>,
    /// When the messages that wait were due.
    waiting: VecDeque<u64>,
}

/// The windows of all streams of a run.
#[derive(Debug)]
pub struct Windows {
    lanes: Box<[Mutex<Lane>]>,
    outstanding: usize,
    lost_after: u64,
    waiting: AtomicU64,
}

impl Windows {
    /// `lost_after` is in microseconds.
    pub fn new(streams: usize, outstanding: u32, lost_after: u64) -> Windows {
        Windows {
            lanes: (0..streams).map(|_| Mutex::default()).collect(),
            outstanding: outstanding as usize,
            lost_after,
            waiting: AtomicU64::new(0),
        }
    }

    /// Decides about a message of `stream` that is due. After [`Admission::Send`] call [`Windows::sent`].
    pub fn admit(&self, stream: u32, due: u64) -> Admission {
        let mut lane = self.lanes[stream as usize].lock();
        if lane.waiting.is_empty() && lane.on_the_way.len() < self.outstanding {
            return Admission::Send;
        }
        if lane.waiting.len() >= MAX_WAITING {
            return Admission::Full;
        }
        lane.waiting.push_back(due);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Admission::Waits
    }

    /// Takes the next that waits, if there is room for it: when it was due. Call [`Windows::sent`] then.
    pub fn next(&self, stream: u32) -> Option<u64> {
        let mut lane = self.lanes[stream as usize].lock();
        if lane.on_the_way.len() >= self.outstanding {
            return None;
        }
        let due = lane.waiting.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(due)
    }

    /// Whether one more may go at once.
    pub fn has_room(&self, stream: u32) -> bool {
        let lane = self.lanes[stream as usize].lock();
        lane.waiting.is_empty() && lane.on_the_way.len() < self.outstanding
    }

    /// A message is on its way.
    pub fn sent(&self, stream: u32, number: u64, now: u64) {
        self.lanes[stream as usize].lock().on_the_way.push((number, now));
    }

    /// A message has reached everybody it is for.
    pub fn arrived(&self, stream: u32, number: u64) {
        if let Some(lane) = self.lanes.get(stream as usize) {
            lane.lock().on_the_way.retain(|(known, _)| *known != number);
        }
    }

    /// Gives up what has been on its way for too long, less long where recipients are away; returns how many.
    pub fn expire(&self, stream: u32, now: u64, anybody_away: bool) -> usize {
        let patience = if anybody_away { TAKEN_MICROS.min(self.lost_after) } else { self.lost_after };
        let mut lane = self.lanes[stream as usize].lock();
        let before = lane.on_the_way.len();
        lane.on_the_way.retain(|(_, sent)| now.saturating_sub(*sent) < patience);
        before - lane.on_the_way.len()
    }

    /// Messages that wait their turn.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(windows: &Windows, number: u64, due: u64) {
        assert_eq!(windows.admit(0, due), Admission::Send);
        windows.sent(0, number, due);
    }

    #[test]
    fn what_is_due_waits_until_something_arrives() {
        let windows = Windows::new(1, 2, 1_000);
        sends(&windows, 0, 10);
        sends(&windows, 1, 20);
        assert_eq!((windows.admit(0, 30), windows.next(0), windows.waiting()), (Admission::Waits, None, 1));
        windows.arrived(0, 7);
        assert_eq!(windows.next(0), None);
        windows.arrived(0, 0);
        // Whoever comes now stands behind what waits.
        assert_eq!(windows.admit(0, 40), Admission::Waits);
        assert_eq!((windows.next(0), windows.waiting()), (Some(30), 1));
        windows.sent(0, 2, 50);
        assert_eq!(windows.next(0), None);
    }

    #[test]
    fn window_moves_on_without_what_does_not_arrive() {
        let windows = Windows::new(1, 1, 1_000_000);
        sends(&windows, 0, 0);
        assert_eq!(windows.admit(0, 5), Admission::Waits);
        assert_eq!((windows.expire(0, 999_999, false), windows.next(0)), (0, None));
        assert_eq!((windows.expire(0, 1_000_000, false), windows.next(0)), (1, Some(5)));
        windows.sent(0, 1, 1_000_000);
        assert_eq!(windows.expire(0, 1_000_000 + TAKEN_MICROS, true), 1);
    }

    #[test]
    fn what_waits_is_bounded() {
        let windows = Windows::new(1, 1, 1_000);
        sends(&windows, 0, 0);
        for due in 0..MAX_WAITING as u64 {
            assert_eq!(windows.admit(0, due), Admission::Waits);
        }
        assert_eq!((windows.admit(0, 0), windows.waiting()), (Admission::Full, MAX_WAITING as u64));
    }
}
