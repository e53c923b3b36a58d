//! Bounded queues of messages, side by side. A conversation's messages always take the same lane, so they keep their
//! order; at a lane's end one task takes them in batches.

#[cfg(test)]
mod model;

use crate::config::limits::{BATCH_BYTES, BATCH_MESSAGES};
use chat_protocol::conversation::Conversation;
use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Messages that wait in one lane; beyond it errno 11.
const LANE_MESSAGES: usize = 16_384;
/// Text that waits in one lane; beyond it errno 11.
const LANE_BYTES: usize = 64 * 1024 * 1024;

/// What can wait in a lane.
pub trait Message {
    fn conv(&self) -> Conversation;
    /// Of text.
    fn bytes(&self) -> usize;
}

/// The beginnings of all lanes.
pub struct Lanes<T> {
    lanes: Vec<Lane<T>>,
}

struct Lane<T> {
    messages: mpsc::Sender<T>,
    bytes: Arc<AtomicUsize>,
}

impl<T: Message> Lanes<T> {
    /// Makes `count` lanes, one at least; `start` is given the number, from 1, and the end of each.
    pub fn start(count: usize, mut start: impl FnMut(usize, Waiting<T>)) -> Self {
        let lanes = (1..=count.max(1)).map(|number| {
            let (messages, receiver) = mpsc::channel(LANE_MESSAGES);
            let bytes = Arc::new(AtomicUsize::new(0));
            let (taken, next) = (Vec::new(), VecDeque::new());
            start(number, Waiting { messages: receiver, bytes: bytes.clone(), taken, next });
            Lane { messages, bytes }
        });
        Lanes { lanes: lanes.collect() }
    }

    /// Queues a message, or gives it back where there is no room.
    pub fn submit(&self, message: T) -> Result<(), T> {
        let lane = &self.lanes[self.place(message.conv())];
        let bytes = message.bytes();
        if lane.bytes.fetch_add(bytes, Ordering::AcqRel) > LANE_BYTES {
            lane.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(message);
        }
        lane.messages.try_send(message).map_err(|full| {
            lane.bytes.fetch_sub(bytes, Ordering::AcqRel);
            full.into_inner()
        })
    }

    fn place(&self, conv: Conversation) -> usize {
        // Any hash will do; it only spreads the conversations.
        BuildHasherDefault::<DefaultHasher>::default().hash_one(conv) as usize % self.lanes.len()
    }
}

/// The end of a lane.
pub struct Waiting<T> {
    messages: mpsc::Receiver<T>,
    bytes: Arc<AtomicUsize>,
    taken: Vec<T>,
    next: VecDeque<T>,
}

impl<T: Message> Waiting<T> {
    /// Waits until there is something, then takes what has queued up, as much as one batch may hold. `None` when the
    /// beginnings are dropped and nothing is left.
    pub async fn batch(&mut self) -> Option<Vec<T>> {
        if self.next.is_empty() && self.messages.recv_many(&mut self.taken, BATCH_MESSAGES).await == 0 {
            return None;
        }
        self.next.extend(self.taken.drain(..));
        let mut bytes = 0;
        let fits = self.next.iter().take_while(|message| {
            bytes += message.bytes();
            bytes <= BATCH_BYTES
        });
        let count = fits.count().max(1).min(self.next.len());
        let batch = self.next.drain(..count).collect();
        Some(self.leave(batch))
    }

    /// All that waits now.
    pub fn rest(&mut self) -> Vec<T> {
        let mut rest: Vec<T> = self.next.drain(..).collect();
        while rest.len() < LANE_MESSAGES
            && let Ok(message) = self.messages.try_recv()
        {
            rest.push(message);
        }
        self.leave(rest)
    }

    fn leave(&self, messages: Vec<T>) -> Vec<T> {
        self.bytes.fetch_sub(messages.iter().map(Message::bytes).sum(), Ordering::AcqRel);
        messages
    }
}
