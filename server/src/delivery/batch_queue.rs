//! Bounded queues of messages, side by side. A conversation's messages always take the same lane, so they keep their
//! order; at a lane's end one task takes them in batches.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Text(u64, usize);

    impl Message for Text {
        fn conv(&self) -> Conversation {
            Conversation::Group(self.0)
        }

        fn bytes(&self) -> usize {
            self.1
        }
    }

    fn one_lane() -> (Lanes<Text>, Waiting<Text>) {
        let mut waiting = None;
        let lanes = Lanes::start(1, |_, end| waiting = Some(end));
        (lanes, waiting.expect("one was made"))
    }

    #[tokio::test]
    async fn batches_hold_no_more_than_they_may_and_keep_the_order() {
        let (lanes, mut waiting) = one_lane();
        let count = BATCH_MESSAGES + 10;
        (0..count).for_each(|at| lanes.submit(Text(at as u64, 1)).expect("there is room"));
        for _ in 0..3 {
            lanes.submit(Text(0, BATCH_BYTES / 2)).expect("there is room");
        }
        lanes.submit(Text(0, BATCH_BYTES * 2)).expect("there is room");
        drop(lanes);

        let (mut sizes, mut order) = (Vec::new(), Vec::new());
        while let Some(batch) = waiting.batch().await {
            assert!(batch.len() == 1 || batch.iter().map(Message::bytes).sum::<usize>() <= BATCH_BYTES);
            sizes.push(batch.len());
            order.extend(batch.iter().map(|text| text.0));
        }

        assert_eq!(sizes, [BATCH_MESSAGES, 11, 2, 1]);
        assert!(order[..count].iter().copied().eq(0..count as u64));
        assert_eq!(waiting.bytes.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn full_lane_gives_the_message_back_until_something_is_taken() {
        let (lanes, mut waiting) = one_lane();
        (0..LANE_MESSAGES).for_each(|_| lanes.submit(Text(1, 1)).expect("there is room"));
        assert_eq!(lanes.submit(Text(2, 1)), Err(Text(2, 1)));

        assert_eq!(waiting.rest().len(), LANE_MESSAGES);
        assert_eq!(lanes.submit(Text(2, LANE_BYTES + 1)), Ok(()), "an empty lane takes any message");
        assert_eq!(lanes.submit(Text(3, 1)), Err(Text(3, 1)));

        assert_eq!(waiting.batch().await, Some(vec![Text(2, LANE_BYTES + 1)]));
        assert_eq!(lanes.submit(Text(3, 1)), Ok(()));
    }
}
