//! Bounded queues of messages, side by side. A conversation's messages always take the same queue, so they keep their
//! order; at a queue's end one task takes them in batches.

#[cfg(test)]
mod model;

use crate::failpoint;
use chat_protocol::conversation::Conversation;
use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Messages in one commit; what is queued beyond it goes into the next.
const BATCH_MESSAGES: usize = 256;
/// Bytes of text in one commit (past the first message).
const BATCH_BYTES: usize = 1024 * 1024;

/// Messages that wait in one queue; beyond it errno 11.
const QUEUE_MESSAGES: usize = 16_384;
/// Text that waits in one queue; beyond it errno 11.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What can wait in a queue.
pub trait Message {
    fn conv(&self) -> Conversation;
    /// Of text.
    fn bytes(&self) -> usize;
}

/// The beginnings of all queues.
pub struct BatchQueues<T> {
    queues: Vec<Queue<T>>,
}

struct Queue<T> {
    messages: mpsc::Sender<T>,
    bytes: Arc<AtomicUsize>,
}

impl<T: Message> BatchQueues<T> {
    /// Makes `count` queues, one at least; `start` is given the number, from 1, and the end of each.
    pub fn start(count: usize, mut start: impl FnMut(usize, Batches<T>)) -> Self {
        let queues = (1..=count.max(1)).map(|number| {
            let (messages, receiver) = mpsc::channel(QUEUE_MESSAGES);
            let bytes = Arc::new(AtomicUsize::new(0));
            let (taken, next) = (Vec::new(), VecDeque::new());
            start(number, Batches { messages: receiver, bytes: bytes.clone(), taken, next });
            Queue { messages, bytes }
        });
        BatchQueues { queues: queues.collect() }
    }

    /// Queues a message, or gives it back where there is no room.
    pub fn submit(&self, message: T) -> Result<(), T> {
        let queue = &self.queues[self.place(message.conv())];
        let bytes = message.bytes();
        if queue.bytes.fetch_add(bytes, Ordering::AcqRel) > QUEUE_BYTES {
            queue.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(message);
        }
        queue.messages.try_send(message).map_err(|full| {
            queue.bytes.fetch_sub(bytes, Ordering::AcqRel);
            full.into_inner()
        })
    }

    fn place(&self, conv: Conversation) -> usize {
        // Any hash will do; it only spreads the conversations.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(conv) as usize;
        failpoint::queue(hash) % self.queues.len()
    }
}

/// The end of a queue.
pub struct Batches<T> {
    messages: mpsc::Receiver<T>,
    bytes: Arc<AtomicUsize>,
    taken: Vec<T>,
    next: VecDeque<T>,
}

impl<T: Message> Batches<T> {
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
        while rest.len() < QUEUE_MESSAGES
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
